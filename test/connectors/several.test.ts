import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { expect } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { httpSink, received } from '../support/servers/http-sink.ts';
import { natsServer } from '../support/servers/nats.ts';
import { postgresServer, query } from '../support/servers/postgres.ts';
import { testWith } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { Feed, FEED } from './feed.ts';

const test = testWith('nats-server', 'postgres');
const servers = { nats: await natsServer(), postgres: await postgresServer(), http: await httpSink() };

/** Everything that the stream of NATS has, in order. */
async function stored(): Promise<string[]> {
  const nc = await connect({ servers: `127.0.0.1:${servers.nats.port}`, reconnect: false });
  try {
    const { state } = await (await jetstreamManager(nc)).streams.info('S');
    const texts: string[] = [];
    const consumer = await jetstream(nc).consumers.get('S');
    while (texts.length < state.messages)
      for await (const message of await consumer.fetch({ max_messages: 5000, expires: 1000 }))
        texts.push(message.string());
    return texts;
  } finally {
    await nc.close();
  }
}

test('one stream into NATS, PostgreSQL and HTTP, each killed in turn under load and one frozen: every message is in each of them, in order', async () => {
  const { nats, postgres, http } = servers;
  const nc = await connect({ servers: `127.0.0.1:${nats.port}`, reconnect: false });
  await (await jetstreamManager(nc)).streams.add({ name: 'S', subjects: ['s.>'], allow_atomic: true });
  await nc.close();
  await query(postgres.port, 'CREATE TABLE t (n int PRIMARY KEY, device text, at serial)');
  const run = await startEngine(`
streams:
  - input: ${FEED}
    outputs:
      - { type: nats, url: '127.0.0.1:${nats.port}', timeout: 1s, mode: { type: jet_stream, subject: s.x } }
      - type: postgres
        url: postgres://postgres@127.0.0.1:${postgres.port}/postgres
        timeout: 1s
        table: t
        on_conflict: ignore
      - { type: http, url: 'http://127.0.0.1:${http.port}/', batch: ndjson, timeout: 1s }
`);
  const feed = new Feed(run);
  const progress = async (): Promise<void> => {
    const before = received(http).length;
    await until('more of everything', () => received(http).length > before + 500);
  };
  for (const server of Object.values(servers)) {
    await progress();
    await server.restart();
  }
  await progress();
  nats.freeze();
  await until('readiness to say what waits', async () =>
    (await run.http('/readiness')).text.includes('nats'),
  );
  nats.thaw();
  await progress();
  await feed.stop();
  await run.idle('stream-0', 60_000);
  expect(await stored()).toEqual(feed.messages);
  const { rows } = await query(postgres.port, 'SELECT n FROM t ORDER BY at');
  expect(rows.map(({ n }: { n: number }) => n)).toEqual(feed.messages.map((_, n) => n));
  // Without a memory of its own, a server gets the lines of a request again whose answer it could not give.
  expect([...new Set(received(http))]).toEqual(feed.messages);
});

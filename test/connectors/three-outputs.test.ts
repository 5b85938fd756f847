import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { expect } from 'vitest';
import { startEngine, type Run } from '../support/engine.ts';
import { HttpServer } from '../support/http-server.ts';
import { natsServer } from '../support/servers/nats.ts';
import { postgresServer, query } from '../support/servers/postgres.ts';
import { testWith } from '../support/tools.ts';
import { standstill, until } from '../support/until.ts';
import { Feed, FEED } from './feed.ts';

// One stream to a broker, a database and an HTTP server, each of which is killed in turn.

const test = testWith('nats-server', 'postgres');
const nats = await natsServer();
const postgres = await postgresServer();

/** How many messages wait in the queue of an output before it holds the others back. */
const QUEUE = 500;

/** The reasons of readiness, in one line. */
async function reasons(run: Run): Promise<string> {
  const { text } = await run.http('/readiness');
  const { streams } = JSON.parse(text) as { streams: { reasons: string[] }[] };
  return streams.flatMap((each) => each.reasons).join('; ');
}

async function published(): Promise<string[]> {
  const nc = await connect({ servers: `127.0.0.1:${nats.port}`, reconnect: false });
  try {
    const { state } = await (await jetstreamManager(nc)).streams.info('ORDERS');
    const texts: string[] = [];
    const consumer = await jetstream(nc).consumers.get('ORDERS');
    for await (const message of await consumer.fetch({ max_messages: state.messages, expires: 10_000 })) {
      texts.push(message.string());
      if (texts.length === state.messages) break;
    }
    return texts;
  } finally {
    await nc.close();
  }
}

test('one stream, three outputs, each killed in turn: nothing is lost, each keeps its order, and readiness names the one that stands', async () => {
  const nc = await connect({ servers: `127.0.0.1:${nats.port}`, reconnect: false });
  await (
    await jetstreamManager(nc)
  ).streams.add({ name: 'ORDERS', subjects: ['orders'], allow_atomic: true });
  await nc.close();
  await query(postgres.port, 'CREATE TABLE orders (n int PRIMARY KEY, device text, at serial)');
  const http = await HttpServer.start();
  const run = await startEngine(`
streams:
  - input: ${FEED}
    outputs:
      - type: nats
        url: nats://127.0.0.1:${nats.port}
        mode: { type: jet_stream, subject: orders, stream: ORDERS }
        queue: { max_messages: ${QUEUE} }
        retry: { initial: 20ms, max: 100ms }
      - type: postgres
        url: postgres://postgres@127.0.0.1:${postgres.port}/postgres
        table: orders
        on_conflict: ignore
        queue: { max_messages: ${QUEUE} }
        retry: { initial: 20ms, max: 100ms }
      - type: http
        url: ${http.url}/orders
        batch: ndjson
        timeout: 1s
        queue: { max_messages: ${QUEUE} }
        retry: { initial: 20ms, max: 100ms }
    error_output: { type: collect, name: errors }
    in_flight: { messages: 2000 }
`);
  const feed = new Feed(run, 'stream-0', 5);
  const written = (): Promise<number> => run.metric('millrace_output_messages_total');
  const more = async (): Promise<void> => {
    const before = await written();
    await until('more to be confirmed by all', async () => (await written()) > before + 200);
  };
  for (const [name, kill, back] of [
    ['nats', () => nats.kill9(), () => nats.start()],
    ['postgres', () => postgres.kill9(), () => postgres.start()],
    ['http', () => http.stop(), () => http.restart()],
  ] as const) {
    await more();
    await kill();
    await until('readiness to name it', async () => (await reasons(run)).includes(`output fan_out.${name} `));
    // The others go on as far as its queue goes, and confirm nothing that it does not have.
    const count = await standstill('the messages that all have', written);
    expect(count).toBeLessThan(feed.sent);
    await back();
    await until('readiness', async () => (await reasons(run)) === '');
  }
  await more();
  await feed.stop();
  await until('all to have all', async () => (await written()) === feed.sent);

  expect(await published()).toEqual(feed.messages);
  const { rows } = await query(postgres.port, 'SELECT n FROM orders ORDER BY at');
  const numbers = Array.from({ length: feed.sent }, (_, n) => n);
  expect(rows.map(({ n }: { n: number }) => n)).toEqual(numbers);
  // An HTTP server that does not look at the key may have a batch twice: the one whose answer it did not give.
  const lines = http.bodies.flatMap((body) => body.split('\n').slice(0, -1));
  expect([...new Set(lines)]).toEqual(feed.messages);
  const batches = new Map(
    http.requests.map(({ headers, body }) => [headers['idempotency-key'], body.toString()]),
  );
  expect([...batches.values()].join('').split('\n').slice(0, -1)).toEqual(feed.messages);
  expect(run.output('errors').texts).toEqual([]);
});

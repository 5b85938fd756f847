import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { connectClient, send } from '../support/peers.ts';
import { Sender } from '../support/senders.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';
import { victims, type Victim } from '../support/victim.ts';

const dir = tempDir();
const { start } = victims();

/** Runs for an hour, if nothing ends it. */
const SLOW =
  'SELECT (SELECT count(*) FROM range(k) a, range(k) b WHERE a.range <> b.range + 1) AS n FROM flow';

const streams = (path: string, timeout: string): string => `
  - id: stream-0
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json } }
    pipeline: { thread_num: 4, processors: [ { type: sql, query: "${SLOW}", schema: { k: BIGINT }, timeout: ${timeout} } ] }
    output: { type: stdout }
  - id: durable
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ack: { when: stored, reply: 'safe {{id}}' } }
    output: { type: drop }
    durability: { path: ${path} }
  - id: other
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json }, ack: { reply: 'done {{id}}' } }
    pipeline: { processors: [ { type: sql, query: "SELECT k + 1 AS k FROM flow" } ] }
    output: { type: drop }
`;

async function senderTo(victim: Victim, stream: string): Promise<Sender> {
  return new Sender(await connectClient(await victim.url(stream)));
}

/** Sends messages that are a batch each, as many as a stream and a pool of threads can be busy with. */
async function keepBusy(victim: Victim): Promise<void> {
  const { client } = await senderTo(victim, 'stream-0');
  for (let k = 0; k < 8; k++) {
    await send(client, `{"k":${1_000_000 + k}}`);
    await until(
      'the message to be taken in',
      async () =>
        (await victim.metric('millrace_input_messages_total', 'stream="stream-0"')) > Math.min(k, 3),
    );
  }
}

describe.each([
  ['as the command line sizes it', {}],
  ['of four threads', { UV_THREADPOOL_SIZE: '4' }],
] as const)('with a pool %s', (_, env) => {
  test('slow queries of one stream hold up no file and no other stream', async () => {
    const victim = await start(streams(join(dir.path, `log-${Object.keys(env).length}`), '60s'), { env });
    await keepBusy(victim);
    const durable = await senderTo(victim, 'durable');
    const other = await senderTo(victim, 'other');
    for (let n = 1; n <= 20; n++) {
      await send(durable.client, `${n}`);
      await durable.count(n);
      await send(other.client, `{"k":${n}}`);
      await other.count(n);
    }
    expect(await victim.metric('millrace_sql_queries_running', 'stream="stream-0"')).toBeGreaterThan(0);
    expect(await victim.metric('millrace_dead_letters_total', 'stream="stream-0"')).toBe(0);
  });
});

test('a slow query is in readiness, with the reason, and in the metrics; at its timeout it ends', async () => {
  const victim = await start(streams(join(dir.path, 'log-slow'), '2s'));
  await keepBusy(victim);
  const said = await until('readiness to say it', async () => {
    const text = await victim.http('/readiness');
    return /processor sql: the query has been running on a batch for [\d.]+ s/.exec(text)?.[0];
  });
  expect(said).toBeDefined();
  await until(
    'the timeout',
    async () => (await victim.metric('millrace_dead_letters_total', 'code="MILLRACE_SQL_TIMEOUT"')) > 0,
  );
  expect(await victim.metric('millrace_sql_query_seconds_count', 'stream="stream-0"')).toBeGreaterThan(0);
});

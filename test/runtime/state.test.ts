import { describe, expect, test } from 'vitest';
import { startEngine, type Run } from '../support/engine.ts';
import { connectClient, send } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const dir = tempDir();
let logs = 0;

const file = (more: string, window = '1h'): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0 }
    buffer: { type: tumbling_window, interval: ${window} }
    output: { type: collect }
    ${more}
`;

const texts = (count: number, size = 0): string[] =>
  Array.from({ length: count }, (_, index) => `${index} ${'x'.repeat(size)}`);

async function readiness(run: Run): Promise<string[]> {
  const { text } = await run.http('/readiness');
  return (JSON.parse(text) as { streams: { reasons: string[] }[] }).streams[0]!.reasons;
}

describe('a window', () => {
  test('that holds more than may be in flight continues, and the stream is ready', async () => {
    const run = await startEngine(file('in_flight: { messages: 10 }'));
    const client = await connectClient(await run.url());
    for (const text of texts(400)) await send(client, text);
    await run.metricIs(400, 'millrace_state_messages');
    expect(await run.inFlight()).toEqual({ messages: 0, bytes: 0 });
    expect(await readiness(run)).toEqual([]);
    expect(run.output().texts).toEqual([]);
    expect(await run.stop()).toEqual({ failed: [], left: [] });
    expect(run.output().texts).toEqual(texts(400));
    expect(run.output().writes).toBe(1);
  });

  test('that does not fit into the state holds back the senders, says so, and loses nothing', async () => {
    const run = await startEngine(file('in_flight: { messages: 50 }\n    state: { memory: 10KB }'));
    const client = await connectClient(await run.url());
    for (const text of texts(20, 100)) await send(client, text);
    await run.metricIs(20, 'millrace_state_messages');
    // The message has no room before the window ends.
    void send(client, ...texts(5000, 100).slice(20)).catch(() => {});
    await until('the senders to be held', async () => (await run.inFlight()).messages >= 50);
    const [reason] = await readiness(run);
    expect(reason).toBe(
      'tumbling_window: its state is full (state.memory 10000 bytes); senders wait once in_flight is full as well',
    );
    const kept = await run.metric('millrace_state_messages');
    expect(kept).toBeGreaterThan(0);
    expect(await run.metric('millrace_state_bytes', 'where="memory"')).toBeLessThanOrEqual(10_000);
    const { messages } = await run.inFlight();
    await run.stop();
    expect(run.output().texts).toEqual(texts(5000, 100).slice(0, run.output().texts.length));
    expect(run.output().texts.length).toBeGreaterThanOrEqual(kept + messages);
  });

  test('frees its state when it ends', async () => {
    const run = await startEngine(file('in_flight: { messages: 50 }\n    state: { memory: 10KB }', '200ms'));
    const client = await connectClient(await run.url());
    await send(client, ...texts(1000, 100));
    expect(await run.output().count(1000)).toEqual(texts(1000, 100));
    await run.metricIs(0, 'millrace_state_messages');
    expect(await readiness(run)).toEqual([]);
  });
});

describe('with a log', () => {
  const durable = (more = ''): string =>
    file(
      `in_flight: { messages: 100 }\n    state: { memory: 20KB, disk: 10MB }\n    durability: { path: "${dir.path}/log-${logs}" }\n    ${more}`,
    );

  test('a window that does not fit into memory is on disk, and comes out whole and in order', async () => {
    logs++;
    const run = await startEngine(durable());
    const clients = await Promise.all([1, 2].map(async () => await connectClient(await run.url())));
    for (const [index, text] of texts(3000, 50).entries()) await send(clients[index % 2]!, text);
    await run.metricIs(3000, 'millrace_state_messages');
    expect(await run.metric('millrace_state_bytes', 'where="memory"')).toBeLessThanOrEqual(20_000);
    expect(await run.metric('millrace_state_bytes', 'where="disk"')).toBeGreaterThan(100_000);
    expect(await readiness(run)).toEqual([]);
    await run.stop();
    const { messages } = run.output();
    expect(run.output().writes).toBe(1);
    for (const own of [0, 1]) {
      const sent = texts(3000, 50).filter((_, index) => index % 2 === own);
      const ids = new Set(
        messages.filter(({ payload }) => payload.toString() === sent[0]).map(({ ext }) => ext['session_id']),
      );
      const received = messages.filter(({ ext }) => ids.has(ext['session_id']));
      expect(received.map(({ payload }) => Buffer.from(payload).toString())).toEqual(sent);
      expect(received.map(({ ext }) => Number(ext['sequence']))).toEqual(sent.map((_, index) => index + 1));
    }
  });

  test('a stop at once leaves it to the log, and the next start has it again', async () => {
    logs++;
    const first = await startEngine(durable());
    const client = await connectClient(await first.url());
    await send(client, ...texts(2000, 50));
    await first.metricIs(2000, 'millrace_state_messages');
    await first.abort();
    expect((await first.ended).left[0]).toContain('2000 messages not confirmed; those in the log come first');
    const second = await startEngine(durable());
    await second.metricIs(2000, 'millrace_state_messages');
    await second.stop();
    expect(second.output().texts).toEqual(texts(2000, 50));
  });
});

test('a buffer is an operator at any place of the pipeline', async () => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json } }
    pipeline:
      processors:
        - { type: sql, query: "SELECT a FROM flow WHERE a > 1" }
        - { type: tumbling_window, interval: 1h }
        - { type: sql, query: "SELECT count(*) AS count, sum(a) AS sum FROM flow" }
        - { type: memory, capacity: 10, timeout: 10ms }
    output: { type: collect }
`);
  const client = await connectClient(await run.url());
  for (const a of [1, 2, 3]) await send(client, `{"a":${a}}`);
  await run.metricIs(2, 'millrace_state_messages');
  await run.stop();
  expect(run.output().values).toEqual([{ count: 2, sum: 5 }]);
});

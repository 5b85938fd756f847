import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startEngine, type Run } from '../support/engine.ts';
import { basic } from '../support/handshakes.ts';
import { send } from '../support/peers.ts';
import { sender } from '../support/senders.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const dir = tempDir();
let logs = 0;
const logPath = (): string => join(dir.path, `log-${logs++}`);

const durable = (path: string, when: string, fields = '', more = ''): string => `
streams:
  - input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      ack: { when: ${when}, id: id, reply: 'ack {{id}}'${when === 'delivered' || fields.includes('codec') ? ", reject_reply: 'nack {{id}}'" : ''} }
      ${fields}
    output: { type: collect }
    durability: { path: "${path}" }
    ${more}
`;

const dedupe = 'dedupe: { key: id, per: all }';
const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);
const message = (id: number): string => `{"id":${id}}`;

/** An engine whose output takes nothing. */
async function stalled(yaml: string): Promise<Run> {
  const run = await startEngine(yaml);
  run.output().hold();
  return run;
}

/** Ends it as a crash does: batches with the output are not delivered. */
async function crash(run: Run): Promise<void> {
  await run.abort({ release: false });
}

describe('`stored`', () => {
  test('comes as soon as the log has the message, whatever the output does; after a crash the message comes out', async () => {
    const path = logPath();
    const first = await stalled(durable(path, 'stored'));
    const one = await sender(first);
    await send(one.client, ...range(1, 300).map(message));
    expect(await one.count(300)).toEqual(range(1, 300).map((id) => `ack ${id}`));
    expect(first.output().messages).toEqual([]);
    await crash(first);
    const second = await startEngine(durable(path, 'stored'));
    expect(await second.output().count(300)).toEqual(range(1, 300).map(message));
  });

  test('a repeat after a crash is acknowledged at once, and not passed on again', async () => {
    const path = logPath();
    const first = await stalled(durable(path, 'stored', dedupe));
    const one = await sender(first);
    await send(one.client, ...range(1, 10).map(message));
    await one.count(10);
    await crash(first);
    const second = await stalled(durable(path, 'stored', dedupe));
    const again = await sender(second);
    await send(again.client, ...range(6, 12).map(message));
    expect(await again.count(7)).toEqual(range(6, 12).map((id) => `ack ${id}`));
    second.output().release();
    await second.output().count(12);
    await second.idle();
    expect(second.output().texts).toEqual(range(1, 12).map(message));
    await second.stop();
    // Also after it has been delivered, and after a second start.
    const third = await startEngine(durable(path, 'stored', dedupe));
    const late = await sender(third);
    await send(late.client, message(1), message(12), message(13));
    expect(await late.count(3)).toEqual(['ack 1', 'ack 12', 'ack 13']);
    expect(await third.output().count(1)).toEqual([message(13)]);
    await third.metricIs(2, 'millrace_messages_dropped_total', 'reason="duplicate"');
  });

  test('a message that the codec rejects gets that reply when it is stored; one that is rejected later has had its reply', async () => {
    const sql = `pipeline: { processors: [{ type: sql, query: "SELECT CASE WHEN id = 3 THEN error('no') ELSE id END AS id FROM flow" }] }`;
    const run = await stalled(
      durable(
        logPath(),
        'stored',
        'codec: { type: json }',
        `${sql}\n    error_output: { type: collect, name: errors }`,
      ).replace('nack {{id}}', 'nack {{sequence}}'),
    );
    run.output('errors').hold();
    const one = await sender(run);
    await send(one.client, message(1), '{"id":2', message(3), message(4));
    expect(await one.count(4)).toEqual(['ack 1', 'nack 2', 'ack 3', 'ack 4']);
    run.output('errors').release();
    run.output().release();
    await run.output('errors').count(2);
    await send(one.client, message(5));
    expect((await one.count(5)).slice(4)).toEqual(['ack 5']);
  });

  test('at shutdown, messages taken in are stored and acknowledged before the close', async () => {
    const run = await startEngine(durable(logPath(), 'stored'));
    const one = await sender(run);
    for (const id of range(1, 2000)) one.client.socket.send(message(id));
    await one.count(1);
    await run.stop();
    expect((await one.client.closed).code).toBe(1001);
    // Messages behind the close came out without a reply: the sender repeats them.
    const { texts } = run.output();
    expect(texts).toEqual(range(1, texts.length).map(message));
    expect(one.replies).toEqual(range(1, one.replies.length).map((id) => `ack ${id}`));
    expect(texts.length).toBeGreaterThanOrEqual(one.replies.length);
  });
});

describe('`delivered` with a log', () => {
  test('comes when the output has the message', async () => {
    const run = await stalled(durable(logPath(), 'delivered'));
    const one = await sender(run);
    await send(one.client, message(1), message(2));
    await until('the output to be asked', () => run.output().writes > 0);
    await one.roundTrip();
    expect(one.replies).toEqual([]);
    run.output().release();
    expect(await one.count(2)).toEqual(['ack 1', 'ack 2']);
  });

  test('a repeat after a crash waits for the entry of the log, and is not passed on again', async () => {
    const path = logPath();
    const first = await stalled(durable(path, 'delivered', dedupe));
    const one = await sender(first);
    await send(one.client, ...range(1, 10).map(message));
    await until('the log to have them', async () => {
      await first.http('/health');
      return (await first.metric('millrace_log_entries')) > 0 && (await first.inFlight()).messages === 10;
    });
    await crash(first);
    expect(one.replies).toEqual([]);
    const second = await stalled(durable(path, 'delivered', dedupe));
    const again = await sender(second);
    await send(again.client, ...range(1, 12).map(message));
    await second.metricIs(10, 'millrace_messages_dropped_total', 'reason="duplicate"');
    await again.roundTrip();
    expect(again.replies).toEqual([]);
    second.output().release();
    expect((await again.count(12)).toSorted()).toEqual(
      range(1, 12)
        .map((id) => `ack ${id}`)
        .toSorted(),
    );
    expect(second.output().texts).toEqual(range(1, 12).map(message));
    await second.idle();
  });

  test('a rejected message gets its reply when error_output has it', async () => {
    const run = await startEngine(
      durable(
        logPath(),
        'delivered',
        'codec: { type: json }',
        'error_output: { type: collect, name: errors }',
      )
        .replaceAll('{{id}}', '{{sequence}}')
        .replace('id: id, ', ''),
    );
    run.output('errors').hold();
    const one = await sender(run);
    await send(one.client, '{');
    await until('error_output to be asked', () => run.output('errors').writes > 0);
    await one.roundTrip();
    expect(one.replies).toEqual([]);
    run.output('errors').release();
    expect(await one.count(1)).toEqual(['nack 1']);
  });
});

test('keys of a subject outlive a restart, those of sessions end with them', async () => {
  const path = logPath();
  const yaml = durable(
    path,
    'stored',
    'dedupe: { key: id }\n      auth: { type: basic, users: { ann: pass, bob: pass } }',
  );
  const first = await startEngine(yaml);
  const ann = await sender(first, basic('ann', 'pass'));
  await send(ann.client, message(1));
  await ann.count(1);
  await first.stop();
  const second = await startEngine(yaml);
  const [again, bob] = [
    await sender(second, basic('ann', 'pass')),
    await sender(second, basic('bob', 'pass')),
  ];
  await send(again.client, message(1), message(2));
  await again.count(2);
  await send(bob.client, message(1));
  await bob.count(1);
  expect((await second.output().count(2)).toSorted()).toEqual([message(1), message(2)]);
  await second.metricIs(1, 'millrace_messages_dropped_total', 'reason="duplicate"');
});

test('`window` ends while the engine is down, too', async () => {
  const path = logPath();
  const yaml = durable(path, 'stored', 'dedupe: { key: id, per: all, window: 100ms }');
  const first = await startEngine(yaml);
  const one = await sender(first);
  await send(one.client, message(1));
  await one.count(1);
  await first.stop();
  const ended = performance.now();
  await until('the window to be over', () => performance.now() - ended > 150);
  const second = await startEngine(yaml);
  const again = await sender(second);
  await send(again.client, message(1));
  expect(await second.output().count(1)).toEqual([message(1)]);
});

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Budget } from '../../src/component/budget.ts';
import { createReceipt } from '../../src/message/receipt.ts';
import { Backlog, shareOfPipeline } from '../../src/runtime/backlog.ts';
import { Culprits } from '../../src/runtime/culprits.ts';
import type { DeadLetters } from '../../src/runtime/dead-letters.ts';
import type { StreamEvents } from '../../src/telemetry/events.ts';
import { batchOf, openLog } from '../delivery/log/support.ts';
import { cli } from '../support/cli.ts';
import { startEngine, type Run } from '../support/engine.ts';
import { connectClient, send } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { standstill, until } from '../support/until.ts';

const dir = tempDir();
let logs = 0;
const logPath = (): string => join(dir.path, `log-${logs++}`);

const orders = (prefix: string, from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => JSON.stringify({ id: `${prefix}${from + index}` }));

const urls = (run: Run): string[] =>
  run.log.flatMap(({ msg, url }) => (/listening/.test(msg) ? [String(url)] : []));

async function emptied(run: Run): Promise<void> {
  await until('the log to be empty', async () => {
    await run.http('/health');
    return (await run.metric('millrace_log_entries')) === 0;
  });
}

/** Connects, and collects the answers. */
async function peer(
  url: string,
): Promise<Awaited<ReturnType<typeof connectClient>> & { messages: string[] }> {
  const connected = await connectClient(url);
  const messages: string[] = [];
  connected.socket.on('message', (data: Buffer) => messages.push(data.toString()));
  return { ...connected, messages };
}

const server = (name: string, when: string): string =>
  `{ type: websocket, name: ${name}, mode: server, host: 127.0.0.1, port: 0, path: /${name}, codec: { type: json }, ack: { when: ${when}, id: id, reply: '{"ack":"{{id}}"}' } }`;

test('one input acknowledges stored messages and one delivered messages, while the output stands still', async () => {
  const run = await startEngine(`
streams:
  - input: { type: multiple_inputs, inputs: [${server('s', 'stored')}, ${server('d', 'delivered')}] }
    output: { type: collect }
    in_flight: { messages: 400 }
    durability: { path: "${logPath()}" }
`);
  run.output().hold();
  await until('both to listen', () => urls(run).length === 2, { state: () => JSON.stringify(run.log) });
  const s = await peer(urls(run).find((url) => url.endsWith('/s'))!);
  const d = await peer(urls(run).find((url) => url.endsWith('/d'))!);
  for (let round = 0; round < 10; round++) {
    await send(s, ...orders('s', round * 500, round * 500 + 499));
    await send(d, ...orders('d', round * 10, round * 10 + 9));
  }
  // The output stands still, and a sender that needs only the log does not wait for it.
  await until('replies', () => s.messages.length === 5000, { state: () => String(s.messages.length) });
  expect(d.messages).toEqual([]);
  run.output().release();
  await run.output().count(5100);
  await until('replies', () => s.messages.length === 5000 && d.messages.length === 100);
  const ids = run.output().texts.map((text) => (JSON.parse(text) as { id: string }).id);
  expect(ids.filter((id) => id.startsWith('s'))).toEqual(Array.from({ length: 5000 }, (_, i) => `s${i}`));
  expect(ids.filter((id) => id.startsWith('d'))).toEqual(Array.from({ length: 100 }, (_, i) => `d${i}`));
  await run.idle();
  await emptied(run);
});

test('`delivered` after a restart: messages of the log and new ones come out, each once, and only the new ones are acknowledged', async () => {
  const path = logPath();
  // One session may fill a quarter of it, and is not read beyond that.
  const yaml = `
streams:
  - input: ${server('d', 'delivered')}
    output: { type: collect }
    in_flight: { messages: 2000 }
    durability: { path: "${path}" }
`;
  const first = await startEngine(yaml);
  first.output().hold();
  const early = await peer(await first.url());
  await send(early, ...orders('a', 0, 399));
  await first.metricIs(400, 'millrace_input_messages_total');
  await until('the log to have them', async () => {
    await first.http('/health');
    return (await first.metric('millrace_log_entries')) > 0;
  });
  // Any batch behind the first is committed when nothing has changed for a while.
  await standstill('the log', () =>
    readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0),
  );
  await first.abort({ release: false });
  expect(early.messages).toEqual([]);

  const second = await startEngine(yaml);
  second.output().hold();
  const late = await peer(await second.url());
  const later = await peer(await second.url());
  await Promise.all([send(late, ...orders('b', 0, 2999)), send(later, ...orders('c', 0, 2999))]);
  // It reads no more than its budget.
  await standstill('the input', () => second.output().writes);
  expect(late.messages.length + later.messages.length).toBe(0);
  second.output().release();
  await second.output().count(6400);
  await until('replies', () => late.messages.length === 3000 && later.messages.length === 3000);
  const ids = second.output().texts.map((text) => (JSON.parse(text) as { id: string }).id);
  expect(ids.slice(0, 400)).toEqual(Array.from({ length: 400 }, (_, i) => `a${i}`));
  expect(ids.length).toBe(6400);
  expect(ids.filter((id) => id.startsWith('b'))).toEqual(Array.from({ length: 3000 }, (_, i) => `b${i}`));
  await second.idle();
  await emptied(second);
});

test('a codec that rejects everything while error_output stands still: each sender is told once, and each message is written once', async () => {
  const path = logPath();
  const yaml = `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json }, ack: { when: stored, reply: 'ok {{sequence}}', reject_reply: 'no {{sequence}}' } }
    output: { type: collect }
    error_output: { type: collect, name: errors }
    in_flight: { messages: 300 }
    durability: { path: "${path}" }
`;
  const first = await startEngine(yaml);
  first.output('errors').hold();
  const sender = await peer(await first.url());
  const bad = Array.from({ length: 3000 }, (_, i) => `bad ${i}`);
  await send(sender, ...bad);
  await until('replies', () => sender.messages.length >= 3000, {
    state: () => String(sender.messages.length),
  });
  await standstill('the replies', () => sender.messages.length);
  expect(sender.messages).toEqual(bad.map((_, i) => `no ${i + 1}`));
  await first.abort({ release: false });
  const second = await startEngine(yaml);
  await second.output('errors').count(3000);
  await emptied(second);
  expect(
    second.output('errors').texts.map((text) => (JSON.parse(text) as { payload: string }).payload),
  ).toEqual(bad);
  expect(second.output().texts).toEqual([]);
  await second.stop();
});

test('a memory buffer whose capacity exceeds the state passes on its messages before its timeout', async () => {
  const path = logPath();
  const yaml = `
streams:
  - input: ${server('s', 'stored')}
    buffer: { type: memory, capacity: 100000, timeout: 1h }
    output: { type: collect }
    in_flight: { messages: 1000 }
    state: { memory: 64KiB, disk: 0 }
    durability: { path: "${path}" }
`;
  const first = await startEngine(yaml);
  first.output().hold();
  const sender = await peer(await first.url());
  await send(sender, ...orders('a', 0, 9999));
  await until('replies', () => sender.messages.length === 10000);
  await first.abort({ release: false });
  const second = await startEngine(yaml);
  await second.output().count(9000);
});

test('a log whose disk was slow at first still takes new messages when the output stands still', async () => {
  const { log } = await openLog(logPath());
  const budget = new Budget({ messages: 10, bytes: 1000 });
  let spilled = 0;
  const backlog = new Backlog(log, {
    budget,
    share: shareOfPipeline(budget),
    deadLetters: {} as DeadLetters,
    culprits: new Culprits([], []),
    events: { spilled: () => void spilled++ } as Partial<StreamEvents> as StreamEvents,
    separate: false,
    changed: () => {},
  });
  budget.add(10, 10);
  // The commit takes longer than an output may stand still.
  await new Promise((resolve) => setTimeout(resolve, 700));
  const batch = batchOf(...Array.from({ length: 10 }, () => 'x'));
  const receipt = createReceipt({ settled: () => budget.release(10, 10) });
  backlog.committed({ batch, receipt }, await log.append({ batch, rejected: undefined, keys: undefined }));
  expect(budget.full).toBe(true);
  await until('room', () => !budget.full);
  expect(spilled).toBe(1);
  expect((await backlog.take(false, new AbortController().signal))?.batch.length).toBe(10);
  await backlog.close();
});

const parts = (path: string, fields: string, each: (index: number) => string): string => `
streams:
  - input:
      type: multiple_inputs
      ${fields}
      inputs: [${[0, 1].map((index) => `{ type: websocket, ${each(index)}, dedupe: { key: id, per: all, max_keys: 2 } }`).join(', ')}]
    output: { type: collect }
    durability: { path: "${path}" }
`;

test('inputs of one stream keep their keys apart, in the log as well, even if they share a name', async () => {
  const yaml = parts(
    logPath(),
    'name: both',
    (index) => `mode: server, host: 127.0.0.1, port: 0, path: /${index}, ack: { id: id, reply: 'ok {{id}}' }`,
  );
  const first = await startEngine(yaml);
  await until('both to listen', () => urls(first).length === 2);
  const a = await peer(urls(first).find((url) => url.endsWith('/0'))!);
  await send(a, '{"id":1}', '{"id":2}');
  await until('both acknowledgements', () => a.messages.length === 2);
  await first.stop();
  const second = await startEngine(yaml);
  await until('both to listen', () => urls(second).length === 2);
  const again = await peer(urls(second).find((url) => url.endsWith('/0'))!);
  const b = await peer(urls(second).find((url) => url.endsWith('/1'))!);
  await send(b, '{"id":1,"b":1}', '{"id":2,"b":1}');
  await second.output().count(2);
  await send(again, '{"id":1}', '{"id":2}', '{"id":3}', '{"id":1,"forgotten":1}');
  await until('all acknowledgements', () => again.messages.length === 4 && b.messages.length === 2);
  expect(second.output().texts).toEqual([
    '{"id":1,"b":1}',
    '{"id":2,"b":1}',
    '{"id":3}',
    // `max_keys` goes on where it was.
    '{"id":1,"forgotten":1}',
  ]);
});

test('inputs whose keys the log could not tell apart are a mistake, with its place', async () => {
  const yaml = parts(logPath(), '', (index) => `url: "ws://127.0.0.1:1/?token=${index}"`);
  const { code, stderr } = await cli(['check', dir.file('same.yaml', yaml.replace('collect', 'drop'))]);
  expect(code).toBe(1);
  expect(stderr).toContain(
    'streams[0].input.inputs[1].dedupe: the log could not tell the keys of this input from those of another',
  );
  const named = parts(logPath(), '', (index) => `name: n${index}, url: "ws://127.0.0.1:1/?token=${index}"`);
  expect((await cli(['check', dir.file('named.yaml', named.replace('collect', 'drop'))])).code).toBe(0);
});

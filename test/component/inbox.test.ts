import { expect, test } from 'vitest';
import { Budget } from '../../src/component/budget.ts';
import { Inbox } from '../../src/component/inbox.ts';
import type { Batch, Origin } from '../../src/message/batch.ts';

const origin = (id: string): Origin => ({ source: 'ws://test', ext: { session_id: id } });
const a = origin('a');
const b = origin('b');
const never = new AbortController().signal;
const bytes = (text: string): Uint8Array => Buffer.from(text);
const texts = (batch: Batch): string[] => batch.payloads.map((each) => Buffer.from(each).toString());

function create(limits = { messages: 1_000_000, bytes: 1e9 }) {
  const budget = new Budget(limits);
  return { budget, inbox: new Inbox(budget) };
}

/** Lets everything that is due happen: microtasks, and one turn of the loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

test('a quiet stream gives one message at a time, a busy one everything that has arrived', async () => {
  const { inbox } = create();
  const first = inbox.read(never);
  await turn();
  inbox.push(bytes('1'), a);
  expect(texts((await first).batch)).toEqual(['1']);
  for (let each = 2; each <= 1_001; each++) inbox.push(bytes(String(each)), a);
  const { batch: second } = await inbox.read(never);
  expect(second.length).toBe(1_000);
  expect(texts(second).at(-1)).toBe('1001');
});

test('a reader that waits gets all of one socket read', async () => {
  const { inbox } = create();
  const read = inbox.read(never);
  await turn();
  for (const each of ['1', '2', '3']) inbox.push(bytes(each), a);
  expect(texts((await read).batch)).toEqual(['1', '2', '3']);
});

test('nothing is lost or out of order between reads', async () => {
  const { inbox } = create();
  const seen: string[] = [];
  let sent = 0;
  while (seen.length < 500) {
    for (let each = 0; each < sent % 7 && sent < 500; each++) inbox.push(bytes(String(sent++)), a);
    if (sent % 7 === 0 && sent < 500) inbox.push(bytes(String(sent++)), a);
    seen.push(...texts((await inbox.read(never)).batch));
  }
  expect(seen).toEqual(Array.from({ length: 500 }, (_, index) => String(index)));
});

test('messages of one session and one read are one run; their numbers go up', async () => {
  const { inbox } = create();
  for (let sequence = 7; sequence < 10; sequence++) inbox.push(bytes('x'), a, sequence, 'text');
  const { batch } = await inbox.read(never);
  expect(batch.runs).toHaveLength(1);
  expect(batch.metadata(2).ext).toEqual({ session_id: 'a', message_type: 'text', sequence: '9' });
});

test('a new run begins with another session, type, or number out of turn', async () => {
  const { inbox } = create();
  inbox.push(bytes('x'), a, 1, 'text');
  inbox.push(bytes('x'), b, 2, 'text');
  inbox.push(bytes('x'), a, 2, 'text');
  inbox.push(bytes('x'), a, 3, 'binary');
  inbox.push(bytes('x'), a, 5, 'binary');
  inbox.push(bytes('x'), a, undefined, 'binary');
  inbox.push(bytes('x'), a, 6, 'binary');
  const { batch } = await inbox.read(never);
  const seen = Array.from({ length: batch.length }, (_, index) => {
    const { ext } = batch.metadata(index);
    return [ext['session_id'], ext['sequence'], ext['message_type']].map(String).join(' ');
  });
  expect(seen).toEqual([
    'a 1 text',
    'b 2 text',
    'a 2 text',
    'a 3 binary',
    'a 5 binary',
    'a undefined binary',
    'a 6 binary',
  ]);
});

test('a message that is not numbered takes no number from, and gives none to, its neighbours', async () => {
  const { inbox } = create();
  inbox.push(bytes('x'), a);
  inbox.push(bytes('x'), a, 0);
  inbox.push(bytes('x'), a, 1);
  inbox.push(bytes('x'), a);
  const { batch } = await inbox.read(never);
  const numbers = [0, 1, 2, 3].map((index) => batch.metadata(index).ext['sequence']);
  expect(numbers).toEqual([undefined, '0', '1', undefined]);
});

test('the time is that of arrival: the same for messages that came together, later for a later one', async () => {
  const { inbox } = create();
  const before = Date.now() * 1000;
  inbox.push(bytes('x'), a);
  inbox.push(bytes('x'), a);
  const after = Date.now() * 1000 + 1000;
  const start = performance.now();
  while (performance.now() - start < 3) await turn();
  inbox.push(bytes('x'), a);
  const { batch } = await inbox.read(never);
  const times = [0, 1, 2].map((index) => batch.metadata(index).ingestTime);
  expect(times[0]).toBe(times[1]);
  // The fine clock may be a millisecond beside the coarse one.
  expect(times[0]).toBeGreaterThanOrEqual(before - 1000);
  expect(times[0]).toBeLessThanOrEqual(after + 1000);
  expect(times[2]).toBeGreaterThan(times[0]!);
});

test('no batch has more than 16,384 messages', async () => {
  const { inbox } = create();
  for (let each = 0; each < 40_000; each++) inbox.push(bytes('x'), a, each);
  const batches = [await inbox.read(never), await inbox.read(never), await inbox.read(never)];
  expect(batches.map(({ batch }) => batch.length)).toEqual([16_384, 16_384, 40_000 - 2 * 16_384]);
  expect(batches[1]!.batch.metadata(0).ext['sequence']).toBe('16384');
  expect(batches[1]!.batch.metadata(16_383).ext['sequence']).toBe('32767');
});

test('no batch goes on once it has 4 MiB', async () => {
  const { inbox } = create();
  const payload = new Uint8Array(1024 * 1024 + 1);
  for (let each = 0; each < 9; each++) inbox.push(payload, a);
  const lengths = [];
  for (let each = 0; each < 3; each++) lengths.push((await inbox.read(never)).batch.length);
  expect(lengths).toEqual([4, 4, 1]);
});

test('an arrived message counts in the budget until it is confirmed, once', async () => {
  const { budget, inbox } = create({ messages: 4, bytes: 1_000 });
  for (const each of ['12', '345', '6', '7']) inbox.push(bytes(each), a);
  expect([budget.messages, budget.bytes, budget.full]).toEqual([4, 7, true]);
  const { receipt } = await inbox.read(never);
  expect(budget.full).toBe(true);
  const fork = receipt.fork();
  receipt.done();
  receipt.done();
  expect(budget.messages).toBe(4);
  fork.done();
  fork.failed(new Error('too late'));
  expect([budget.messages, budget.bytes, budget.full]).toEqual([0, 0, false]);
});

test('a refused message stays counted: it is not confirmed', async () => {
  const { budget, inbox } = create();
  inbox.push(bytes('1'), a);
  const { receipt } = await inbox.read(never);
  receipt.failed(new Error('refused'));
  expect(budget.messages).toBe(1);
});

test('a parked message is in flight no more; it is confirmed later, and does not count again', async () => {
  const { budget, inbox } = create({ messages: 2, bytes: 1_000 });
  for (const each of ['1', '2', '3']) inbox.push(bytes(each), a);
  const { receipt } = await inbox.read(never);
  inbox.push(bytes('4'), a);
  const fork = receipt.fork();
  receipt.done();
  expect([budget.messages, budget.full]).toEqual([4, true]);
  fork.park();
  expect([budget.messages, budget.bytes, budget.full]).toEqual([1, 1, false]);
  fork.done();
  expect(budget.messages).toBe(1);
});

test('a read that is aborted takes nothing, and throws the reason', async () => {
  const { inbox } = create();
  const aborter = new AbortController();
  const read = inbox.read(aborter.signal);
  aborter.abort(new Error('shutdown'));
  await expect(read).rejects.toThrow('shutdown');
  await expect(inbox.read(aborter.signal)).rejects.toThrow('shutdown');
  inbox.push(bytes('x'), a);
  expect(texts((await inbox.read(never)).batch)).toEqual(['x']);
});

test('a message that comes with the abort is not lost', async () => {
  const { inbox } = create();
  const aborter = new AbortController();
  const read = inbox.read(aborter.signal);
  await turn();
  aborter.abort(new Error('shutdown'));
  inbox.push(bytes('x'), a);
  expect(texts((await read).batch)).toEqual(['x']);
});

test('after the end, remaining messages are read first; then each read throws the first error', async () => {
  const { inbox } = create();
  inbox.push(bytes('x'), a);
  inbox.end(new Error('gone'));
  inbox.end(new Error('again'));
  expect(texts((await inbox.read(never)).batch)).toEqual(['x']);
  await expect(inbox.read(never)).rejects.toThrow('gone');
  await expect(inbox.read(never)).rejects.toThrow('gone');
});

test('the end wakes a reader; reopened, the inbox goes on', async () => {
  const { inbox } = create();
  const read = inbox.read(never);
  await turn();
  inbox.end(new Error('gone'));
  await expect(read).rejects.toThrow('gone');
  inbox.reopen();
  const next = inbox.read(never);
  await turn();
  inbox.push(bytes('x'), a);
  expect(texts((await next).batch)).toEqual(['x']);
});

test('small payloads that keep a large buffer are copied out of it, unchanged and in order', async () => {
  const { budget, inbox } = create();
  const chunk = (text: string): Uint8Array => {
    const memory = new Uint8Array(64 * 1024);
    memory.set(bytes(text), 100);
    return memory.subarray(100, 100 + text.length);
  };
  const sent = Array.from({ length: 300 }, (_, index) => (index % 7 === 0 ? '' : `message ${index}`));
  for (const text of sent) inbox.push(chunk(text), a);
  const { batch } = await inbox.read(never);
  expect(texts(batch)).toEqual(sent);
  const kept = new Set(batch.payloads.map(({ buffer }) => buffer));
  expect([...kept].reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThan(64 * 1024);
  expect(budget.bytes).toBe(sent.join('').length);
});

test('payloads that fill their buffer stay where they are', async () => {
  const { inbox } = create();
  const memory = new Uint8Array(64 * 1024);
  for (let at = 0; at < memory.length; at += 1024) inbox.push(memory.subarray(at, at + 1000), a);
  const { batch } = await inbox.read(never);
  expect(batch.payloads.every(({ buffer }) => buffer === memory.buffer)).toBe(true);
});

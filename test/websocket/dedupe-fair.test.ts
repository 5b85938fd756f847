import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Batch, type Origin } from '../../src/message/batch.ts';
import { parseJsonPath } from '../../src/message/json-path.ts';
import { noReceipt, type Receipt } from '../../src/message/receipt.ts';
import { Dedupe } from '../../src/delivery/dedupe.ts';
import { startEngine, type Run } from '../support/engine.ts';
import { basic } from '../support/handshakes.ts';
import { send } from '../support/peers.ts';
import { sender, type Sender } from '../support/senders.ts';
import { openLog } from '../delivery/log/support.ts';

function logPath(): string {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-dedupe-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'log');
}

const server = (dedupe: string, durability = ''): string => `
streams:
  - input:
      type: websocket
      name: in
      mode: server
      host: 127.0.0.1
      port: 0
      dedupe: ${dedupe}
      ack: { id: id, reply: 'ack {{id}}' }
      auth: { type: basic, users: { ann: pass, bob: pass } }
    output: { type: collect }
    ${durability}
`;
const withLog = (path: string): string => `durability: { enabled: true, path: "${path}" }`;

const as = (run: Run, user: string): Promise<Sender> => sender(run, basic(user, 'pass'));

/** Sends messages with these ids, and waits for the acknowledgement of each. */
async function sendIds(from: Sender, ids: readonly unknown[]): Promise<void> {
  const before = from.replies.length;
  await send(from.client, ...ids.map((id) => JSON.stringify({ id })));
  await from.count(before + ids.length);
}

const range = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, number) => `${prefix}${number}`);

test('`1`, `"1"`, `true` and `"true"` are four keys', async () => {
  const run = await startEngine(server('{ key: id, per: all }'));
  const ann = await as(run, 'ann');
  await sendIds(ann, [1, '1', true, 'true', 1, '1', true, 'true']);
  expect(run.output().values).toEqual([{ id: 1 }, { id: '1' }, { id: true }, { id: 'true' }]);
});

test('a string that is written in another way is the same key', async () => {
  const run = await startEngine(server('{ key: id, per: all }'));
  const ann = await as(run, 'ann');
  await send(ann.client, '{"id":"caf\u00e9"}', '{"id":"caf\\u00e9"}', '{"id":"end"}');
  await ann.count(3);
  expect(run.output().values).toEqual([{ id: 'café' }, { id: 'end' }]);
});

test('of `max_keys` each subject has its share: one that sends many forgets its own', async () => {
  const run = await startEngine(server('{ key: id, max_keys: 100 }'));
  const [ann, bob] = [await as(run, 'ann'), await as(run, 'bob')];
  await sendIds(ann, range('a', 40));
  await sendIds(bob, range('b', 1000));
  await sendIds(ann, range('a', 40));
  await sendIds(bob, ['b0', 'b999']);
  expect(run.output().values).toEqual([...range('a', 40), ...range('b', 1000), 'b0'].map((id) => ({ id })));
});

test('also after a restart, for keys of the log', async () => {
  const path = logPath();
  const yaml = server('{ key: id, max_keys: 100 }', withLog(path));
  const first = await startEngine(yaml);
  await sendIds(await as(first, 'ann'), range('a', 40));
  const bob = await as(first, 'bob');
  for (let round = 0; round < 20; round++) await sendIds(bob, range(`b${round}-`, 50));
  await first.stop();
  const second = await startEngine(yaml);
  await sendIds(await as(second, 'ann'), [...range('a', 40), 'new']);
  await sendIds(await as(second, 'bob'), ['b0-0', 'b19-49']);
  expect(second.output().values).toEqual([{ id: 'new' }, { id: 'b0-0' }]);
});

test('keys in a log of an earlier version, which did not tell types apart, are still known', async () => {
  const path = logPath();
  const { log } = await openLog(path);
  const space = JSON.stringify(['in', 'id', 'subject']);
  const expires = Date.now() + 60_000;
  const batch = new Batch([Buffer.from('{}')]);
  log.ack(
    await log.append({ batch, keys: { space, keys: ['3:ann7', '3:annx', '3:bob8'], expires, max: 100 } }),
  );
  await log.close();
  const run = await startEngine(server('{ key: id }', withLog(path)));
  await sendIds(await as(run, 'ann'), [7, '7', 'x', 8]);
  await sendIds(await as(run, 'bob'), [8, 'x']);
  expect(run.output().values).toEqual([{ id: 8 }, { id: 'x' }]);
});

test('a key that is longer than any other is known again, and not by its beginning', async () => {
  const path = logPath();
  const yaml = server('{ key: id }', withLog(path));
  const long = 'x'.repeat(500);
  const first = await startEngine(yaml);
  await sendIds(await as(first, 'ann'), [long, `${long}1`, long]);
  expect(first.output().values).toEqual([{ id: long }, { id: `${long}1` }]);
  await first.stop();
  const second = await startEngine(yaml);
  await sendIds(await as(second, 'ann'), [long, `${long}2`]);
  expect(second.output().values).toEqual([{ id: `${long}2` }]);
});

test('memory is bounded whatever comes, and a subject that keeps to its share loses no key', () => {
  const maxKeys = 60;
  let random = 7;
  const next = (below: number): number => (random = (random * 48_271) % 2_147_483_647) % below;
  const dedupe = new Dedupe({
    path: parseJsonPath('id')!,
    per: 'subject',
    window: 600_000,
    maxKeys,
    space: 'a',
    formerSpace: 'b',
    durability: undefined,
    dropped: () => {},
  });
  const origins: Origin[] = range('subject', 6).map((subject) => ({ source: '', ext: { subject } }));
  const sent = origins.map(() => new Set<number>());
  const unsettled: Receipt[] = [];
  for (let round = 0; round < 3000; round++) {
    const runs: { start: number; origin: Origin; time: number; sequence: number }[] = [];
    const payloads: Buffer[] = [];
    const expected: { index: number; repeat: boolean }[] = [];
    for (let run = 0; run < 3; run++) {
      const who = next(6);
      runs.push({ start: payloads.length, origin: origins[who]!, time: 0, sequence: 1 });
      for (let count = next(5) + 1; count > 0; count--) {
        // The first three send ten keys in all, again and again, the others ever new ones.
        const id = who < 3 ? next(10) : round * 100 + payloads.length;
        expected.push({ index: payloads.length, repeat: sent[who]!.has(id) });
        sent[who]!.add(id);
        payloads.push(Buffer.from(JSON.stringify({ id, index: payloads.length })));
      }
    }
    const rest = dedupe.filter({ batch: new Batch(payloads, { runs }), receipt: noReceipt });
    const passed = (rest?.batch.payloads ?? []).map(
      (payload) => (JSON.parse(payload.toString()) as { index: number }).index,
    );
    expect(passed).toEqual(expected.filter(({ repeat }) => !repeat).map(({ index }) => index));
    expect(dedupe.size).toBeLessThanOrEqual(maxKeys);
    if (rest !== undefined) unsettled.push(rest.receipt);
    if (unsettled.length > 5) unsettled.splice(next(5), 1)[0]!.done();
  }
  expect(dedupe.size).toBe(maxKeys);
});

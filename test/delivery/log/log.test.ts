import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { OpenMessages } from '../../../src/delivery/log/open-messages.ts';
import { until } from '../../support/until.ts';
import { batchOf, logFolder, openLog, readAll, texts } from './support.ts';

const segments = (path: string): string[] => readdirSync(path).filter((name) => name.endsWith('.log'));
const big = 'x'.repeat(10_000);

test.each(['per_entry', 'group_commit', 'periodic'] as const)(
  '%s: in order, numbered from 1, over restarts',
  async (sync) => {
    const path = logFolder();
    const expected: string[] = [];
    for (const round of [0, 1, 2]) {
      const { log, told } = await openLog(path, { sync, segmentBytes: 2000 });
      expect(told.recovered).toMatchObject([{ entries: round * 100, messages: round * 100, cutBytes: 0 }]);
      expect(log.recovered).toMatchObject({ first: 1, last: round * 100, entries: round * 100 });
      const numbers = await Promise.all(
        Array.from({ length: 100 }, (_, index) => {
          expected.push(`${round}-${index}`);
          return log.append({ batch: batchOf(`${round}-${index}`) });
        }),
      );
      expect(numbers).toEqual(numbers.map((_, index) => round * 100 + index + 1));
      expect((await readAll(log)).flatMap(({ batch }) => texts(batch))).toEqual(expected);
      await log.close();
    }
  },
);

test('entries acknowledged in any order, once or twice, are gone after a restart, and no others', async () => {
  const path = logFolder();
  const { log } = await openLog(path, { segmentBytes: 1000 });
  for (let index = 0; index < 60; index++) await log.append({ batch: batchOf(`m${index}`) });
  const done = [3, 59, 60, 1, 2, 2, 40, 41, 42, 30, 1, 1000];
  for (const number of done) log.ack(number);
  const open = Array.from({ length: 60 }, (_, index) => index + 1).filter((number) => !done.includes(number));
  expect(log.entries).toBe(open.length);
  expect((await readAll(log)).map(({ number }) => number)).toEqual(open);
  expect(log.has(4)).toBe(true);
  expect([3, 61].map((number) => log.has(number))).toEqual([false, false]);
  await log.close();
  const again = await openLog(path);
  expect(again.log.recovered).toEqual({ first: 4, last: 60, entries: open.length, messages: open.length });
  expect((await readAll(again.log)).map(({ number }) => number)).toEqual(open);
  expect((await readAll(again.log, 40)).map(({ number }) => number)).toEqual(
    open.filter((each) => each >= 40),
  );
});

test('an acknowledgement is written without a commit or a close', async () => {
  const path = logFolder();
  const { log } = await openLog(path);
  await log.append({ batch: batchOf('a') });
  const before = log.bytes;
  log.ack(1);
  await until('the record', () => log.bytes > before);
});

test('a file is deleted when all of it is acknowledged, the oldest first', async () => {
  const path = logFolder();
  const { log } = await openLog(path, { segmentBytes: 50_000 });
  for (let index = 0; index < 50; index++) await log.append({ batch: batchOf(big) });
  const files = segments(path);
  expect(files.length).toBeGreaterThanOrEqual(10);
  for (let number = 2; number <= 50; number++) log.ack(number);
  await log.append({ batch: batchOf('end') });
  expect(segments(path).length).toBeGreaterThanOrEqual(files.length);
  log.ack(1);
  await until('the files to go', () => segments(path).length === 1 && log.bytes < 60_000);
  await log.close();
  const again = await openLog(path);
  expect((await readAll(again.log)).map(({ number }) => number)).toEqual([51]);
});

test('a reader follows the writer, and skips acknowledged entries and deleted files', async () => {
  const path = logFolder();
  const { log } = await openLog(path, { segmentBytes: 50_000 });
  const reader = log.reader(1);
  expect(await reader.next()).toBeUndefined();
  await log.append({ batch: batchOf('one') });
  expect((await reader.next())?.number).toBe(1);
  expect(await reader.next()).toBeUndefined();
  for (let index = 0; index < 30; index++) await log.append({ batch: batchOf(big, String(index)) });
  expect((await reader.next())?.number).toBe(2);
  for (let number = 1; number <= 20; number++) log.ack(number);
  await until('files to go', () => segments(path).length < 6);
  const seen: number[] = [];
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next())
    seen.push(entry.number);
  expect(seen).toEqual(Array.from({ length: 11 }, (_, index) => index + 21));
  await reader.close();
});

test('a full log waits for the output, says so, and goes on', async () => {
  const path = logFolder();
  const { log, told } = await openLog(path, { maxBytes: 100_000, segmentBytes: 25_000 });
  let committed = 0;
  const all = Array.from({ length: 30 }, async () => {
    await log.append({ batch: batchOf(big) });
    committed++;
  });
  await until('the log to be full', () => log.blocked);
  expect(log.blocked).toMatch(/^the log is full: \d+(\.\d)? KiB of 97\.7 KiB; waiting for the output$/);
  expect(committed).toBe(9);
  expect(log.bytes).toBeLessThanOrEqual(100_000);
  expect(log.entries).toBe(9);
  for (let number = 1; number <= 30; number++) {
    await until(`entry ${number}`, () => log.has(number));
    log.ack(number);
    expect(log.bytes).toBeLessThanOrEqual(101_000);
  }
  await Promise.all(all);
  expect(log.blocked).toBeUndefined();
  expect(told.blocked.length).toBe(told.unblocked);
  expect(told.blocked.length).toBeGreaterThan(0);
});

test('an entry larger than the log is taken when it is alone', async () => {
  const path = logFolder();
  const { log } = await openLog(path, { maxBytes: 5000, segmentBytes: 2000 });
  for (let index = 0; index < 3; index++) {
    const number = await log.append({ batch: batchOf(big) });
    const [entry] = await readAll(log);
    expect(texts(entry!.batch)).toEqual([big]);
    log.ack(number);
  }
  await until('what is not needed to go', () => segments(path).length <= 2);
});

test('keys are kept over restarts and the deletion of their files, until they expire or are too many', async () => {
  const path = logFolder();
  const soon = Date.now() + 1e6;
  let number = 0;
  const add = async (opened: Awaited<ReturnType<typeof openLog>>, key: string, expires = soon, max = 20) => {
    const keys = { space: 'in', keys: [key, `${key}!`], expires, max };
    number = await opened.log.append({ batch: batchOf(big), keys });
    opened.log.ack(number);
  };
  const first = await openLog(path, { segmentBytes: 25_000 });
  await first.log.append({
    batch: batchOf('a'),
    keys: { space: 'other', keys: ['o'], expires: soon, max: 1 },
  });
  first.log.ack(1);
  await add(first, 'expired', Date.now() - 1);
  for (let index = 0; index < 30; index++) await add(first, `k${index}`);
  await until('files to go', () => segments(path).length <= 2);
  await first.log.close();
  for (let round = 0; round < 3; round++) {
    const { log } = await openLog(path, { segmentBytes: 25_000 });
    const spaces = Map.groupBy(log.keys, ({ space }) => space);
    expect(spaces.get('other')?.flatMap(({ keys }) => keys)).toEqual(['o']);
    expect(spaces.get('in')?.flatMap(({ keys }) => keys)).toEqual(
      Array.from({ length: 10 }, (_, index) => [`k${20 + index}`, `k${20 + index}!`]).flat(),
    );
    expect(spaces.get('in')?.map(({ entry }) => entry)).toEqual(
      Array.from({ length: 10 }, (_, index) => 23 + index),
    );
    // Entries without keys push the files with the keys out.
    for (let index = 0; index < 10; index++) log.ack(await log.append({ batch: batchOf(big) }));
    await until('files to go', () => segments(path).length <= 2);
    await log.close();
  }
});

test('if there are too many keys, the owner with most loses its oldest, also over restarts', async () => {
  const path = logFolder();
  const add = async (log: Awaited<ReturnType<typeof openLog>>['log'], ...keys: string[]) =>
    log.ack(
      await log.append({
        batch: batchOf(big),
        keys: { space: 'in', keys, expires: Date.now() + 1e6, max: 20 },
      }),
    );
  const first = await openLog(path, { segmentBytes: 25_000 });
  for (let index = 0; index < 8; index++) await add(first.log, `3:ann"${index}`);
  await add(first.log, '3:ann"with', '3:bob"with');
  for (let index = 0; index < 30; index++) await add(first.log, `3:bob"${index}`);
  await until('files to go', () => segments(path).length <= 2);
  await first.log.close();
  for (let round = 0; round < 2; round++) {
    const { log } = await openLog(path, { segmentBytes: 25_000 });
    const keys = log.keys.flatMap((group) => group.keys);
    expect(keys.filter((key) => key.startsWith('3:ann'))).toEqual([
      ...Array.from({ length: 8 }, (_, index) => `3:ann"${index}`),
      '3:ann"with',
    ]);
    expect(keys.filter((key) => key.startsWith('3:bob'))).toEqual(
      Array.from({ length: 11 }, (_, index) => `3:bob"${19 + index}`),
    );
    await log.close();
  }
});

test('a log that holds nothing but keys never blocks for good', async () => {
  const path = logFolder();
  const { log } = await openLog(path, { maxBytes: 4000, segmentBytes: 1000 });
  for (let index = 0; index < 50; index++) {
    const keys = { space: 'in', keys: ['k'.repeat(200) + index], expires: Date.now() + 1e6, max: 100 };
    log.ack(await log.append({ batch: batchOf('m'), keys }));
  }
  expect(log.entries).toBe(0);
});

test('keys that fill more than a file are not written again with every entry', async () => {
  const path = logFolder();
  const { log } = await openLog(path, { segmentBytes: 2000 });
  for (let index = 0; index < 200; index++) {
    const keys = { space: 'in', keys: ['k'.repeat(100) + index], expires: Date.now() + 1e6, max: 1000 };
    log.ack(await log.append({ batch: batchOf('m'), keys }));
  }
  const last = Math.max(...segments(path).map((name) => Number.parseInt(name, 10)));
  // A file has five entries or more.
  expect(last).toBeLessThan(50);
  expect(log.bytes).toBeLessThan(60_000);
  await log.close();
  const again = await openLog(path);
  expect(again.log.keys).toHaveLength(200);
});

test('messages are counted for more entries than a map can hold', () => {
  const open = new OpenMessages();
  const last = 2 ** 24 + 100;
  for (let entry = 1; entry <= last; entry++) open.add(entry, 2);
  expect(open.total).toBe(2 * last);
  open.delete(last);
  open.delete(last);
  open.delete(last + 1e6);
  expect(open.total).toBe(2 * last - 2);
});

test('a second one is refused, in this process as in another, and taken when the first is closed', async () => {
  const path = logFolder();
  const { log } = await openLog(path);
  await expect(openLog(path)).rejects.toMatchObject({
    code: 'MILLRACE_WAL_LOCKED',
    fatal: true,
    message: expect.stringContaining(path),
  });
  await log.close();
  await log.close();
  await (await openLog(path)).log.close();
});

test('after it is closed it takes nothing, and waiting entries are refused', async () => {
  const path = logFolder();
  const { log } = await openLog(path, { maxBytes: 15_000 });
  await log.append({ batch: batchOf(big) });
  const waiting = expect(log.append({ batch: batchOf(big) })).rejects.toMatchObject({ fatal: true });
  await until('it to wait', () => log.blocked);
  await log.close();
  await waiting;
  await expect(log.append({ batch: batchOf('late') })).rejects.toThrow(`the log in ${path} is closed`);
  const again = await openLog(path);
  expect(again.log.recovered.entries).toBe(1);
});

test('the folder and its parents are made; a file in its place is an error that says so', async () => {
  const path = logFolder();
  await openLog(join(path, 'deep', 'down'));
  const file = join(path, 'file');
  writeFileSync(file, '');
  for (const wrong of [file, join(file, 'under')]) {
    await expect(openLog(wrong)).rejects.toMatchObject({
      code: 'MILLRACE_WAL_FAILED',
      message: `the log in ${wrong} could not be opened: the path is a file; expected a folder`,
    });
  }
});

test('a log that is opened and never written grows by nothing', async () => {
  const path = logFolder();
  const { log } = await openLog(path);
  await log.append({ batch: batchOf('a') });
  log.ack(1);
  await log.close();
  const before = segments(path);
  for (let round = 0; round < 5; round++) await (await openLog(path)).log.close();
  expect(segments(path).length).toBeLessThanOrEqual(before.length + 1);
});

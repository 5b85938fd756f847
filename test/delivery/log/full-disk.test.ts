import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { MarkFile } from '../../../src/delivery/log/mark.ts';
import { testWith } from '../../support/tools.ts';
import { until } from '../../support/until.ts';
import { batchOf, openLog, readAll, texts } from './support.ts';

const test = testWith('the right to mount a disk (root)');

/** A disk of this size, in memory. */
function smallDisk(size: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder]);
  onTestFinished(() => {
    execFileSync('umount', ['--lazy', folder]);
    rmdirSync(folder);
  });
  return folder;
}

/** Leaves so many bytes free. */
function fill(disk: string, free: number): () => void {
  const { bavail, bsize } = statfsSync(disk);
  const file = join(disk, 'filler');
  writeFileSync(file, Buffer.alloc(Math.max(0, bavail * bsize - free), 1));
  return () => rmSync(file);
}

const big = 'x'.repeat(10_000);

test.each(['per_entry', 'group_commit', 'periodic'] as const)(
  '%s: a full disk makes it wait and say so; nothing is lost, and it goes on by itself',
  async (sync) => {
    const disk = smallDisk('2m');
    const path = join(disk, 'log');
    const { log, told } = await openLog(path, { sync, segmentBytes: 50_000 });
    await log.append({ batch: batchOf('0', big) });
    const free = fill(disk, 100_000);
    const committed: number[] = [1];
    const all = Promise.all(
      Array.from({ length: 30 }, async (_, index) => {
        committed.push(await log.append({ batch: batchOf(String(index + 1), big) }));
      }),
    );
    // For the test to end at once when it fails.
    all.catch(() => {});
    await until('the disk to be full', () => log.blocked);
    expect(log.blocked).toBe(`no space left on the disk of ${path}; waiting for space`);
    expect(committed.length).toBeLessThan(12);
    expect((await readAll(log)).map(({ number }) => number)).toEqual(committed);
    // Reading and acknowledging go on, and the space that they free is used.
    for (let number = 1; number <= 8; number++) log.ack(number);
    await until('more to be committed', () => committed.length >= 12);
    free();
    await all;
    expect(log.blocked).toBeUndefined();
    expect(told.unblocked).toBe(told.blocked.length);
    expect(committed).toEqual(Array.from({ length: 31 }, (_, index) => index + 1));
    await log.close();
    const again = await openLog(path);
    const entries = await readAll(again.log);
    expect(entries.map(({ number }) => number)).toEqual(Array.from({ length: 23 }, (_, index) => index + 9));
    for (const { number, batch } of entries) expect(texts(batch)).toEqual([String(number - 1), big]);
  },
);

test('a log waits for a disk that is full at the start', async () => {
  const disk = smallDisk('1m');
  const free = fill(disk, 8192);
  const { log } = await openLog(join(disk, 'log'));
  const number = log.append({ batch: batchOf(big) });
  await until('it to wait', () => log.blocked);
  free();
  expect(await number).toBe(1);
});

test('a log that has filled its disk continues when everything is delivered, and knows its keys', async () => {
  const disk = smallDisk('300k');
  const path = join(disk, 'log');
  const { log, told } = await openLog(path);
  const keys = { space: 'in', keys: ['a'], expires: Date.now() + 1e6, max: 10 };
  log.ack(await log.append({ batch: batchOf('0'), keys }));
  for (let index = 1; index < 100; index++) log.ack(await log.append({ batch: batchOf(big) }));
  expect(told.blocked.length).toBeGreaterThan(2);
  const waiting = await log.append({ batch: batchOf('last') });
  await log.close();
  const again = await openLog(path);
  expect((await readAll(again.log)).map(({ number }) => number)).toEqual([waiting]);
  expect(again.log.keys.map((group) => group.keys)).toEqual([['a']]);
});

test('a log that a crash left without a file, while its disk was full, opens empty and keeps counting', async () => {
  const path = join(smallDisk('300k'), 'log');
  mkdirSync(path);
  const mark = await MarkFile.open(path);
  mark.write({ segment: 5, offset: 200_000, oldest: 6, nextRecord: 101, nextEntry: 41 });
  await mark.close();
  const { log } = await openLog(path);
  expect(log.recovered).toMatchObject({ last: 40, entries: 0 });
  expect(await log.append({ batch: batchOf('next') })).toBe(41);
  await log.close();
  expect((await readAll((await openLog(path)).log)).map(({ number }) => number)).toEqual([41]);
});

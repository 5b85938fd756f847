import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { requireAbility, requireTool, Tool } from '../../support/tools.ts';
import { batchOf, logFolder, openLog } from './support.ts';

const FIRST = '00000000000000000001.log';

/** A log that has been written and closed. */
async function closedLog(): Promise<string> {
  const path = logFolder();
  const { log } = await openLog(path);
  await log.append({ batch: batchOf('a') });
  await log.close();
  return path;
}

test.each(['mark', 'lock', FIRST])(
  'a link in the place of %s is refused, and its target is left alone',
  async (name) => {
    const path = await closedLog();
    const target = join(dirname(path), 'precious');
    renameSync(join(path, name), target);
    const before = readFileSync(target);
    symlinkSync(target, join(path, name));
    await expect(openLog(path)).rejects.toMatchObject({
      code: 'MILLRACE_WAL_FAILED',
      message: expect.stringContaining(
        `${join(path, name)} is a link or something else; expected a file. Remove it`,
      ),
    });
    expect(readFileSync(target)).toEqual(before);
  },
);

test.each(['mark', 'lock', FIRST])(
  'a link to nothing in the place of %s makes no file elsewhere',
  async (name) => {
    const path = logFolder();
    mkdirSync(path);
    const target = join(dirname(path), 'elsewhere');
    symlinkSync(target, join(path, name));
    await expect(openLog(path)).rejects.toMatchObject({ code: 'MILLRACE_WAL_FAILED' });
    expect(existsSync(target)).toBe(false);
  },
);

test.each(['mark', 'lock', FIRST])(
  'a pipe or a folder in the place of %s is refused, and nothing waits for it',
  async (name) => {
    for (const make of [
      (file: string) => execFileSync('mkfifo', [file]),
      (file: string) => mkdirSync(file),
    ]) {
      const path = await closedLog();
      rmSync(join(path, name));
      make(join(path, name));
      await expect(openLog(path)).rejects.toMatchObject({ code: 'MILLRACE_WAL_FAILED' });
    }
  },
);

test('nobody else may read its contents; folders above it are made as usual', async () => {
  const before = process.umask(0o022);
  onTestFinished(() => void process.umask(before));
  const path = join(logFolder(), 'deep', 'log');
  const { log } = await openLog(path, { segmentBytes: 1000 });
  for (let index = 0; index < 30; index++) await log.append({ batch: batchOf('x'.repeat(100)) });
  const mode = (file: string): string => (statSync(file).mode & 0o777).toString(8);
  expect(mode(path)).toBe('700');
  expect(mode(dirname(path))).toBe('755');
  const files = readdirSync(path);
  expect(files.length).toBeGreaterThan(4);
  for (const file of files) expect(mode(join(path, file)), file).toBe('600');
});

test.each(['/proc/nope', '/proc/nope/deeper', '/sys/nope'])(
  '%s, where nobody can make a folder, is reported at once',
  async (path) => {
    await expect(openLog(path)).rejects.toMatchObject({
      code: 'MILLRACE_WAL_FAILED',
      message: expect.stringMatching(`the log in ${path} could not be opened: (ENOENT|EPERM|EACCES|EROFS)`),
    });
  },
);

test('a read-only disk is named as the reason, for a new log and for an existing one', async () => {
  requireAbility('the right to mount a disk (root)');
  const disk = mkdtempSync(join(tmpdir(), 'millrace-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', disk]);
  onTestFinished(() => {
    execFileSync('umount', ['--lazy', disk]);
    rmdirSync(disk);
  });
  const path = join(disk, 'log');
  const { log } = await openLog(path);
  await log.append({ batch: batchOf('a') });
  await log.close();
  execFileSync('mount', ['-o', 'remount,ro', disk]);
  for (const each of [path, join(disk, 'new')]) {
    await expect(openLog(each)).rejects.toMatchObject({
      code: 'MILLRACE_WAL_FAILED',
      message: expect.stringContaining('EROFS: read-only file system'),
    });
  }
});

const takeAway: Record<string, (path: string) => void> = {
  'the folder is removed': (path) => rmSync(path, { recursive: true }),
  'the folder is moved': (path) => renameSync(path, `${path}-old`),
  'another folder is in its place': (path) => {
    renameSync(path, `${path}-old`);
    mkdirSync(path);
  },
  'a copy is in its place': (path) => {
    renameSync(path, `${path}-old`);
    execFileSync('cp', ['-a', `${path}-old`, path]);
  },
  'its files are removed': (path) => {
    for (const name of readdirSync(path)) rmSync(join(path, name));
  },
  'the file that is written is removed': (path) => rmSync(join(path, '00000000000000000002.log')),
  'an older file is removed': (path) => rmSync(join(path, FIRST)),
  'the mark is removed': (path) => rmSync(join(path, 'mark')),
  'the lock is removed': (path) => rmSync(join(path, 'lock')),
  'a file is replaced by a copy of it': (path) => {
    const file = join(path, '00000000000000000002.log');
    writeFileSync(`${file}.new`, readFileSync(file));
    renameSync(`${file}.new`, file);
  },
};

test.each(['group_commit', 'periodic'] as const)(
  '%s: files of an open log that are removed or replaced are noticed at the next commit',
  async (sync) => {
    for (const [what, act] of Object.entries(takeAway)) {
      const path = await closedLog();
      const { log } = await openLog(path, { sync });
      await log.append({ batch: batchOf('b') });
      act(path);
      await expect(log.append({ batch: batchOf('c') }), what).rejects.toMatchObject({
        code: 'MILLRACE_WAL_FAILED',
        fatal: true,
        message: expect.stringMatching(
          /was removed or replaced while the stream had it open: .*start again$/,
        ),
      });
    }
  },
);

test('files of its own that come and go, and of others, are no reason to fail', async () => {
  const path = logFolder();
  const { log } = await openLog(path, { segmentBytes: 2000 });
  for (let index = 0; index < 60; index++) {
    log.ack(await log.append({ batch: batchOf('x'.repeat(300)) }));
    if (index % 10 === 0) writeFileSync(join(path, `note-${index}`), '');
  }
  expect(log.blocked).toBeUndefined();
});

test('a reader waits for a file descriptor, and says so', async () => {
  const prlimit = requireTool('prlimit');
  const path = logFolder();
  const { log } = await openLog(path, { segmentBytes: 2000 });
  for (let index = 0; index < 30; index++) await log.append({ batch: batchOf('x'.repeat(300)) });
  await log.close();
  const tool = new Tool(process.execPath, [fileURLToPath(new URL('starved.ts', import.meta.url)), path]);
  const pid = Number((await tool.line(/^opened/)).slice('opened '.length));
  const limit = /Max open files +(\d+)/.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))![1];
  execFileSync(prlimit, [`--pid=${pid}`, '--nofile=1:']);
  tool.child.stdin!.write('read\n');
  expect(await tool.line(/^blocked the log/)).toBe(
    `blocked the log in ${path} waits for a free file descriptor: EMFILE: too many open files, open '${join(path, FIRST)}'`,
  );
  execFileSync(prlimit, [`--pid=${pid}`, `--nofile=${limit}:`]);
  expect(await tool.line(/^read/)).toBe('read 30, blocked no');
});

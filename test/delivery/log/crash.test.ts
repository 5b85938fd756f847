import { expect, test } from 'vitest';
import { program } from '../../support/programs.ts';
import { requireTool, Tool } from '../../support/tools.ts';
import { until } from '../../support/until.ts';
import { logFolder, openLog, readAll, texts } from './support.ts';

const appender = program('appender');

/** Resolves when a process has ended and its output is read. */
async function ended({ child }: Tool): Promise<void> {
  await until(
    'the process to end',
    () => (child.exitCode !== null || child.signalCode !== null) && child.stdout?.readableEnded === true,
  );
}

/** The numbers that a process has printed after a word. */
function printed(tool: Tool, word: string): number[] {
  return tool.lines.flatMap((line) =>
    line.startsWith(`${word} `) ? [Number(line.slice(word.length + 1))] : [],
  );
}

/** Every entry that was committed and not acknowledged is there, and every entry is whole. */
async function check(
  path: string,
  committed: Iterable<number>,
  acknowledged: ReadonlySet<number>,
): Promise<void> {
  const { log } = await openLog(path);
  const found = new Set<number>();
  let last = 0;
  for (const { number, batch } of await readAll(log)) {
    expect(number).toBeGreaterThan(last);
    last = number;
    found.add(number);
    expect(new Set(texts(batch))).toEqual(new Set([`${number} `.repeat(20)]));
  }
  expect([...committed].filter((number) => !found.has(number) && !acknowledged.has(number))).toEqual([]);
  await log.close();
}

test.each(['per_entry', 'group_commit', 'periodic'])(
  '%s: kill -9 while it writes, again and again; committed entries are there',
  async (sync) => {
    const path = logFolder();
    const committed = new Set<number>();
    const acknowledged = new Set<number>();
    for (let round = 0; round < 8; round++) {
      const tool = new Tool(process.execPath, [appender, path, sync, '30', 'ack']);
      await tool.line(/^opened/);
      await until('commits', () => printed(tool, 'committed').length > 30 + round * 37);
      tool.child.kill('SIGKILL');
      await ended(tool);
      for (const number of printed(tool, 'committed')) committed.add(number);
      for (const number of printed(tool, 'acknowledged')) acknowledged.add(number);
      await check(path, committed, acknowledged);
    }
    expect(committed.size).toBeGreaterThan(8 * 30);
  },
);

/** Runs the appender with a system call that fails. */
function withFault(fault: string, path: string, ...more: string[]): Tool {
  const call = fault.split(':')[0]!;
  return new Tool(requireTool('strace'), [
    '-f',
    '-qq',
    '--output=/dev/null',
    `--trace=${call}`,
    `--inject=${fault}`,
    process.execPath,
    appender,
    path,
    ...(more.length > 0 ? more : ['group_commit', '3']),
  ]);
}

test.each([
  ['fdatasync:error=EIO:when=1', 'at the first sync'],
  ['fdatasync:error=EIO:when=7', 'at a later sync'],
  ['fdatasync:error=ENOSPC:when=5', 'at a sync that has no space, after which nobody knows what is written'],
  ['pwritev:error=EIO:when=9', 'at a write'],
  ['pwritev:error=EROFS:when=4', 'at a write to a disk that became read-only'],
])('%s: an error of the disk %s is fatal; nothing is confirmed after it', async (fault) => {
  const path = logFolder();
  const tool = withFault(fault, path);
  await ended(tool);
  expect(tool.child.exitCode).toBe(3);
  expect(tool.lines.at(-1)).toMatch(/^failed .*MILLRACE_WAL_FAILED/);
  // By its own name.
  expect(tool.lines.at(-1)).toContain(/error=(\w+)/.exec(fault)![1]);
  const committed = printed(tool, 'committed');
  expect(committed).toEqual(committed.map((_, index) => index + 1));
  await check(path, committed, new Set());
});

test.each(['pwritev:error=ENOSPC:when=9', 'pwritev:error=EDQUOT:when=5+7'])(
  '%s: waits while there is no space',
  async (fault) => {
    const path = logFolder();
    const tool = withFault(fault, path);
    // Each of the four threads that write has met the fault by then.
    await until('commits after it', () => printed(tool, 'committed').length > 100);
    // The process itself: strace would leave it running.
    process.kill(printed(tool, 'process')[0]!, 'SIGKILL');
    await ended(tool);
    await check(path, printed(tool, 'committed'), new Set());
  },
);

test.each([
  'fdatasync:signal=KILL:when=2',
  'fdatasync:signal=KILL:when=40',
  'fsync:signal=KILL:when=3',
  'fsync:signal=KILL:when=6',
  'unlink:signal=KILL:when=1',
  'unlink:signal=KILL:when=3',
  'pwritev:signal=KILL:when=30',
  'pwrite64:signal=KILL:when=25',
])('%s: killed at a system call, of a commit, a new file or one that goes', async (fault) => {
  const path = logFolder();
  const tool = withFault(fault, path, 'group_commit', '200', 'ack');
  await ended(tool);
  const committed = printed(tool, 'committed');
  await check(path, committed, new Set(printed(tool, 'acknowledged')));
});

test('a log that another process has open is an error with its own code', async () => {
  const path = logFolder();
  await openLog(path);
  const tool = new Tool(process.execPath, [appender, path, 'group_commit', '1']);
  expect(await tool.line(/^failed/)).toContain('MILLRACE_WAL_LOCKED');
  await ended(tool);
});

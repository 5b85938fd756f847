import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MillraceError } from '../../../src/errors.ts';
import { asVersion1, batchOf, logFolder, openLog, readAll, texts } from './support.ts';

/** A log of three segments and what is in it: entry 2 is acknowledged, the others are not. */
async function smallLog() {
  const path = logFolder('memory');
  const committed = new Map<number, string[]>();
  for (const round of [1, 2, 3]) {
    const { log } = await openLog(path);
    for (const part of ['a', 'b']) {
      const content = [`${round}${part}`, 'payload'];
      const keys = { space: 'x', keys: [`key ${round}${part}`], expires: Date.now() + 1e9, max: 100 };
      committed.set(await log.append({ batch: batchOf(...content), keys }), content);
    }
    if (round === 2) {
      log.ack(2);
      committed.delete(2);
    }
    await log.close();
  }
  const files = readdirSync(path).filter((name) => name.endsWith('.log'));
  expect(files).toHaveLength(3);
  return { path, files, committed };
}

type Outcome = 'refused' | 'whole' | { readonly missing: number; readonly cutBytes: number };

/** Opens a damaged copy of a log, and compares its entries with the committed ones. */
async function outcome(
  { path, committed }: { path: string; committed: ReadonlyMap<number, string[]> },
  fault: (folder: string) => void,
): Promise<Outcome> {
  const folder = `${path}-copy`;
  rmSync(folder, { recursive: true, force: true });
  cpSync(path, folder, { recursive: true });
  fault(folder);
  let opened: Awaited<ReturnType<typeof openLog>>;
  try {
    opened = await openLog(folder);
  } catch (error) {
    expect(error).toBeInstanceOf(MillraceError);
    const { code, fatal, message } = error as MillraceError;
    expect(['MILLRACE_WAL_DAMAGED', 'MILLRACE_WAL_VERSION'], message).toContain(code);
    expect(fatal).toBe(true);
    expect(message).toContain(folder);
    return 'refused';
  }
  const { log, told } = opened;
  const entries = await readAll(log);
  let missing = committed.size;
  for (const { number, batch } of entries) {
    // Entry 2 may come again when the record that acknowledges it is gone; nothing may come changed.
    expect(texts(batch)).toEqual(committed.get(number) ?? ['1b', 'payload']);
    if (committed.has(number)) missing--;
  }
  expect(entries.map(({ number }) => number)).toEqual(
    entries.map(({ number }) => number).toSorted((a, b) => a - b),
  );
  // It goes on where it ended.
  const next = await log.append({ batch: batchOf('new') });
  expect((await readAll(log)).at(-1)?.number).toBe(next);
  await log.close();
  return missing === 0 ? 'whole' : { missing, cutBytes: told.recovered[0]!.cutBytes };
}

const withoutMark = (fault: (folder: string) => void) => (folder: string) => {
  rmSync(join(folder, 'mark'));
  fault(folder);
};

function flip(file: string, at: number, mask: number): void {
  const bytes = readFileSync(file);
  bytes[at]! ^= mask;
  writeFileSync(file, bytes);
}

test('cut off at any byte: refused, or all that was committed is there', async () => {
  const log = await smallLog();
  for (const file of log.files) {
    const { length } = readFileSync(join(log.path, file));
    for (let at = 0; at < length; at++) {
      const cut = (folder: string): void => truncateSync(join(folder, file), at);
      expect(await outcome(log, cut), `${file} at ${at}`).toBe('refused');
    }
  }
});

test('without the mark it is refused, whatever else is missing; it knows that it had one', async () => {
  const log = await smallLog();
  const last = log.files.at(-1)!;
  const { length } = readFileSync(join(log.path, last));
  for (let cut = 0; cut < length - 44; cut++) {
    const fault = withoutMark((folder) => truncateSync(join(folder, last), length - cut));
    expect(await outcome(log, fault), `${cut} bytes`).toBe('refused');
  }
  for (let at = 0; at < 36; at++) {
    expect(await outcome(log, (folder) => truncateSync(join(folder, 'mark'), at))).toBe('refused');
  }
  rmSync(join(log.path, 'mark'));
  await expect(openLog(log.path)).rejects.toThrow(
    `${join(log.path, 'mark')}, byte 0: expected the mark that says how far the log was written, and found no complete one`,
  );
  // It is not made by the attempt.
  expect(readdirSync(log.path)).not.toContain('mark');
});

test('a log of an older version works without a mark, gets one, and from then on misses it', async () => {
  const log = await smallLog();
  asVersion1(log.path);
  expect(
    await outcome(
      log,
      withoutMark(() => {}),
    ),
  ).toBe('whole');
  const folder = `${log.path}-copy`;
  const { log: opened } = await openLog(folder);
  await opened.append({ batch: batchOf('newer') });
  await opened.close();
  rmSync(join(folder, 'mark'));
  await expect(openLog(folder)).rejects.toMatchObject({ code: 'MILLRACE_WAL_DAMAGED' });
});

test('an older log, cut off at any byte and without its mark: only the end of the last file can go, and only from its end', async () => {
  const log = await smallLog();
  asVersion1(log.path);
  for (const [index, file] of log.files.entries()) {
    const { length } = readFileSync(join(log.path, file));
    for (let at = 0; at < length; at++) {
      const cut = withoutMark((folder) => truncateSync(join(folder, file), at));
      const result = await outcome(log, cut);
      // Entries 5 and 6 are in the last file; nothing else may be missing.
      if (index === log.files.length - 1) expect(result === 'whole' ? 0 : result).not.toBe('refused');
      else expect(result, `${file} at ${at}`).toBe('refused');
      if (typeof result === 'object') expect(result.missing).toBeLessThanOrEqual(2);
    }
  }
});

test('a byte changed, any one: refused', async () => {
  const log = await smallLog();
  for (const file of [...log.files, 'mark']) {
    const { length } = readFileSync(join(log.path, file));
    for (let at = 0; at < length; at++) {
      const mask = 1 << (at % 8);
      const result = await outcome(log, (folder) => flip(join(folder, file), at, mask));
      expect(result, `${file} at ${at}`).toBe('refused');
    }
  }
});

test('a byte of an older log changed, any one, and no mark: refused, unless it is at the end', async () => {
  const log = await smallLog();
  asVersion1(log.path);
  for (const [index, file] of log.files.entries()) {
    const { length } = readFileSync(join(log.path, file));
    for (let at = 0; at < length; at++) {
      const change = withoutMark((folder) => flip(join(folder, file), at, 0x10));
      const result = await outcome(log, change);
      // The last record of the last file may look like a commit that a crash has cut short, and says so.
      if (index < log.files.length - 1) expect(result, `${file} at ${at}`).toBe('refused');
      else if (typeof result === 'object') {
        expect(result.missing, `${file} at ${at}`).toBe(1);
        expect(result.cutBytes).toBeGreaterThan(0);
      }
    }
  }
});

test('a missing file is noticed, with the mark and without it', async () => {
  const log = await smallLog();
  for (const [index, file] of log.files.entries()) {
    const remove = (folder: string): void => rmSync(join(folder, file));
    expect(await outcome(log, remove), file).toBe('refused');
    if (index < log.files.length - 1) expect(await outcome(log, withoutMark(remove)), file).toBe('refused');
  }
  const all = (folder: string): void => log.files.forEach((file) => rmSync(join(folder, file)));
  expect(await outcome(log, all)).toBe('refused');
});

test('a file of another log, or two that are swapped, are refused', async () => {
  const log = await smallLog();
  const other = await smallLog();
  for (const file of log.files) {
    const replace = (folder: string): void => cpSync(join(other.path, file), join(folder, file));
    // The same bytes but for the random part of each file's header; the records before and after would fit.
    const result = await outcome(log, replace);
    expect(['refused', 'whole']).toContain(result);
  }
  const swap = (folder: string): void => {
    const [first, second] = log.files.map((file) => readFileSync(join(log.path, file)));
    writeFileSync(join(folder, log.files[0]!), second!);
    writeFileSync(join(folder, log.files[1]!), first!);
  };
  expect(await outcome(log, swap)).toBe('refused');
});

test('a commit that a crash left half written is cut off and reported; nothing else is', async () => {
  const log = await smallLog();
  const last = log.files.at(-1)!;
  const record = readFileSync(join(log.path, last)).subarray(44, 150);
  for (const garbage of [Buffer.alloc(1), Buffer.alloc(5000), Buffer.alloc(40, 0xff), record]) {
    const folder = `${log.path}-torn`;
    rmSync(folder, { recursive: true, force: true });
    cpSync(log.path, folder, { recursive: true });
    writeFileSync(join(folder, last), garbage, { flag: 'a' });
    const opened = await openLog(folder);
    expect(opened.told.recovered[0]!.cutBytes).toBe(garbage.length);
    expect((await readAll(opened.log)).map(({ number }) => number)).toEqual([1, 3, 4, 5, 6]);
    await opened.log.close();
    const again = await openLog(folder);
    expect(again.told.recovered[0]!.cutBytes).toBe(0);
    await again.log.close();
  }
});

test('a commit that a power cut left with a hole is cut off; a hole in an earlier commit is refused', async () => {
  const path = logFolder('memory');
  const { log } = await openLog(path);
  await log.append({ batch: batchOf('first') });
  const mark = readFileSync(join(path, 'mark'));
  await Promise.all(['second', 'third', 'fourth'].map((text) => log.append({ batch: batchOf(text) })));
  await log.close();
  const file = '00000000000000000001.log';
  const hole = (text: string) => (folder: string) => {
    // The mark is not synced, so a power cut may take its last state along.
    writeFileSync(join(folder, 'mark'), mark);
    const bytes = readFileSync(join(folder, file));
    bytes.fill(0, bytes.indexOf(text), bytes.indexOf(text) + text.length);
    writeFileSync(join(folder, file), bytes);
  };
  const committed = new Map([[1, ['first']]]);
  // None of the three was confirmed before all were on the disk.
  expect(await outcome({ path, committed }, hole('second'))).toBe('whole');
  expect(await outcome({ path, committed }, hole('first'))).toBe('refused');
});

test('a segment that was begun and never used is no reason to refuse a log', async () => {
  const log = await smallLog();
  for (const bytes of [0, 10, 44]) {
    const result = await outcome(log, (folder) =>
      writeFileSync(join(folder, '00000000000000000004.log'), Buffer.alloc(bytes)),
    );
    expect(result).toBe('whole');
  }
});

test('the refusal names the place, the expected bytes and the remedy, and changes nothing', async () => {
  const { path, files } = await smallLog();
  flip(join(path, files[1]!), 100, 1);
  const before = files.map((file) => readFileSync(join(path, file)));
  await expect(openLog(path)).rejects.toThrow(
    new RegExp(
      `${files[1]}, byte \\d+: expected record \\d+, and found .*millrace wal ${path} --export.*move the folder away`,
    ),
  );
  expect(files.map((file) => readFileSync(join(path, file)))).toEqual(before);
});

test('a log of another version is refused, with the way out', async () => {
  const { path, files } = await smallLog();
  flip(join(path, files[0]!), 7, 4);
  await expect(openLog(path)).rejects.toMatchObject({
    code: 'MILLRACE_WAL_VERSION',
    message: expect.stringMatching(/version 7 .* reads versions 1 to 3.*--export/),
  });
});

test('other files in the folder are left alone', async () => {
  const { path, committed } = await smallLog();
  writeFileSync(join(path, 'notes.txt'), 'mine');
  writeFileSync(join(path, '1.log'), 'mine too');
  mkdirSync(join(path, 'folder'));
  const { log } = await openLog(path);
  expect((await readAll(log)).map(({ number }) => number)).toEqual([...committed.keys()]);
  expect(readFileSync(join(path, 'notes.txt'), 'utf8')).toBe('mine');
});

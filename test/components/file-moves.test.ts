import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { startCli } from '../support/cli.ts';
import { configMistakes, startEngine, type Run } from '../support/engine.ts';
import { connectClient, send, type Client } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';
import { engineFor } from '../runtime/harness.ts';

const dir = tempDir();
let folders = 0;

function newFolder(): string {
  const path = join(dir.path, String(folders++));
  mkdirSync(path);
  return path;
}

/** A stream into a file, and a client that sends into it. */
async function stream(
  output: string,
): Promise<{ run: Run; client: Client; write: (...lines: string[]) => Promise<void> }> {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0 }
    output: { type: file, ${output} }
`);
  const client = await connectClient(await run.url());
  let written = 0;
  const write = async (...lines: string[]): Promise<void> => {
    await send(client, ...lines);
    await run.metricIs((written += lines.length), 'millrace_output_messages_total');
  };
  return { run, client, write };
}

const text = (...path: string[]): string => readFileSync(join(...path), 'utf8');

test.each([true, false])(
  'a file that is moved or removed is made anew with the next batch (sync: %s)',
  async (sync) => {
    const folder = newFolder();
    const path = join(folder, 'deep', 'out.txt');
    const { write } = await stream(`path: ${path}, sync: ${sync}`);
    let line = 0;
    // Messages of the first moment may still go to the old one.
    const writeUntilMade = async (): Promise<void> => {
      await until('the file', async () => {
        await write(String(line++));
        return existsSync(path);
      });
    };
    await writeUntilMade();
    renameSync(path, join(folder, 'moved.txt'));
    await writeUntilMade();
    const all = Array.from({ length: line }, (_, index) => `${index}\n`).join('');
    expect(text(folder, 'moved.txt') + text(path)).toBe(all);
    expect(text(path)).toBe(`${line - 1}\n`);
    rmSync(join(folder, 'deep'), { recursive: true });
    await writeUntilMade();
    expect(text(path)).toBe(`${line - 1}\n`);
  },
);

test('SIGHUP opens the file again at once, and with append: false does not empty it again', async () => {
  const folder = newFolder();
  const path = join(folder, 'out.txt');
  writeFileSync(path, 'old\n');
  const { run, write } = await stream(`path: ${path}, append: false`);
  await write('one');
  renameSync(path, join(folder, 'moved.txt'));
  run.reopen();
  await until('the new file', () => existsSync(path));
  run.reopen();
  await write('two');
  run.reopen();
  await write('three');
  expect([text(folder, 'moved.txt'), text(path)]).toEqual(['one\n', 'two\nthree\n']);
});

test('copytruncate works, with append: false too', async () => {
  const path = join(newFolder(), 'out.txt');
  const { write } = await stream(`path: ${path}, append: false`);
  await write('one', 'two');
  copyFileSync(path, `${path}.1`);
  truncateSync(path);
  await write('three');
  expect([text(`${path}.1`), text(path)]).toEqual(['one\ntwo\n', 'three\n']);
  // Another process may append as well.
  appendFileSync(path, 'theirs\n');
  await write('four');
  expect(text(path)).toBe('three\ntheirs\nfour\n');
});

test('a batch for several files whose write fails at one of them is written to none of the others twice', async () => {
  const folder = newFolder();
  symlinkSync('/dev/full', join(folder, 'b'));
  const letters = ['a', 'b', 'a', 'c'].map((source, index) =>
    JSON.stringify({
      payload: String(index),
      encoding: 'utf8',
      metadata: { __meta_source: source, __meta_ingest_time: '2026-11-30T00:00:00.000000Z', __meta_ext: {} },
    }),
  );
  const config = dir.file(
    'several.yaml',
    `streams: [{ input: { type: generate, context: x }, output: { type: file, path: '${folder}/{{source}}' } }]`,
  );
  const run = startCli(['replay', dir.file('several.jsonl', letters.join('\n')), '--to', config]);
  await run.seen(/output failed to write: cannot write .*\/b: ENOSPC/);
  rmSync(join(folder, 'b'));
  expect(await run.result).toMatchObject({ code: 0 });
  expect(['a', 'b', 'c'].map((name) => text(folder, name))).toEqual(['0\n2\n', '1\n', '3\n']);
});

const MARK = /~\d{8}T\d{9}Z/;

test('a file is finished before it is too large; no line is lost, cut or out of order', async () => {
  const folder = newFolder();
  const lines = Array.from({ length: 400 }, (_, index) => `${index}:${'x'.repeat(index % 50)}`);
  lines.push('y'.repeat(3000), 'last');
  writeFileSync(join(folder, 'in.txt'), lines.join('\n'));
  const { failed } = await engineFor(
    `streams: [{ input: { type: file, path: ${folder}/in.txt }, output: { type: file, path: ${folder}/out.txt, rotate: { size: 1KiB } } }]`,
  ).run();
  expect(failed).toEqual([]);
  const names = readdirSync(folder)
    .filter((name) => name.startsWith('out'))
    .toSorted();
  // `.` sorts before `~`: the current file is the last one.
  const inOrder = [...names.slice(1), names[0]!];
  expect(names[0]).toBe('out.txt');
  for (const name of names.slice(1)) expect(name).toMatch(new RegExp(`^out${MARK.source}\\.txt$`));
  expect(inOrder.map((name) => text(folder, name)).join('')).toBe(`${lines.join('\n')}\n`);
  for (const name of names) {
    const content = text(folder, name);
    if (content.length > 1024) expect(content).toBe(`${'y'.repeat(3000)}\n`);
  }
  expect(names.length).toBeGreaterThan(10);
});

test.each([
  ['gzip', '.gz', gunzipSync],
  ['zstd', '.zst', zstdDecompressSync],
] as const)(
  'finished files are compressed with %s, the oldest are removed, and a stop in between is made up for',
  async (compression, ending, unpack) => {
    const folder = newFolder();
    const old = join(folder, 'out~20200101T000000000Z.txt');
    const older = join(folder, `out~20190101T000000000Z.txt${ending}`);
    const other = join(folder, 'out2~20190101T000000000Z.txt');
    writeFileSync(old, 'of an earlier run\n');
    writeFileSync(older, 'the oldest');
    writeFileSync(other, 'of another file');
    writeFileSync(`${old}${ending}.tmp`, 'half of');
    const { write } = await stream(
      `path: ${folder}/out.txt, rotate: { size: 1KiB, keep: 2, compression: ${compression} }`,
    );
    const line = 'z'.repeat(1022);
    await write(line);
    await write('next');
    const finished = (): string[] =>
      readdirSync(folder)
        .filter((name) => name.startsWith('out~'))
        .toSorted();
    await until('two compressed files', () => {
      const names = finished();
      return names.length === 2 && names.every((name) => name.endsWith(ending) && !name.includes('~2019'));
    });
    const [first, second] = finished();
    expect(first).toBe(`out~20200101T000000000Z.txt${ending}`);
    expect(unpack(readFileSync(join(folder, first!))).toString()).toBe('of an earlier run\n');
    expect(unpack(readFileSync(join(folder, second!))).toString()).toBe(`${line}\n`);
    expect(text(folder, 'out.txt')).toBe('next\n');
    expect(text(other)).toBe('of another file');
  },
);

test('a period that ends finishes the file, though nothing more comes', async () => {
  const folder = newFolder();
  const { write } = await stream(`path: ${folder}/out.txt, rotate: { every: 1s }`);
  await write('one');
  const finished = (): string[] => readdirSync(folder).filter((name) => MARK.test(name));
  await until(
    'the file to be finished',
    () => finished().length === 1 && existsSync(join(folder, 'out.txt')),
  );
  expect(text(folder, finished()[0]!)).toBe('one\n');
  expect(text(folder, 'out.txt')).toBe('');
});

test('a file of a period that is over is finished at the next start; an empty one is not', async () => {
  const folder = newFolder();
  const path = join(folder, 'out.txt');
  writeFileSync(path, 'yesterday\n');
  const yesterday = Date.now() / 1000 - 86_400;
  utimesSync(path, yesterday, yesterday);
  const { write } = await stream(`path: ${path}, rotate: { every: 24h }`);
  await write('today');
  const finished = readdirSync(folder).filter((name) => MARK.test(name));
  expect(finished).toHaveLength(1);
  expect([text(folder, finished[0]!), text(path)]).toEqual(['yesterday\n', 'today\n']);
});

test('rotate without a time or size is a mistake', () => {
  const mistakes = configMistakes(
    'streams: [{ input: { type: memory, messages: [x] }, output: { type: file, path: a, rotate: { keep: 3 } } }]',
  );
  expect(mistakes).toEqual([expect.stringContaining('rotate: does not say when a file is finished')]);
});

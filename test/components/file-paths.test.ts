import { existsSync, globSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { configMistakes, startEngine } from '../support/engine.ts';
import { connectClient, send } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const dir = tempDir();
let folders = 0;

/** A folder of the test's own. */
function newFolder(): string {
  const path = join(dir.path, String(folders++));
  mkdirSync(path);
  return path;
}

const filesIn = (folder: string): string[] =>
  globSync('**', { cwd: folder, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .toSorted();

const server = (output: string, more = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: '/in/:device' }
    output: { type: file, ${output} }
    error_output: { type: collect, name: errors }
    ${more}`;

test('a folder for each device, a file for each day, in the order in which the messages came', async () => {
  const folder = newFolder();
  const run = await startEngine(server(`path: '${folder}/{{meta:param.device}}/{{date}}.txt'`));
  const port = await run.port();
  const before = new Date().toISOString().slice(0, 10);
  const a = await connectClient(`ws://127.0.0.1:${port}/in/a`);
  const b = await connectClient(`ws://127.0.0.1:${port}/in/b`);
  for (let index = 0; index < 50; index++) await Promise.all([send(a, `a${index}`), send(b, `b${index}`)]);
  await run.metricIs(100, 'millrace_output_messages_total');
  const after = new Date().toISOString().slice(0, 10);
  const text = (device: string): string =>
    [...new Set([before, after])]
      .map((day) => join(folder, device, `${day}.txt`))
      .filter((path) => existsSync(path))
      .map((path) => readFileSync(path, 'utf8'))
      .join('');
  for (const device of ['a', 'b']) {
    expect(text(device)).toBe(Array.from({ length: 50 }, (_, index) => `${device}${index}\n`).join(''));
  }
});

test('no value leaves its folder, hides its file, or shares one with another value', async () => {
  const folder = newFolder();
  const run = await startEngine(server(`path: '${folder}/in/{{meta:param.device}}'`));
  const port = await run.port();
  const devices: Readonly<Record<string, string>> = {
    '..%2F..%2Fevil': '%2E.%2F..%2Fevil',
    // A parameter cannot be `..` itself: URLs are resolved before they are sent.
    '.hidden': '%2Ehidden',
    '-rf': '%2Drf',
    'a%2Fb': 'a%2Fb',
    'a%252Fb': 'a%252Fb',
    'a%00b': 'a%00b',
    'a~20261130T000000000Z': 'a%7E20261130T000000000Z',
    'b%C3%BCro%202': 'büro%202',
    'a%5Cb': 'a%5Cb',
    'x@y.example': 'x@y.example',
    '%E2%80%AEcod': '%E2%80%AEcod',
  };
  for (const device of Object.keys(devices)) {
    await send(await connectClient(`ws://127.0.0.1:${port}/in/${device}`), device);
  }
  await run.metricIs(Object.keys(devices).length, 'millrace_output_messages_total');
  expect(filesIn(folder)).toEqual(
    Object.values(devices)
      .map((name) => `in/${name}`)
      .toSorted(),
  );
  for (const [device, name] of Object.entries(devices)) {
    expect(readFileSync(join(folder, 'in', name), 'utf8')).toBe(`${device}\n`);
  }
});

test('messages without a value, or with one that cannot be a name, go to error_output; others do not wait for them', async () => {
  const folder = newFolder();
  mkdirSync(join(folder, 'taken.txt'));
  const run = await startEngine(server(`path: '${folder}/{{meta:param.device}}{{meta:query.q:-}}.txt'`));
  const none = await startEngine(server(`path: '${folder}/{{meta:query.none}}.txt'`));
  const port = await run.port();
  for (const device of ['x'.repeat(129), 'taken', 'fine']) {
    await send(await connectClient(`ws://127.0.0.1:${port}/in/${device}`), device);
  }
  await send(await connectClient(`ws://127.0.0.1:${await none.port()}/in/a`), 'a');
  await run.output('errors').count(2);
  await until('the others', () => filesIn(folder).includes('fine.txt'));
  await none.output('errors').count(1);
  const reasons = (errors: readonly string[]): string[] =>
    errors.map(
      (letter) => (JSON.parse(letter) as { error: { code: string; message: string } }).error.message,
    );
  expect(reasons(run.output('errors').texts)).toEqual([
    expect.stringMatching(
      /^there is no file for the message: a value of its path is longer than 128 bytes: x+…$/,
    ),
    expect.stringMatching(/^cannot open .*\/taken\.txt: EISDIR/),
  ]);
  expect(reasons(none.output('errors').texts)).toEqual([
    'there is no file for the message: {{meta:query.none}} has no value now; give it a default, as {{meta:query.none:-default}}',
  ]);
});

test('the time is that of the arrival, so that a message that is written later goes to the right file', async () => {
  const folder = newFolder();
  const letters = [
    ['2026-11-29T23:59:59.999999Z', 'a'],
    ['2026-11-30T00:00:00.000000Z', 'b'],
    ['2026-11-29T00:00:00.000000Z', 'c'],
  ].map(([time, payload]) =>
    JSON.stringify({
      payload,
      encoding: 'utf8',
      metadata: { __meta_source: 'feed/1', __meta_ingest_time: time, __meta_ext: {} },
    }),
  );
  const config = dir.file(
    'replay.yaml',
    `streams: [{ input: { type: memory, messages: [x] }, output: { type: file, path: '${folder}/{{source}}/{{year}}{{month}}{{day}}-{{hour}}{{minute}}.txt' } }]`,
  );
  const { cli } = await import('../support/cli.ts');
  const replayed = await cli([
    'replay',
    dir.file('letters.jsonl', `${letters.join('\n')}\n`),
    '--to',
    config,
  ]);
  expect(replayed.stderr).toBe('replayed 3 of 3\n');
  expect(filesIn(folder)).toEqual(
    ['20261129-0000', '20261129-2359', '20261130-0000'].map((name) => `feed%2F1/${name}.txt`),
  );
  const own = join(folder, 'feed%2F1', '20261129-0000.txt');
  writeFileSync(own, `${letters[0]}\n`);
  const itself = await cli(['replay', own, '--to', config]);
  expect(itself).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('copy the file and replay the copy'),
  });
});

test('behind a query, the path takes the metadata that the query selects', async () => {
  const folder = newFolder();
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: '/in/:device', codec: { type: json } }
    pipeline: { processors: [{ type: sql, query: 'SELECT v, __meta_ext FROM flow' }] }
    output: { type: file, path: '${folder}/{{meta:param.device}}' }
`);
  const port = await run.port();
  for (const device of ['a', 'b']) {
    await send(await connectClient(`ws://127.0.0.1:${port}/in/${device}`), `{"v":"${device}"}`);
  }
  await run.metricIs(2, 'millrace_output_messages_total');
  expect(filesIn(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')])).toEqual([
    ['a', '{"v":"a"}\n'],
    ['b', '{"v":"b"}\n'],
  ]);
});

test('a message that cannot have a file is in error_output also when the rest of its batch is written again', async () => {
  const folder = newFolder();
  writeFileSync(join(folder, 'a'), 'a file');
  symlinkSync('b', join(folder, 'b'));
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json } }
    pipeline:
      processors:
        - type: sql
          query: "SELECT d, MAP {'device': d} AS __meta_ext FROM flow, unnest(['a', 'b']) AS t(d)"
    output: { type: file, path: '${folder}/{{meta:device}}/x' }
    error_output: { type: collect, name: errors }
`);
  await send(await connectClient(`ws://127.0.0.1:${await run.port()}/`), '{}');
  await until('the write has failed', () => run.log.some(({ msg }) => /failed to write: .*ELOOP/.test(msg)));
  rmSync(join(folder, 'b'));
  await run.output('errors').count(1);
  expect(JSON.parse(run.output('errors').texts[0]!)).toMatchObject({
    error: { code: 'MILLRACE_OUTPUT_REFUSED', message: expect.stringContaining('ENOTDIR') as unknown },
  });
  // The rest is tried again after a pause.
  const rest = join(folder, 'b/x');
  await until('the rest', () => existsSync(rest) && readFileSync(rest, 'utf8').endsWith('\n'));
  expect(readFileSync(rest, 'utf8')).toBe('{"d":"b"}\n');
});

test('more devices than files may be open lose nothing', async () => {
  const folder = newFolder();
  const run = await startEngine(server(`path: '${folder}/{{meta:param.device}}.txt'`));
  const port = await run.port();
  const clients = await Promise.all(
    Array.from({ length: 150 }, (_, index) => connectClient(`ws://127.0.0.1:${port}/in/${index}`)),
  );
  for (const round of ['one', 'two', 'three'])
    await Promise.all(clients.map((client) => send(client, round)));
  await run.metricIs(450, 'millrace_output_messages_total');
  const open = globSync('/proc/self/fd/*').length;
  expect(filesIn(folder)).toHaveLength(150);
  for (const name of filesIn(folder))
    expect(readFileSync(join(folder, name), 'utf8')).toBe('one\ntwo\nthree\n');
  const targets = await import('node:fs').then(({ readlinkSync }) =>
    globSync('/proc/self/fd/*').map((link) => {
      try {
        return readlinkSync(link);
      } catch {
        return '';
      }
    }),
  );
  expect(open).toBeGreaterThan(0);
  expect(targets.filter((target) => target.startsWith(folder)).length).toBeLessThanOrEqual(64);
});

test.each([
  ['{{datum}}.txt', /a \{\{…\}\} of an unknown name; known here: \{\{date\}\}, /],
  ['%Y-%m-%d.txt', /%Y is not filled in; write \{\{year\}\} instead/],
  ['{{meta:sequence}}.txt', /would make a file of each message/],
  ['{{date.txt', /not closed/],
])('%s is a mistake at load', (path, message) => {
  const mistakes = (output: string): string[] =>
    configMistakes(
      `streams: [{ input: { type: memory, messages: [x] }, output: { type: file, ${output} } }]`,
    );
  expect(mistakes(`path: './${path}'`)).toEqual([expect.stringMatching(message)]);
  expect(mistakes("path: './100%-{{{{date}}.txt'")).toEqual([]);
  expect(mistakes("append: false, path: './{{date}}.txt'")).toEqual([
    expect.stringContaining('append: is for one file'),
  ]);
});

test.each([
  ["streams: [{ input: { type: file, path: './{{date}}.txt' } }]"],
  ["streams: [{ input: { type: memory, messages: [x] }, durability: { path: './{{date}}' } }]"],
  ["logging: { file_path: './%Y.log' }\nstreams: [{ input: { type: memory, messages: [x] } }]"],
])('a path that is not filled in does not pass for one that is: %s', (text) => {
  expect(configMistakes(text)).toEqual([expect.stringContaining('is not filled in here')]);
});

test('a field of the payload makes a file for each of its values', async () => {
  const folder = newFolder();
  const run = await startEngine(`
- input: { type: memory, messages: ['{"room":"a","n":1}', '{"room":"b","n":2}', '{"room":"a","n":3}'] }
  output: { type: file, path: '${folder}/{{json:room}}.jsonl' }
`);
  await run.ended;
  expect(readFileSync(`${folder}/a.jsonl`, 'utf8')).toBe('{"room":"a","n":1}\n{"room":"a","n":3}\n');
  expect(readFileSync(`${folder}/b.jsonl`, 'utf8')).toBe('{"room":"b","n":2}\n');
});

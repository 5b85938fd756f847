import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { configMistakes, startEngine } from '../support/engine.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-framing-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});
const at = (name: string): string => join(folder, name);

/** The messages of a file input with this framing, and the error with which its stream fails. */
async function read(content: Uint8Array, framing: string): Promise<{ messages: string[]; failure?: string }> {
  writeFileSync(at('in'), content);
  const run = await startEngine(
    `streams: [{ input: { type: file, path: ${at('in')}, framing: ${framing} }, output: { type: collect } }]`,
  );
  const { failed } = await run.ended;
  const messages = run.output().texts;
  if (failed.length === 0) return { messages };
  const { code, msg } = await run.logged(/./, ({ code }) => String(code).startsWith('MILLRACE_FRAMING_'));
  return { messages, failure: `${code}: ${msg}` };
}

test.each([
  [
    'a compressed file of lines',
    gzipSync('\ufeffone\n\ntwo\r\n'),
    '{ type: lines, compression: gzip }',
    ['one', 'two'],
  ],
  [
    'two files of gzip in one',
    Buffer.concat([gzipSync('one\n'), gzipSync('two\n')]),
    '{ type: lines, compression: gzip }',
    ['one', 'two'],
  ],
  ['arrays', Buffer.from('[1, {"a":[2]}]\n[]\n["x"]\n'), 'json_array', ['1', '{"a":[2]}', '"x"']],
  ['lengths', Buffer.from('\0\x02ab\0\0\0\x01c'), '{ type: length_delimited, prefix: 2 }', ['ab', '', 'c']],
  ['a file that is one message', zstdCompressSync('all\nof it'), '{ compression: zstd }', ['all\nof it']],
])('%s', async (_, content, framing, expected) => {
  expect(await read(content, framing)).toEqual({ messages: expected });
});

test.each([
  [
    'a file that was cut',
    gzipSync('one\ntwo\n').subarray(0, -4),
    '{ type: lines, compression: gzip }',
    /unexpected end of file/,
  ],
  [
    'a second part that nothing would read',
    Buffer.concat([zstdCompressSync('one\n'), zstdCompressSync('two\n')]),
    '{ type: lines, compression: zstd }',
    /stand behind its end/,
  ],
  [
    'a record without an end',
    Buffer.from('one;tw'),
    '{ type: delimiter, delimiter: ; }',
    /after message 1: /,
  ],
  [
    'a length that lies',
    Buffer.from('\x03one\x09two'),
    '{ type: length_delimited, prefix: 1 }',
    /after message 1: the length is 9/,
  ],
])('%s fails the stream; earlier messages go on', async (_, content, framing, reason) => {
  const { messages, failure } = await read(content, framing);
  expect(messages).toEqual(['one', ...(framing.includes('gzip') ? ['two'] : [])]);
  expect(failure).toMatch(reason);
});

test('a file output ends each message with a delimiter, also one that a crash has torn, and rotates between messages', async () => {
  writeFileSync(at('out.txt'), 'torn|');
  const messages = Array.from({ length: 60 }, (_, index) => `${index}\n${'x'.repeat(40)}`);
  const run = await startEngine(`
streams:
  - input: { type: memory, messages: ${JSON.stringify([...messages, 'in||side'])} }
    output: { type: file, path: ${at('out.txt')}, framing: { type: delimiter, delimiter: "||" }, rotate: { size: 1024 } }
    error_output: { type: collect }
`);
  await run.ended;
  const files = readdirSync(folder).toSorted(
    (a, b) => Number(!a.includes('~')) - Number(!b.includes('~')) || (a < b ? -1 : 1),
  );
  expect(files.length).toBeGreaterThan(2);
  const contents = files.map((name) => readFileSync(at(name), 'utf8'));
  for (const content of contents) {
    expect(content.endsWith('||')).toBe(true);
    expect(content.length).toBeLessThanOrEqual(1024);
  }
  expect(contents.join('')).toBe(['torn', ...messages, ''].join('||').replace('torn||', 'torn|||'));
  expect(run.output().texts).toHaveLength(1);
});

test('a file or standard output refuses a framing that cannot be appended to, at its place', async () => {
  const problem = async (output: string): Promise<string> => {
    const yaml = `streams: [{ input: { type: memory, messages: [a] }, output: ${output} }]`;
    return await startEngine(yaml).then(
      () => 'none',
      (error: Error) => error.message,
    );
  };
  expect(
    await problem(`{ type: file, path: ${at('x')}, framing: { type: lines, compression: gzip } }`),
  ).toMatch(/rotate\.compression/);
  expect(await problem(`{ type: file, path: ${at('x')}, framing: length_delimited }`)).toMatch(
    /expected lines/,
  );
  expect(await problem('{ type: stdout, framing: { type: lines, compression: gzip } }')).toMatch(
    /standard output is a stream/,
  );
  expect(readdirSync(folder)).toEqual([]);
});

test('mistakes say what a framing can be', () => {
  const mistakes = (framing: string): string[] =>
    configMistakes(`streams: [{ input: { type: memory, messages: [a], framing: ${framing} } }]`);
  expect(mistakes('lines')).toEqual([]);
  expect(mistakes('{ compression: br }')).toEqual([]);
  expect(mistakes('{ type: delimiter, delimiter: x, max_messages: 5 }')).toEqual([]);
  expect(mistakes('delimiter')[0]).toMatch(
    /"delimiter" is not a framing that needs no fields; expected none, lines,/,
  );
  expect(mistakes('{ type: linez }')[0]).toMatch(/"linez" is not a framing; did you mean lines\?/);
  expect(mistakes('{ type: lines, compresion: gzip }')).toEqual([
    'streams[0].input.framing.compresion: unknown field; did you mean compression?',
  ]);
  expect(mistakes('{ type: delimiter }')[0]).toMatch(/framing\.delimiter: is missing/);
});

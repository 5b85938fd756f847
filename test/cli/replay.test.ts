import { once } from 'node:events';
import { copyFileSync, createWriteStream, existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { deflateSync, gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { cli, cliProcess, startCli } from '../support/cli.ts';
import { startEngine } from '../support/engine.ts';
import { connectClient, freePort, send } from '../support/peers.ts';
import { peakMemory } from '../support/process-memory.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';
import { wsServer } from '../support/ws-server.ts';

const dir = tempDir();
let files = 0;
const fresh = (name: string): string => join(dir.path, `${files++}-${name}`);
const lines = (file: string): string[] => readFileSync(file, 'utf8').split('\n').slice(0, -1);
const parsed = (file: string) => lines(file).map((line) => JSON.parse(line) as Record<string, unknown>);

/** The line of a dead letter. */
function letter(payload: string, more: Record<string, unknown> = {}): string {
  return JSON.stringify({
    payload,
    encoding: 'utf8',
    metadata: {
      __meta_source: 'ws://127.0.0.1:8080/orders',
      __meta_ingest_time: '2026-11-24T15:46:47.652194Z',
      __meta_ext: { session_id: 's1', 'query.device': 'd1', message_type: 'text', sequence: '7' },
    },
    error: { code: 'MILLRACE_CODEC_INVALID_JSON', stage: 'codec', message: 'not JSON' },
    ...more,
  });
}

const write = (...all: string[]): string => dir.file(`${files++}-letters.jsonl`, `${all.join('\n')}\n`);

/** The messages that one `replay` puts on the wire. */
async function replayed(args: readonly string[], stdin = '', answer?: Parameters<typeof wsServer>[0]) {
  const types: string[] = [];
  const server = await wsServer((socket, message, binary) => {
    types.push(binary ? 'binary' : 'text');
    answer?.(socket, message, binary);
  });
  const result = await cli(['replay', ...args, '--to', server.url], { stdin });
  return { ...result, types, server, messages: server.connections.flatMap(({ messages }) => messages) };
}

/** A file with a stream whose output and error_output are files. */
function config(
  fields: {
    input?: string;
    processors?: string;
    output?: string;
    error?: string | null;
    bytes?: string;
  } = {},
) {
  const { input = '{ type: websocket, url: ws://127.0.0.1:9, codec: { type: json } }', processors = '' } =
    fields;
  const output = fields.output ?? fresh('out.jsonl');
  const error = fields.error === undefined ? fresh('rejected.jsonl') : fields.error;
  const file = dir.file(
    `${files++}-streams.yaml`,
    `streams:
  - id: orders
    input: ${input}
    pipeline: { processors: [${processors}] }
    output: { type: file, path: ${output} }
${error === null ? '' : `    error_output: { type: file, path: ${error} }`}
    durability: { path: ${fresh('log')} }
    in_flight: { bytes: ${fields.bytes ?? '64MiB'} }
`,
  );
  return { file, output, error: error ?? '' };
}

/** Runs an engine that rejects anything but JSON, sends it some of both, and returns its file of dead letters. */
async function deadLetters(): Promise<string> {
  const error = fresh('rejected.jsonl');
  const run = await startEngine(`
- input:
    type: websocket
    mode: server
    host: 127.0.0.1
    port: 0
    path: /orders
    codec: { type: json }
    metadata: { query: [device] }
  output: { type: collect }
  error_output: { type: file, path: ${error} }
`);
  const client = await connectClient(`${await run.url()}?device=d1`);
  await send(client, 'text ä', '{"id":1}', Buffer.from([0xff, 0x00, 0x80]), Buffer.from('bytes of text'));
  await until('three dead letters', async () => (await run.metric('millrace_dead_letters_total')) === 3);
  await run.stop();
  return error;
}

test('dead letters of an engine go to a server as they came: text as text, binary as binary, in order', async () => {
  const file = await deadLetters();
  const before = readFileSync(file);
  const { code, stdout, stderr, types, messages, server } = await replayed([file]);
  expect({ code, stdout, stderr, types, messages }).toEqual({
    code: 0,
    stdout: '',
    stderr: 'replayed 3 of 3\n',
    types: ['text', 'binary', 'binary'],
    messages: [Buffer.from('text ä'), Buffer.from([0xff, 0x00, 0x80]), Buffer.from('bytes of text')],
  });
  expect(await server.closed()).toEqual({ code: 1000, reason: 'done' });
  expect(readFileSync(file)).toEqual(before);
});

test('through a stream they have their original metadata, and messages that fail again are kept again', async () => {
  const file = await deadLetters();
  const { file: streams, output, error } = config();
  const { code, stdout, stderr } = await cli(['replay', file, '--to', streams]);
  expect(stderr).toContain('replayed 3 of 3; 3 of them rejected again, now in error_output\n');
  expect({ code, stdout, output: lines(output) }).toEqual({ code: 0, stdout: '', output: [] });
  const first = parsed(file);
  const again = parsed(error);
  expect(again.map(({ payload, encoding, metadata }) => ({ payload, encoding, metadata }))).toEqual(
    first.map(({ payload, encoding, metadata }) => ({ payload, encoding, metadata })),
  );
  expect(first[0]).toMatchObject({
    metadata: { __meta_ext: { 'query.device': 'd1', sequence: '1' } },
  });
});

test('through the pipeline of a stream: SQL sees source, time and ext', async () => {
  const file = write(letter('{"id":1,"n":20}'), letter('{"id":2,"n":21}'));
  const query =
    "SELECT id, n * 2 AS n, __meta_source AS source, epoch_us(__meta_ingest_time) AS time, __meta_ext['query.device'] AS device, __meta_ext['sequence'] AS number FROM flow";
  const { file: streams, output } = config({ processors: `{ type: sql, query: "${query}" }` });
  const { code, stderr } = await cli(['replay', file, '--to', streams, '--stream', 'orders']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: 'replayed 2 of 2\n' });
  const about = { source: 'ws://127.0.0.1:8080/orders', time: 1795535207652194, device: 'd1', number: '7' };
  expect(parsed(output)).toEqual([
    { id: 1, n: 40, ...about },
    { id: 2, n: 42, ...about },
  ]);
});

test('SQL also sees key, partition, offset, event time, lists and numbers, as they are in a letter', async () => {
  const own = {
    __meta_source: 's',
    __meta_ingest_time: '2026-11-24T15:46:47.652194Z',
    __meta_key: 'k',
    __meta_partition: 3,
    __meta_offset: '9007199254740993',
    __meta_event_time: '2026-11-24T15:46:47.000001Z',
    __meta_ext: { roles: ['a', 'b'], level: 5, session_id: 's1' },
  };
  const without = { __meta_source: 's', __meta_ingest_time: own.__meta_ingest_time, __meta_ext: {} };
  const { file, error } = config({ output: `'${dir.path}/by-key/{{key:-none}}.jsonl'` });
  const letters = write(
    letter('{"n":1}', { metadata: own }),
    letter('{"n":2}', { metadata: without }),
    letter('nope', { metadata: own }),
  );
  const { code, stderr } = await cli(['replay', letters, '--to', file]);
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: expect.stringContaining('replayed 3 of 3; 1 of them'),
  });
  expect(lines(`${dir.path}/by-key/k.jsonl`)).toEqual(['{"n":1}']);
  expect(lines(`${dir.path}/by-key/none.jsonl`)).toEqual(['{"n":2}']);
  expect(parsed(error)).toMatchObject([{ payload: 'nope', metadata: own }]);
});

test('without error_output, messages that are rejected again are reported, and the exit code is 1', async () => {
  const { file: streams, output } = config({ error: null });
  const { code, stderr } = await cli(['replay', write(letter('{"a":1}'), letter('{')), '--to', streams]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/message rejected: not JSON/);
  expect(stderr).toMatch(
    /replayed 2 of 2; 1 of them rejected again, and logged, because there is no error_output\n$/,
  );
  expect(lines(output)).toEqual(['{"a":1}']);
});

test('an output that is emptied at the start of a stream is not emptied by a replay', async () => {
  const output = fresh('kept.jsonl');
  const { file: streams } = config({ output: `${output}, append: false` });
  for (const payload of ['1', '2']) await cli(['replay', write(letter(payload)), '--to', streams]);
  expect(lines(output)).toEqual(['1', '2']);
});

test('nor is a file of one of several outputs, or of an error_output of its own, and neither is read and written at once', async () => {
  const [first, second, third] = ['one', 'two', 'three'].map((name) => fresh(`${name}.jsonl`));
  const streams = dir.file(
    `${files++}-streams.yaml`,
    `streams:
  - id: orders
    input: { type: memory, messages: [a] }
    outputs:
      - { type: file, path: ${first!}, append: false, error_output: { type: file, path: ${third!}, append: false } }
      - type: switch
        cases: [{ match: { 'query.device': d1 }, output: { type: file, path: ${second!}, append: false } }]
`,
  );
  for (const payload of ['1', '"a\\nb"', '2']) await cli(['replay', write(letter(payload)), '--to', streams]);
  expect(lines(first!)).toEqual(['1', '"a\\nb"', '2']);
  expect(lines(second!)).toEqual(['1', '"a\\nb"', '2']);
  const { code, stderr } = await cli(['replay', second!, '--to', streams]);
  expect(code).toBe(2);
  expect(stderr).toMatch(
    /is the output\.outputs\.1\.cases\.0\.output of stream orders, so the stream would write/,
  );
  const own = await cli(['replay', third!, '--to', streams]);
  expect(own.stderr).toMatch(/is the output\.outputs\.0\.error_output of stream orders/);
});

test('parts that were not framed are framed again, with the framing of the stream as it is now', async () => {
  const error = fresh('rejected.jsonl');
  const framed = (fields: string): string =>
    `{ type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json }, framing: { type: json_array, compression: gzip, ${fields} } }`;
  const run = await startEngine(`
- input: ${framed('max_messages: 2, max_message_size: 6')}
  output: { type: collect }
  error_output: { type: file, path: ${error} }
`);
  const client = await connectClient(await run.url());
  await send(
    client,
    gzipSync('[1, [2],{"n":3} , 4]'),
    deflateSync('[5,6]'),
    gzipSync('[7,"longer"]'),
    gzipSync('[8,9'),
    gzipSync('[10]'),
    '[11,{"n": 12}]',
  );
  await until('the dead letters', () => existsSync(error) && lines(error).length === 5);
  await run.output().count(5);
  await run.stop();
  expect(parsed(error).map(({ error }) => (error as { code: string }).code)).toEqual([
    'MILLRACE_FRAMING_INVALID',
    'MILLRACE_FRAMING_COMPRESSION',
    'MILLRACE_FRAMING_TOO_LONG',
    'MILLRACE_FRAMING_INVALID',
    'MILLRACE_FRAMING_TOO_LONG',
  ]);

  const { file, output, error: again } = config({ input: framed('max_messages: 10') });
  const { code, stderr } = await cli(['replay', error, '--to', file]);
  expect(code).toBe(0);
  expect(stderr).toMatch(/replayed 5 of 5; 2 of them rejected again, now in error_output\n$/);
  expect(lines(output)).toEqual(['{"n":3}', '4', '"longer"', '{"n": 12}']);
  expect(
    parsed(again).map(({ payload, encoding }) => Buffer.from(payload as string, encoding as BufferEncoding)),
  ).toEqual([deflateSync('[5,6]'), Buffer.from('[8,9')]);
  const deflated = config({ input: framed('max_messages: 10').replace('gzip', 'deflate') });
  await cli(['replay', again, '--to', deflated.file, '--code', 'MILLRACE_FRAMING_COMPRESSION']);
  expect(lines(deflated.output)).toEqual(['5', '6']);
});

test('inputs with several framings: a part of a frame is refused, and other letters go on', async () => {
  const { file, output } = config({
    input:
      '{ type: multiple_inputs, inputs: [{ type: memory, messages: [a], framing: lines }, { type: memory, messages: [b] }] }',
  });
  const bad = { error: { code: 'MILLRACE_FRAMING_INVALID', stage: 'codec', message: 'x' } };
  const letters = write(letter('1'), letter('{', bad));
  const { code, stderr } = await cli(['replay', letters, '--to', file]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/letters\.jsonl:2: a part of a frame .* different framings; select .* --code/);
  const others = await cli(['replay', letters, '--to', file, '--code', 'MILLRACE_CODEC_INVALID_JSON']);
  expect({ code: others.code, lines: lines(output) }).toEqual({ code: 0, lines: ['1'] });
});

test('messages that an output refused for good are replayed into one that takes them', async () => {
  const rejected = fresh('refused.jsonl');
  const first = fresh('first.jsonl');
  const run = await startEngine(`
- input: { type: websocket, mode: server, host: 127.0.0.1, port: 0 }
  output: { type: file, path: ${first} }
  error_output: { type: file, path: ${rejected} }
`);
  await send(
    await connectClient(await run.url()),
    'one',
    'two\nlines',
    'three',
    Buffer.from([0x61, 10, 0xff]),
  );
  await until('the dead letters', async () => (await run.metric('millrace_dead_letters_total')) === 2);
  await run.idle();
  await run.stop();
  expect(lines(first)).toEqual(['one', 'three']);
  expect(parsed(rejected).map(({ error }) => error)).toMatchObject([
    { code: 'MILLRACE_OUTPUT_REFUSED', stage: 'output' },
    { code: 'MILLRACE_OUTPUT_REFUSED', stage: 'output' },
  ]);
  const same = config({ input: '{ type: websocket, url: ws://127.0.0.1:9 }' });
  const again = await cli(['replay', rejected, '--to', same.file, '--stage', 'output']);
  expect(again).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('2 of them rejected again') as string,
  });
  const mended = config({
    input: '{ type: websocket, url: ws://127.0.0.1:9 }',
    output: `${fresh('mended')}, framing: { type: delimiter, delimiter: "|" }`,
  });
  const { code, stderr } = await cli(['replay', same.error, '--to', mended.file]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: 'replayed 2 of 2\n' });
  const path = mended.output.slice(0, mended.output.indexOf(','));
  expect(readFileSync(path)).toEqual(
    Buffer.concat([Buffer.from('two\nlines|a\n'), Buffer.from([0xff]), Buffer.from('|')]),
  );
});

test('an export of a log has no errors, and is replayed as well', async () => {
  const { code, messages } = await replayed([write(letter('a', { error: undefined }))]);
  expect({ code, messages: messages.map(String) }).toEqual({ code: 0, messages: ['a'] });
});

test('messages that wait in a log go on through a pipe, in order', async () => {
  const log = fresh('log');
  const run = await startEngine(`
- input: { type: websocket, mode: server, host: 127.0.0.1, port: 0 }
  durability: { path: ${log} }
  output: { type: websocket, url: 'ws://127.0.0.1:${await freePort()}' }
`);
  await send(await connectClient(await run.url()), 'one', Buffer.from([0xff]), 'three');
  await until('three messages', async () => (await run.metric('millrace_input_messages_total')) === 3);
  await run.abort();
  const { stdout } = await cli(['wal', log, '--export', '--json']);
  const { code, stderr, types, messages } = await replayed(['-'], stdout);
  expect({ code, stderr, types, messages }).toEqual({
    code: 0,
    stderr: 'replayed 3 of 3\n',
    types: ['text', 'binary', 'text'],
    messages: [Buffer.from('one'), Buffer.from([0xff]), Buffer.from('three')],
  });
});

const codes = write(
  letter('a'),
  letter('b', { error: { code: 'MILLRACE_SQL_FIELD_CONFLICT', stage: 'processor' } }),
  letter('c', { error: { code: 'MILLRACE_OUTPUT_REFUSED', stage: 'output' } }),
  letter('d', { error: undefined }),
);

test.each<[string[], string[], string]>([
  [
    ['--code', 'MILLRACE_CODEC_INVALID_JSON'],
    ['a'],
    'replayed 1 of 1; 3 others left out by --code and --stage',
  ],
  [
    ['--stage', 'processor', '--stage', 'output'],
    ['b', 'c'],
    'replayed 2 of 2; 2 others left out by --code and --stage',
  ],
  [
    ['--code', 'MILLRACE_OUTPUT_REFUSED', '--stage', 'codec'],
    [],
    'replayed 0 of 0; 4 others left out by --code and --stage',
  ],
  [['--skip', '2'], ['c', 'd'], 'replayed 2 of 2'],
])('%j', async (args, expected, summary) => {
  const { code, stderr, messages } = await replayed([codes, ...args]);
  expect({ code, stderr, messages: messages.map(String) }).toEqual({
    code: 0,
    stderr: `${summary}\n`,
    messages: expected,
  });
});

test('every line that is not a dead letter is named, and nothing of the file is sent', async () => {
  const file = write(
    letter('a'),
    '',
    '{"payload":',
    '{"id":1}',
    '[]',
    letter('a', { encoding: 'utf16' }),
    letter('a b!', { encoding: 'base64' }),
    letter('\ud800'),
    letter('a', { metadata: undefined }),
    letter('a', { metadata: { __meta_source: '', __meta_ingest_time: 'now', __meta_ext: {} } }),
    letter('b'),
  );
  const toServer = await replayed([file]);
  const { file: streams, output } = config();
  const toStream = await cli(['replay', file, '--to', streams]);
  for (const { code, stderr } of [toServer, toStream]) {
    expect(code).toBe(1);
    const [first, ...rest] = stderr.trimEnd().split('\n');
    expect(first).toBe('MILLRACE_REPLAY_INVALID: 8 lines are not dead letters; nothing was sent');
    const expected: [number, RegExp][] = [
      [3, /not a dead letter: .*JSON/],
      [4, /payload is not a string; expected an object with payload/],
      [5, /not a dead letter; expected/],
      [6, /encoding is not known; expected utf8/],
      [7, /payload is not base64/],
      [8, /payload is not text that UTF-8 can hold/],
      [9, /metadata is missing/],
      [10, /__meta_ingest_time is not a time/],
    ];
    for (const [index, [line, message]] of expected.entries()) {
      expect(rest[index]).toMatch(new RegExp(`^${file}:${line}: `));
      expect(rest[index]).toMatch(message);
    }
    expect(rest.length).toBe(expected.length);
  }
  expect(toServer.server.connections).toEqual([]);
  expect(() => statSync(output)).toThrow('ENOENT');
});

test('of many wrong lines the first ten are named', async () => {
  const { stderr } = await replayed([write(...Array.from({ length: 15 }, () => 'x'))]);
  expect(stderr).toMatch(/^MILLRACE_REPLAY_INVALID: 15 lines are not dead letters; nothing was sent\n/);
  expect(stderr).toMatch(/:10: [^\n]*\nand 5 more\n$/);
});

test('stdin is sent up to the line that is wrong', async () => {
  const input = `${letter('a')}\n${letter('b')}\noops\n${letter('c')}\n`;
  const { code, stderr, messages } = await replayed(['-'], input);
  expect({ code, messages: messages.map(String) }).toEqual({ code: 1, messages: ['a', 'b'] });
  expect(stderr).toMatch(
    /^MILLRACE_REPLAY_INVALID: standard input:3: not a dead letter.*\nreplayed 2 of 2\n$/,
  );
  const { file: streams, output } = config({ input: '{ type: generate, context: a }' });
  const toStream = await cli(['replay', '-', '--to', streams], { stdin: input });
  expect(toStream).toMatchObject({ code: 1, stdout: '' });
  expect(toStream.stderr).toMatch(/standard input:3: .*\nreplayed 2 of 2\n$/);
  expect(lines(output)).toEqual(['a', 'b']);
});

test('with a server that acknowledges, each message has to be, and a lost connection is made again', async () => {
  const file = write(...Array.from({ length: 20 }, (_, id) => letter(JSON.stringify({ id }))));
  let lost = false;
  const { code, stderr, messages } = await replayed(
    [file, '--id', 'id', '--ack', 'ack', '--reconnect'],
    '',
    (socket, message) => {
      const { id } = JSON.parse(message.toString()) as { id: number };
      if (id === 9 && !lost) {
        lost = true;
        socket.terminate();
      } else if (lost || id < 5) socket.send(JSON.stringify({ ack: id }));
    },
  );
  expect(stderr).toMatch(/sending 15 messages again\n.*\nreplayed 20 of 20\n$|replayed 20 of 20\n$/s);
  expect(code).toBe(0);
  expect(new Set(messages.map(String)).size).toBe(20);
});

test('messages that are not acknowledged fail it, and --skip continues after those that are', async () => {
  const file = write(
    letter('not asked for', { error: undefined }),
    ...[1, 2, 3, 4].map((id) => letter(`{"id":${id}}`)),
  );
  const args = [file, '--id', 'id', '--ack', 'ack', '--stage', 'codec'];
  const answer =
    (unless: number): Parameters<typeof wsServer>[0] =>
    (socket, message) => {
      const { id } = JSON.parse(message.toString()) as { id: number };
      if (id !== unless) socket.send(JSON.stringify({ ack: id }));
    };
  const first = await replayed([...args, '--ack-timeout', '200ms'], '', answer(3));
  expect(first.code).toBe(1);
  expect(first.stderr).toMatch(
    /^MILLRACE_SEND_FAILED: .*\nreplayed 3 of 4; 1 others left out by --code and --stage; --skip 3 continues from there\n$/,
  );
  const second = await replayed([...args, '--skip', '3'], '', answer(0));
  expect(second).toMatchObject({ code: 0, stderr: 'replayed 2 of 2\n' });
  expect(second.messages.map(String)).toEqual(['{"id":3}', '{"id":4}']);
});

test('without a server, nothing is replayed, and the command says so', async () => {
  const url = `ws://127.0.0.1:${await freePort()}/feed`;
  const { code, stderr } = await cli(['replay', write(letter('a')), '--to', url]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^MILLRACE_NOT_CONNECTED: .*ECONNREFUSED.*\nreplayed 0 of 1\n$/);
});

test('SIGTERM ends a replay into an output that takes nothing, with the number of confirmed messages', async () => {
  const url = `ws://127.0.0.1:${await freePort()}/feed`;
  const streams = dir.file(
    'down.yaml',
    `- { input: { type: generate, context: a }, output: { type: websocket, url: '${url}' } }\n`,
  );
  const run = startCli(['replay', write(letter('a'), letter('b')), '--to', streams]);
  // By the second attempt the letters have been read.
  await run.seen(/ECONNREFUSED[^]*ECONNREFUSED/);
  run.child.kill('SIGTERM');
  await run.seen(/SIGTERM: draining/);
  // At first it still counts as the signal before.
  let noticed = false;
  const second = run.seen(/second signal \(/).then(() => (noticed = true));
  await until('the second signal to be noticed', () => noticed || (run.child.kill('SIGTERM'), false));
  await second;
  const { code, stderr } = await run.result;
  expect(code).toBe(1);
  expect(stderr).toMatch(/replayed 0 of 2\n$/);
});

test('SIGTERM before anything was read is an interruption, not a mistake of the file', async () => {
  const url = `ws://127.0.0.1:${await freePort()}/feed`;
  const streams = dir.file(
    'idle.yaml',
    `- { input: { type: generate, context: a }, output: { type: websocket, url: '${url}' } }\n`,
  );
  const run = startCli(['replay', '-', '--to', streams], { openStdin: true });
  await run.seen(/ECONNREFUSED/);
  run.child.kill('SIGTERM');
  const { code, stderr } = await run.result;
  expect(code).toBe(1);
  expect(stderr).toMatch(/interrupted/);
  expect(stderr).not.toMatch(/cannot read/);
});

test('a stream that would write to the file that is replayed is refused', async () => {
  const file = write(letter('a'));
  for (const own of [config({ error: file }), config({ output: file })]) {
    const { code, stderr } = await cliProcess(['replay', file, '--to', own.file], { cwd: dir.path });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: .* is the (error_)?output of stream orders, so the stream would write/);
  }
  const copy = fresh('copy.jsonl');
  copyFileSync(file, copy);
  const { code } = await cli(['replay', copy, '--to', config({ error: file }).file]);
  expect(code).toBe(0);
});

test.each<[string, string[], RegExp]>([
  ['no --to', [codes], /required option '--to/],
  ['no such stream', [codes, '--to', 'FILE', '--stream', 'ordres'], /did you mean orders\?/],
  ['an option for URLs', [codes, '--to', 'FILE', '--ack-timeout', '1s'], /--ack-timeout needs --to URL/],
  ['--stream for a URL', [codes, '--to', 'ws://127.0.0.1:9', '--stream', 'a'], /--stream needs a config/],
  ['no such stage', [codes, '--to', 'FILE', '--stage', 'procesor'], /Did you mean processor\?/],
  [
    'no such code',
    [codes, '--to', 'FILE', '--code', 'MILLRACE_OUTPUT_REFUSE'],
    /Did you mean MILLRACE_OUTPUT_REFUSED\?/,
  ],
  ['--id alone', [codes, '--to', 'ws://127.0.0.1:9', '--id', 'id'], /--id and --ack belong together/],
])('%s is a mistake on the command line', async (_, args, message) => {
  const { file } = config();
  const { code, stderr } = await cli(['replay', ...args.map((arg) => (arg === 'FILE' ? file : arg))]);
  expect(stderr).toMatch(message);
  expect(code).toBe(2);
});

test('a file with several streams needs --stream, and only that stream runs', async () => {
  const one = fresh('one.jsonl');
  const two = fresh('two.jsonl');
  const streams = dir.file(
    'several.yaml',
    `- { id: one, input: { type: memory, messages: [a] }, output: { type: file, path: ${one} } }
- { id: two, input: { type: memory, messages: [a] }, output: { type: file, path: ${two} } }
`,
  );
  const without = await cli(['replay', write(letter('b')), '--to', streams]);
  expect(without).toMatchObject({ code: 2, stderr: expect.stringContaining('one of one, two') as string });
  const { code } = await cli(['replay', write(letter('b')), '--to', streams, '--stream', 'two']);
  expect({ code, two: lines(two) }).toEqual({ code: 0, two: ['b'] });
  expect(() => statSync(one)).toThrow('ENOENT');
});

test('a mistake that only a component sees is at its place in the file', async () => {
  const { file } = config({ processors: '{ type: sql, query: SELCT }' });
  const { code, stderr } = await cli(['replay', codes, '--to', file]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/streams\.yaml:4:\d+: streams\[0\]\.pipeline\.processors\[0\]\.query: /);
});

test('a missing file is reported', async () => {
  const { code, stderr } = await replayed([`${dir.path}/none.jsonl`]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^MILLRACE_FILE_UNAVAILABLE: cannot read .*none\.jsonl: ENOENT/);
});

test('a large file is not kept in memory', async () => {
  const file = fresh('large.jsonl');
  const out = createWriteStream(file);
  const count = 20_000;
  const padding = 'x'.repeat(20_000);
  for (let id = 0; id < count; id++) {
    if (!out.write(`${letter(JSON.stringify({ id, padding }))}\n`)) await once(out, 'drain');
  }
  await new Promise<void>((resolve) => out.end(resolve));
  expect(statSync(file).size).toBeGreaterThan(384 * 1024 ** 2);
  const { file: streams, output } = config({ bytes: '4MiB' });
  const { child, result } = startCli(['replay', file, '--to', streams]);
  let peak = 0;
  const look = setInterval(() => {
    try {
      peak = Math.max(peak, peakMemory(child.pid!));
    } catch {
      // It has ended just now.
    }
  }, 20);
  const { code, stderr } = await result;
  clearInterval(look);
  expect({ code, stderr }).toEqual({ code: 0, stderr: `replayed ${count} of ${count}\n` });
  const text = readFileSync(output, 'utf8');
  expect(text.endsWith(`{"id":${count - 1},"padding":"${padding}"}\n`)).toBe(true);
  expect(peak).toBeGreaterThan(0);
  expect(peak).toBeLessThan(300 * 1024 ** 2);
});

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { cli, startCli } from '../support/cli.ts';
import { program } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import { Tool, requireTool } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { wsServer } from '../support/ws-server.ts';

const dir = tempDir();
const entry = program('millrace');

const readings = [
  '{"sensor":"a","t":1.10,"d":{"x":1.10},"id":12345678901234567890}',
  '{"sensor":"b","t":30,"note":"two\\nlines \\u001b[2J"}',
  '{"sensor":"a","t":3}',
];
const averages =
  'SELECT sensor, avg(t) AS average, count(*) AS readings FROM flow GROUP BY sensor ORDER BY sensor';

test('a file is one table, and its rows are lines of JSON for a pipe', async () => {
  const file = dir.file('readings.jsonl', `${readings.join('\n')}\n`);
  const { code, stdout, stderr } = await cli(['sql', averages, file]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toEqual([
    { sensor: 'a', average: 2.05, readings: 2 },
    { sensor: 'b', average: 30, readings: 1 },
  ]);
});

test.each([
  ['an array', 'readings.json', `\n[${readings.join(',\n')}]`],
  ['compressed lines', 'readings.jsonl.gz', gzipSync(readings.join('\n'))],
])('%s is a table too', async (_, name, content) => {
  const { stdout } = await cli(['sql', 'SELECT count(*) AS n FROM flow', dir.file(name, content)]);
  expect(stdout).toBe('{"n":3}\n');
});

test('a table keeps digits, has numbers at the right, and nothing that steers a terminal', async () => {
  const file = dir.file('table.jsonl', readings.join('\n'));
  const { stdout } = await cli(['sql', 'SELECT * FROM flow', file, '--format', 'table']);
  expect(stdout).toBe(`\
sensor     t  d                             id  note
──────  ────  ──────────  ────────────────────  ───────────────────
a       1.10  {"x":1.10}  12345678901234567890
b         30                                    two lines \\u001b[2J
a          3

`);
});

test('a table may have more rows than a call has arguments', async () => {
  const rows = 130_000;
  expect(() => Math.max(...Array.from({ length: rows }, () => 1))).toThrow(RangeError);
  const file = dir.file('long.jsonl', '{"n":1}\n'.repeat(rows));
  const { code, stdout } = await cli(['sql', 'SELECT n FROM flow', file, '--format', 'table']);
  expect(code).toBe(0);
  expect(stdout.split('\n')).toHaveLength(rows + 4);
});

test('a column that no message has is told, also of a few messages', async () => {
  const file = dir.file('few.jsonl', readings.join('\n'));
  const { code, stderr } = await cli(['sql', 'SELECT sensr FROM flow', file]);
  expect(code).toBe(0);
  expect(stderr).toMatch(/the query names sensr, and no message has it/);
});

test('lines of JSON on a terminal have nothing that steers it', async () => {
  const file = dir.file('steers.jsonl', '{"note":"\u009b31m\u202e end"}\n');
  const query = 'SELECT note FROM flow';
  const command = [process.execPath, entry, 'sql', query, file, '--format', 'ndjson'];
  const tool = new Tool(requireTool('script'), [
    '-qec',
    command.map((each) => `'${each}'`).join(' '),
    '/dev/null',
  ]);
  expect(await tool.line(/end/)).toContain('{"note":"\\u009b31m\\u202e end"}');
});

test('`-` is stdin, and text without JSON is __value__', async () => {
  const query = 'SELECT upper(__value__) AS shout FROM flow';
  const { code, stdout } = await cli(['sql', query, '-', '--codec', 'text'], { stdin: 'one\ntwo\n' });
  expect({ code, stdout }).toEqual({ code: 0, stdout: '{"shout":"ONE"}\n{"shout":"TWO"}\n' });
});

test('a column that is declared has its type', async () => {
  const file = dir.file('declared.jsonl', '{"price":"1.10"}\n{"price":2}\n');
  const { stdout } = await cli([
    'sql',
    'SELECT sum(price) AS total FROM flow',
    file,
    '--column',
    'price=DECIMAL(18,2)',
  ]);
  expect(stdout).toBe('{"total":3.10}\n');
});

test('a feed is a table for each window, until it is told to stop', async () => {
  const server = await wsServer((socket) => {
    for (const reading of readings) socket.send(reading);
  });
  const args = ['--send', 'go', '--window', '200ms', '-H', 'X-Key: k'];
  const run = startCli(['sql', 'SELECT count(*) AS n FROM flow', server.url, ...args]);
  // The messages may come on both sides of a window's end.
  const counts = (): number[] =>
    run
      .stdout()
      .trim()
      .split('\n')
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as { n: number }).n);
  const sum = (): number => counts().reduce((total, n) => total + n, 0);
  await until('3 messages', () => sum() === 3);
  const before = counts().length;
  (await server.connection()).socket.send(readings[0]!);
  await until('4 messages', () => sum() === 4);
  expect(counts()).toHaveLength(before + 1);
  run.child.kill('SIGINT');
  const { code } = await run.result;
  expect(code).toBe(0);
  expect(server.connections[0]!.request.headers['x-key']).toBe('k');
});

test('with --window 0 rows come with their messages, and --count ends it', async () => {
  const server = await wsServer((socket) => {
    for (const reading of readings) socket.send(reading);
  });
  const args = ['sql', "SELECT t FROM flow WHERE sensor = 'a'", server.url, '--send', 'go'];
  const { code, stdout } = await cli([...args, '--window', '0', '--count', '2']);
  expect(code).toBe(0);
  expect(stdout.split('\n')).toHaveLength(3);
  expect(await server.closed()).toMatchObject({ code: 1000 });
});

test('on a terminal, the next window takes the place of the last', async () => {
  const server = await wsServer((socket) => {
    socket.send(readings[0]!);
    setInterval(() => socket.send(readings[1]!), 50).unref();
  });
  const query = 'SELECT sensor, max(t) AS most FROM flow GROUP BY sensor';
  const command = [process.execPath, entry, 'sql', query, server.url, '--send', 'go', '--window', '100ms'];
  const tool = new Tool(requireTool('script'), [
    '-qec',
    command.map((each) => `'${each}'`).join(' '),
    '/dev/null',
  ]);
  expect(await tool.line(/\u001b\[\d+A\u001b\[0J/)).toContain('sensor');
  await tool.line(/^b +30/);
});

test('a stream of a configuration runs as far as --stage, and its outputs get nothing', async () => {
  const readingsFile = dir.file('stream.jsonl', readings.join('\n'));
  const written = join(dir.path, 'written.jsonl');
  const config = dir.file(
    'streams.yaml',
    `streams:
  - id: other
    input: { type: generate, count: 1, context: "{}" }
  - id: hot
    input: { type: file, path: ${readingsFile}, codec: { type: json } }
    pipeline:
      processors:
        - { type: sql, query: SELECT sensor FROM flow WHERE t > 2 }
        - { type: sql, query: "SELECT upper(sensor) AS name FROM flow" }
    output: { type: file, path: ${written} }
    error_output: { type: file, path: ${written}.errors }
`,
  );
  const rows = async (...args: string[]): Promise<string> =>
    (await cli(['sql', 'SELECT * FROM flow', config, '--stream', 'hot', ...args])).stdout;
  expect(await rows()).toBe('{"name":"B"}\n{"name":"A"}\n');
  expect(await rows('--stage', 'processors.0')).toBe('{"sensor":"b"}\n{"sensor":"a"}\n');
  expect(await rows('--stage', 'input')).toBe(`${readings.join('\n')}\n`);
  expect(existsSync(written)).toBe(false);
  expect(existsSync(`${written}.errors`)).toBe(false);
});

test.each([
  [['SELECT sensor FROM', 'x.jsonl'], /line 1, column 19/],
  [['SELECT 1', 'missing.jsonl'], /missing\.jsonl: there is no such file/],
  [['SELECT 1', 'x.jsonl', '--column', 'price'], /--column price: expected name=TYPE/],
  [['SELECT 1', 'x.jsonl', '--window', 'soon'], /--window soon/],
  [['SELECT 1', 'acks.yaml'], /stream stream-0 acknowledges its messages/],
  [['SELECT 1', 'acks.yaml', '--stage', 'codec'], /--stage codec: expected input, buffer/],
  [['SELECT 1', 'acks.yaml', '--stage', 'processors.0'], /stream-0 has 0 processors/],
])('sql %j says what is wrong with the command line', async ([query, source, ...args], message) => {
  dir.file('x.jsonl', '{}');
  dir.file(
    'acks.yaml',
    'streams: [{ input: { type: websocket, mode: server, port: 8123, ack: { when: delivered, reply: ok }, codec: { type: json } } }]',
  );
  const name = source === 'missing.jsonl' ? source : join(dir.path, source!);
  const { code, stdout, stderr } = await cli(['sql', query!, name, ...args]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(message);
});

test('a reader that goes away ends the command without an error', async () => {
  const file = dir.file('many.jsonl', '{"n":1}\n'.repeat(100_000));
  const run = startCli(['sql', 'SELECT * FROM flow', file]);
  run.child.stdout.destroy();
  const { code, stderr } = await run.result;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
});

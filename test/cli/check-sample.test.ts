import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cli } from '../support/cli.ts';
import { tempDir } from '../support/temp-dir.ts';

const dir = tempDir();

const config = (codec = 'codec: { type: json }'): string =>
  dir.file(
    'sensors.yaml',
    `streams:
  - id: warm
    input: { type: websocket, mode: server, port: 8123, ack: { when: delivered, reply: ok }, ${codec} }
    buffer: { type: tumbling_window, interval: 1h }
    pipeline:
      processors:
        - type: sql
          query: SELECT sensor, t + 1 AS next FROM flow WHERE t > 2
    output: { type: file, path: ${join(dir.path, 'written.jsonl')} }
    error_output: { type: file, path: ${join(dir.path, 'rejected.jsonl')} }
    durability: { enabled: true, path: ${join(dir.path, 'log')} }
`,
  );

test('a sample that gets through says how many messages come out, and touches no output and no log', async () => {
  const sample = dir.file('good.jsonl', '{"sensor":"a","t":3}\n{"sensor":"b","t":1}\n');
  const { code, stdout, stderr } = await cli(['check', config(), '--sample', sample]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toContain(`good.jsonl: stream warm makes 1 message of it\n`);
  for (const name of ['written.jsonl', 'rejected.jsonl', 'log/0'])
    expect(existsSync(join(dir.path, name))).toBe(false);
});

test('each reason for a rejection is a mistake with its place in the file and a message of the sample', async () => {
  const sample = dir.file('bad.jsonl', '{"sensor":"a","t":3}\n{"t":"x","sensor":"b"}\n{"t":"y"}\nno json\n');
  const { code, stdout, stderr } = await cli(['check', config(), '--sample', sample]);
  expect(code).toBe(1);
  const [first, second, ...rest] = stderr.trim().split('\n');
  expect(first).toMatch(
    /sensors\.yaml:3:101: streams\[0\]\.input\.codec: rejects 1 message .* it is no json$/,
  );
  expect(second).toMatch(
    /sensors\.yaml:7:11: streams\[0\]\.pipeline\.processors\[0\]: rejects 2 messages .* field t: /,
  );
  expect(second).toMatch(/the first is \{"t":"x","sensor":"b"\}$/);
  expect(rest).toEqual([]);
  expect(stdout).toContain('makes 1 message of it, and 3 messages rejected');
});

test('a codec that is missing is told, with and without a sample, at the field that the query names', async () => {
  const sample = dir.file('good.jsonl', '{"sensor":"a","t":3}\n');
  for (const more of [[], ['--sample', sample]]) {
    const { code, stderr } = await cli(['check', config(''), ...more]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /sensors\.yaml:8:63: \S+\.query: .*does the input lack `codec: \{ type: json \}`\? .*"t" not found/,
    );
  }
  // These need no fields.
  for (const query of ['SELECT count(*) AS n FROM flow', 'SELECT __value__, __meta_source AS s FROM flow']) {
    const file = dir.file(
      'bytes.yaml',
      `- { input: { type: generate, context: a }, pipeline: { processors: [{ type: sql, query: "${query}" }] } }\n`,
    );
    expect(await cli(['check', file])).toMatchObject({ code: 0, stderr: '' });
  }
});

test('a JSON array is a sample of its elements, and arrays on lines are messages', async () => {
  const elements = dir.file('array.json', '[\n {"sensor":"a","t":3},\n {"sensor":"a","t":4}\n]');
  expect((await cli(['check', config(), '--sample', elements])).stdout).toContain('makes 2 messages');
  const lines = dir.file('arrays.jsonl', '[0,{"sensor":"a"}]\n[1,{"sensor":"b"}]\n');
  const { stdout } = await cli(['sql', 'SELECT count(*) AS n FROM flow', lines]);
  expect(stdout).toBe('{"n":2}\n');
});

test.each([
  [['--sample', 'missing.jsonl'], /missing\.jsonl: .*ENOENT/],
  [['--stream', 'warm'], /--stream needs --sample/],
  [['--sample', 'x', '--stream', 'wam'], /no such stream; did you mean warm\?/],
])('check %j is a mistake on the command line', async (args, message) => {
  const { code, stderr } = await cli(['check', config(), ...args]);
  expect(code).toBe(2);
  expect(stderr).toMatch(message);
});

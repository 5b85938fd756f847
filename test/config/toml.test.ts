import { expect, test } from 'vitest';
import { configFiles } from '../support/config.ts';

const { load, problems } = configFiles();

test('a file works as it does in YAML', async () => {
  const text = `[logging]
level = "debug"

[[streams]]
id = "a"
input = { type = "generate", context = "x" } # a comment

  [[streams.pipeline.processors]]
  type = "sql"
  query = """
select 1 # [no] = table"""

[[streams]]
input.type = "multiple_inputs"
input.inputs = [
  { type = "generate", context = 'a]' },
  { type = "generate", context = "\\"b" },
]
`;
  const plan = await load('a.toml', text);
  expect(plan.logging.level).toBe('debug');
  expect(plan.streams.map(({ id }) => id)).toEqual(['a', 'stream-1']);
  expect(plan.streams[0]!.pipeline.processors).toEqual([{ type: 'sql', query: 'select 1 # [no] = table' }]);
  expect(plan.streams[1]!.input['inputs']).toEqual([
    { type: 'generate', context: 'a]' },
    { type: 'generate', context: '"b' },
  ]);
});

test('mistakes have the places of the text', async () => {
  const text = `logging.level = "loud"
[health_check]
address = 8080
"liveness_pth" = "/x"

[[streams]]
[streams.input]
type = "websocket"
url = 'ws://x'
hedaers = {}
timeout = '''5 parsecs'''

[[streams.pipeline.processors]]
type = "sql"
query = """
several
lines"""
[[streams.pipeline.processors]]
type = "sql"

[[streams]]
input = { type = "multiple_inputs", inputs = [
  { type = "generate", context = "[", count = 0 }, # x
  { type = "generat", context = "x" },
] }
output."type" = "stdout"
output.pretty = 1979-05-27
buffer = []
`;
  expect(await problems('a.toml', text)).toEqual([
    'toml:1:17: logging.level: "loud" is not known; expected "trace", "debug", "info", "warn", "error", "fatal" or "silent"',
    'toml:3:11: health_check.address: 8080 is a number; expected a string',
    'toml:4:1: health_check.liveness_pth: unknown field; did you mean liveness_path?',
    'toml:10:1: streams[0].input.hedaers: unknown field; did you mean headers?',
    'toml:11:11: streams[0].input.timeout: "5 parsecs" is not a duration; expected one like 250ms, 5s, 1m or 1h',
    'toml:18:1: streams[0].pipeline.processors[1].query: is missing; expected a string',
    'toml:23:47: streams[1].input.inputs[0].count: 0 is too small; expected at least 1',
    'toml:24:12: streams[1].input.inputs[1].type: "generat" is not an input; did you mean generate? (`millrace list` shows all)',
    'toml:27:17: streams[1].output.pretty: 1979-05-27 is a date; expected true or false',
    'toml:28:10: streams[1].buffer: is a list; expected a buffer: an object with a type',
  ]);
});

test('syntax errors on lines of their own are reported together', async () => {
  const text = `[logging]
level =
[[streams]]
id = "a
[streams.input]
type = "generate"
type = "generate"
`;
  expect(await problems('a.toml', text)).toEqual([
    'toml:2:8: not valid TOML: invalid value',
    'toml:4:8: not valid TOML: control characters are not allowed in strings',
    'toml:7:1: not valid TOML: trying to redefine an already defined table or value',
  ]);
});

test('a mistake that other lines depend on is reported alone', async () => {
  expect(await problems('a.toml', '[[streams]\nid = "a"\nid = "b"\n[streams]\n')).toEqual([
    expect.stringMatching(/^toml:1:\d+: not valid TOML: /),
  ]);
});

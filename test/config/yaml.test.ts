import { expect, test } from 'vitest';
import { configFiles } from '../support/config.ts';

const { load, problems } = configFiles();

test('every mistake is reported at once, each at its place', async () => {
  const text = `logging:
  level: loud
  formt: json
helth_check: {}
streams:
  - id: "a b"
    input:
      type: websockt
  - input:
      type: websocket
      url: ws://x
      hedaers: {}
      compress: "80"
      timeout: 5 parsecs
      max_message_size: true
      codec:
        type: jsn
    pipeline:
      thread_num: 0
      processors:
        - sql
        - type: sql
        - query: x
        - type: stdout
    output:
    error_output: { type: file, path: [1] }
    in_flight: { bytes: 10 MB/s, messages: 1.5 }
  - input: { type: multiple_inputs, inputs: [{ type: generate }, { type: generate, context: a, count: many }] }
    temporary: [{ type: redis }]
`;
  expect(await problems('a.yaml', text)).toEqual([
    'yaml:2:10: logging.level: "loud" is not known; expected "trace", "debug", "info", "warn", "error", "fatal" or "silent"',
    'yaml:3:3: logging.formt: unknown field; did you mean format?',
    'yaml:4:1: helth_check: unknown field; did you mean health_check?',
    'yaml:6:9: streams[0].id: "a b" is not an id; expected up to 128 letters, digits, dots, underscores and hyphens, the first a letter or a digit',
    'yaml:8:13: streams[0].input.type: "websockt" is not an input; did you mean websocket? (`millrace list` shows all)',
    'yaml:12:7: streams[1].input.hedaers: unknown field; did you mean headers?',
    'yaml:13:17: streams[1].input.compress: "80" is a string; expected true or false',
    'yaml:14:16: streams[1].input.timeout: "5 parsecs" is not a duration; expected one like 250ms, 5s, 1m or 1h',
    'yaml:15:25: streams[1].input.max_message_size: true is a boolean; expected a size, such as 64KiB or 4MiB',
    'yaml:17:15: streams[1].input.codec.type: "jsn" is not a codec; did you mean json? (`millrace list` shows all)',
    'yaml:19:19: streams[1].pipeline.thread_num: 0 is too small; expected at least 1',
    'yaml:21:11: streams[1].pipeline.processors[0]: "sql" is a string; expected a processor: an object with a type',
    'yaml:22:11: streams[1].pipeline.processors[1].query: is missing; expected a string',
    'yaml:23:11: streams[1].pipeline.processors[2].type: is missing; expected the type of a processor: sql or batch',
    'yaml:24:17: streams[1].pipeline.processors[3].type: "stdout" is not a processor but an output; expected the type of a processor: sql or batch (`millrace list` shows all)',
    'yaml:25:12: streams[1].output: is empty; expected an output: an object with a type',
    'yaml:26:39: streams[1].error_output.path: is a list; expected a string',
    'yaml:27:25: streams[1].in_flight.bytes: "10 MB/s" is not a size; expected one like 64KiB, 4MiB or a number of bytes',
    'yaml:27:44: streams[1].in_flight.messages: 1.5 is a number; expected a whole number',
    'yaml:28:46: streams[2].input.inputs[0].context: is missing; expected a string',
    'yaml:28:103: streams[2].input.inputs[1].count: "many" is a string; expected a whole number',
    'yaml:29:19: streams[2].temporary[0].type: "redis" is not a temporary store; Millrace has none yet',
  ]);
});

test('a list of streams has its places and paths without `streams`', async () => {
  expect(
    await problems('list.yml', '- input: { type: generate, context: 5 }\n- output: { type: stdout }\n'),
  ).toEqual([
    'yml:1:37: [0].input.context: 5 is a number; expected a string',
    'yml:2:3: [1].input: is missing; expected an input: an object with a type',
  ]);
});

test('syntax errors are reported together, with what is given twice', async () => {
  expect(await problems('a.yaml', 'a: 1\na: 2\nb: [1\nc: }\n')).toEqual([
    'yaml:2:1: a: is given a second time (first on line 1); expected each field once',
    'yaml:4:1: not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
    'yaml:4:4: not valid YAML: Unexpected flow-map-end token in YAML stream',
  ]);
});

test.each([
  ['a: { path: out/{{date}}.jsonl }\nb: [1\n', 'yaml:1:16: '],
  ['a:\n  path: {{date}}.jsonl\n', 'yaml:2:10: '],
  ['a: { room: {{json:room}} }\n', 'yaml:1:13: '],
  ['a: {{key}}\n', 'yaml:1:5: '],
])('a text with {{…}} and without quotes is one mistake, which says so: %j', async (text, place) => {
  expect(await problems('a.yaml', text)).toEqual([
    `${place}a text with {{…}} needs quotes here, as in "{{key}}"`,
  ]);
});

test('a field given twice is one mistake, and its value is not checked against the schema', async () => {
  const text = 'streams:\n  - input: { type: generate, context: a }\n    input: { type: nope }\n    x: 1\n';
  expect(await problems('a.yaml', text)).toEqual([
    'yaml:3:5: streams[0].input: is given a second time (first on line 2); expected each field once',
    'yaml:4:5: streams[0].x: unknown field; expected one of id, input, buffer, pipeline, output, error_output, in_flight, state or durability',
  ]);
});

test.each([
  ['', 'yaml:1:1: is empty; expected an object that has streams, or a list of streams'],
  [
    'just words',
    'yaml:1:1: "just words" is a string; expected an object that has streams, or a list of streams',
  ],
  ['[]', 'yaml:1:1: is empty; expected at least 1 item'],
  ['streams: []', 'yaml:1:10: streams: is empty; expected at least 1 item'],
  ['logging: {}', 'yaml:1:1: streams: is missing; expected a list'],
  ['a: *b', 'yaml:1:4: no anchor "b" before this alias; expected &b at its value'],
  ['a: !x y', 'yaml:1:4: not valid YAML: Unresolved tag: !x'],
  ['streams: &a [*a]', 'yaml:1:14: the alias *a contains itself; expected a value that ends'],
])('%j is refused', async (text, problem) => {
  expect(await problems('a.yaml', text)).toEqual([problem]);
});

test('a second document in the file is refused', async () => {
  const [problem] = await problems('a.yaml', '- input: { type: generate, context: a }\n---\nb: 1\n');
  expect(problem).toMatch(/^yaml:2:1: a second document begins here; expected one in a file/);
});

test('anchors and merge keys work, and a mistake in a merged value is shown at its place', async () => {
  const good = `streams:
  - input: &base { type: generate, context: a, count: 1 }
  - input: { <<: *base, count: 2 }
`;
  const plan = await load('a.yaml', good);
  expect(plan.streams.map(({ input }) => input['count'])).toEqual([1, 2]);
  const bad = good.replace('context: a', 'contxt: a').replace('count: 2', 'count: x');
  expect(await problems('a.yaml', bad)).toEqual([
    'yaml:2:5: streams[0].input.context: is missing; expected a string',
    'yaml:2:36: streams[0].input.contxt: unknown field; did you mean context?',
    'yaml:2:36: streams[1].input.contxt: unknown field; did you mean context?',
    'yaml:3:5: streams[1].input.context: is missing; expected a string',
    'yaml:3:32: streams[1].input.count: "x" is a string; expected a whole number',
  ]);
});

test('aliases of aliases do not blow up', async () => {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let level = 1; level < 10; level++) {
    lines.push(`a${level}: &a${level} [${Array.from({ length: 10 }, () => `*a${level - 1}`).join(', ')}]`);
  }
  expect(await problems('bomb.yaml', lines.join('\n'))).toEqual([
    'yaml:2:10: too many aliases; expected at most 1000 uses of anchors',
  ]);
});

test('very deep nesting is a mistake, not a crash', async () => {
  const found = await problems('deep.yaml', '['.repeat(20_000));
  expect(found[0]).toMatch(/^yaml:1:\d+: /);
});

test('names such as __proto__ are unknown fields like any other', async () => {
  const text =
    'streams:\n  - input: { type: generate, context: a }\n    __proto__: { output: { type: drop } }\n';
  expect(await problems('a.yaml', text)).toEqual([
    expect.stringMatching(/^yaml:3:5: streams\[0\]\.__proto__: unknown field; expected one of /),
  ]);
});

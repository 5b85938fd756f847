import { expect, test } from 'vitest';
import { configFiles } from '../support/config.ts';

const { dir, load, problems } = configFiles();

/** The value of `context` of a generate input. */
async function context(value: string, env: Record<string, string> = {}): Promise<unknown> {
  const plan = await load('a.yaml', `- input: { type: generate, context: ${JSON.stringify(value)} }`, env);
  return plan.streams[0]!.input['context'];
}

test.each([
  ['${NAME}', { NAME: 'x' }, 'x'],
  ['a ${NAME}, b ${NAME}', { NAME: 'x' }, 'a x, b x'],
  ['${NAME}', { NAME: '' }, ''],
  ['${NAME:-d}', {}, 'd'],
  ['${NAME:-d}', { NAME: '' }, 'd'],
  ['${NAME:-d}', { NAME: 'x' }, 'x'],
  ['${NAME:-}', {}, ''],
  ['${NAME:-a:-b}', {}, 'a:-b'],
  ['$${NAME}', { NAME: 'x' }, '${NAME}'],
  ['$NAME $ $$ {NAME} }', { NAME: 'x' }, '$NAME $ $$ {NAME} }'],
  ['{{ NAME }} {{now}}', { NAME: 'x' }, '{{ NAME }} {{now}}'],
  // A filled-in value is text: it is not expanded again.
  ['${NAME}', { NAME: '${OTHER}', OTHER: 'x' }, '${OTHER}'],
  ['${NAME}', { NAME: '42' }, '42'],
])('%j with %j is %j', async (value, env, result) => {
  expect(await context(value, env)).toBe(result);
});

test('a file is filled in without its last line end', async () => {
  expect(await context(`\${file:${dir.file('secret', 'two\nlines\n\n')}}`)).toBe('two\nlines\n');
  expect(await context(`\${file:${dir.file('secret', 'dos\r\n')}}`)).toBe('dos');
});

test.each([
  ['"a\\nstreams: []"', 'a\nstreams: []'],
  ['", type: stdout }"', '", type: stdout }'],
  ['x # y', 'x # y'],
  ['[1, 2]', '[1, 2]'],
  ['*anchor', '*anchor'],
])('the structure of the file stays what it is with %j', async (_, injected) => {
  for (const [name, text] of [
    ['a.yaml', 'streams:\n  - input:\n      type: generate\n      context: ${X}\n'],
    ['a.json', '{"streams": [{"input": {"type": "generate", "context": "${X}"}}]}'],
    ['a.toml', '[[streams]]\ninput.type = "generate"\ninput.context = "${X}"\n'],
  ] as const) {
    const plan = await load(name, text, { X: injected });
    expect(plan.streams).toHaveLength(1);
    expect(plan.streams[0]!.input).toEqual({ type: 'generate', context: injected });
  }
});

test('names of fields are left alone', async () => {
  const text = '- input: { type: websocket, url: ws://x, headers: { "${NAME}": "${NAME}" } }';
  const plan = await load('a.yaml', text, { NAME: 'x' });
  expect(plan.streams[0]!.input['headers']).toEqual({ '${NAME}': 'x' });
});

test('a whole ${…} may stand for a number, a boolean, a duration or a word', async () => {
  const text = `- input:
    type: websocket
    url: ws://x
    mode: \${MODE}
    port: \${PORT}
    compress: "\${COMPRESS}"
    timeout: \${TIMEOUT}
    max_message_size: \${SIZE}
    token: \${TOKEN}
`;
  const env = {
    MODE: 'server',
    PORT: '8080',
    COMPRESS: 'true',
    TIMEOUT: '2',
    SIZE: '1KiB',
    TOKEN: '12345678',
  };
  const plan = await load('a.yaml', text, env);
  expect(plan.streams[0]!.input).toMatchObject({
    mode: 'server',
    port: 8080,
    compress: true,
    timeout: 2000,
    max_message_size: 1024,
    // It was a string and the field takes one.
    token: '12345678',
  });
});

test.each([
  [
    'port: ${X}',
    { X: '80x' },
    '1:53: [0].input.port: the value (not shown) is a string; expected a whole number',
  ],
  [
    'port: ${X}',
    { X: '70000' },
    '1:53: [0].input.port: the value (not shown) is too large; expected at most 65535',
  ],
  [
    'port: ${X}',
    { X: '' },
    '1:53: [0].input.port: the value (not shown) is a string; expected a whole number',
  ],
  [
    'port: 8${X}',
    { X: '0' },
    '1:53: [0].input.port: the value (not shown) is a string; expected a whole number',
  ],
  [
    'compress: ${X}',
    { X: 'yes' },
    '1:57: [0].input.compress: the value (not shown) is a string; expected true or false',
  ],
  [
    'mode: ${X}',
    { X: 'sever' },
    '1:53: [0].input.mode: the value (not shown) is not known; expected "client" or "server"',
  ],
  ['url2: ${X}', { X: 'x' }, '1:47: [0].input.url2: unknown field; expected one of '],
])('%s with %j is a mistake that shows no value', async (field, env, problem) => {
  const [found] = await problems(
    'a.yaml',
    `- input: { type: websocket, url: "ws://xxxx", ${field.replace(/(\S+)$/, '"$1"')}${field.startsWith('port') ? ', mode: server' : ''} }`,
    env,
  );
  expect(found).toContain(`yaml:${problem}`);
});

test('every ${…} that cannot be filled in is reported, beside the other mistakes', async () => {
  const binary = dir.file('binary', new Uint8Array([0xff, 0xfe]));
  const text = `- input: { type: generate, context: "\${NOPE}", count: x }
- input: { type: generate, context: "\${open" }
- input: { type: generate, context: "a \${1x}" }
- input: { type: generate, context: "\${}" }
- input: { type: generate, context: "\${A:-\${B}}" }
- input: { type: generate, context: "\${file:/does/not/exist}" }
- input: { type: generate, context: "\${file:${binary}}" }
- input: { type: "\${KIND}", context: a }
- input: { type: generate, context: "\${constructor}" }
`;
  const badName =
    'a ${…} that does not name a variable; expected ${NAME}, ${NAME:-default}, ${file:/path}, or $${ for a literal ${';
  expect(await problems('a.yaml', text)).toEqual([
    'yaml:1:37: [0].input.context: the environment variable NOPE is not set; set it, or give a default as ${NOPE:-default}',
    'yaml:1:55: [0].input.count: "x" is a string; expected a whole number',
    'yaml:2:37: [1].input.context: a ${ that is not closed; expected a }, or $${ for a literal ${',
    `yaml:3:37: [2].input.context: ${badName}`,
    `yaml:4:37: [3].input.context: ${badName}`,
    'yaml:5:37: [4].input.context: the default of ${A} has a ${ in it; expected plain text',
    "yaml:6:37: [5].input.context: ${file:/does/not/exist} cannot be filled in: ENOENT: no such file or directory, open '/does/not/exist'",
    `yaml:7:37: [6].input.context: \${file:${binary}} cannot be filled in: it is not UTF-8 text`,
    'yaml:8:18: [7].input.type: the environment variable KIND is not set; set it, or give a default as ${KIND:-default}',
    'yaml:9:37: [8].input.context: the environment variable constructor is not set; set it, or give a default as ${constructor:-default}',
  ]);
});

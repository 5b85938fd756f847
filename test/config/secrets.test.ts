import { expect, test } from 'vitest';
import { configFiles } from '../support/config.ts';

const { dir, problems } = configFiles();

test('nothing from outside the file, and no secret of the file, is in a message', async () => {
  const file = dir.file('token', 'from-a-file\n');
  const text = `logging: { level: "\${LEVEL}" }
streams:
  - id: "\${ID} x"
    input:
      type: websocket
      url: "http://user:\${PASSWORD}@host"
      mode: "\${MODE}"
      token: short1
      headers: { a: 90210, b: [hunter2], c: "\${file:${file}}" }
      timeout: "\${PASSWORD}"
    output: { type: websocket, url: "ws:\${PASSWORD} x:y" }
  - input: { type: "\${TYPE}" }
  - input: { type: "x\${TYPE}" }
`;
  const env = {
    LEVEL: 'lvl-value',
    ID: 'id-value',
    PASSWORD: 'pass-value',
    MODE: 'mode-value',
    TYPE: 'type-value',
  };
  const found = await problems('a.yaml', text, env);
  expect(found).toEqual([
    'yaml:1:19: logging.level: the value (not shown) is not known; expected "trace", "debug", "info", "warn", "error", "fatal" or "silent"',
    expect.stringMatching(/^yaml:3:9: streams\[0\]\.id: the value \(not shown\) is not an id; /),
    'yaml:7:13: streams[0].input.mode: the value (not shown) is not known; expected "client" or "server"',
    'yaml:8:14: streams[0].input.token: is too short; expected at least 8 characters',
    'yaml:9:21: streams[0].input.headers.a: the value (not shown) is a number; expected a string',
    'yaml:9:31: streams[0].input.headers.b: the value (not shown) is a list; expected a string',
    'yaml:10:16: streams[0].input.timeout: the value (not shown) is not a duration; expected one like 250ms, 5s, 1m or 1h',
    'yaml:11:37: streams[0].output.url: the value (not shown) is not a valid url; expected a URL with its scheme',
    'yaml:12:20: streams[1].input.type: the value (not shown) is not an input; expected the type of an input: websocket, generate or multiple_inputs (`millrace list` shows all)',
    'yaml:13:20: streams[2].input.type: the value (not shown) is not an input; expected the type of an input: websocket, generate or multiple_inputs (`millrace list` shows all)',
  ]);
  for (const secret of [...Object.values(env), 'short1', '90210', 'hunter2', 'from-a-file']) {
    expect(found.join('\n')).not.toContain(secret);
  }
});

test('a value is masked where the words of a component quote it', async () => {
  const found = await problems('a.yaml', '- input: { type: websocket, url: "http://h/${PASSWORD}" }', {
    PASSWORD: 'pass-value',
  });
  expect(found).toEqual(['yaml:1:29: [0].input.url: *** is no ws URL; expected ws:// or wss://']);
});

test('the credentials of a URL in the file are masked', async () => {
  const [found] = await problems(
    'a.yaml',
    '- input: { type: generate, context: a, count: "ws://u:hunter2@h/?token=abc" }',
  );
  expect(found).toBe(
    'yaml:1:47: [0].input.count: "ws://u:***@h/?token=***" is a string; expected a whole number',
  );
});

test('syntax errors do not quote the file', async () => {
  for (const [name, text] of [
    ['a.yaml', 'a: [1\npassword: hunter2: "hunter2" }\n- hunter2'],
    ['a.json', '{"password": hunter2, "b": \'hunter2\' "hunter2"'],
    ['a.toml', 'password = hunter2\n'],
  ] as const) {
    const found = await problems(name, text);
    expect(found).not.toEqual([]);
    expect(found.join('\n')).not.toContain('hunter2');
  }
});

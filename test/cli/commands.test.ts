import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { cli } from '../support/cli.ts';
import { program } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';

const dir = tempDir();
const good = dir.file(
  'good.yaml',
  '- input: { type: generate, context: a }\n- input: { type: generate, context: b }\n',
);

test('--version prints the version of the package', async () => {
  const { version }: { version: string } = JSON.parse(readFileSync('package.json', 'utf8'));
  expect(await cli(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
});

test('--help shows the commands with examples', async () => {
  const { code, stdout, stderr } = await cli(['--help']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  for (const line of [
    'millrace run orders.yaml',
    'millrace check --dial',
    'millrace list websocket',
    'Exit codes: 0',
  ]) {
    expect(stdout).toContain(line);
  }
});

test.each([
  [[], 'Usage: millrace'],
  [['chek', 'x'], 'error: no command is called chek; did you mean check?\n'],
  [['frobnicate'], 'error: no command is called frobnicate; millrace --help shows all\n'],
  [['orders.yaml'], 'error: expected a command before orders.yaml; try millrace run orders.yaml\n'],
  [['run'], 'error: expected a file: millrace run FILE\n'],
  [['run', 'a.yaml', '-c', 'b.yaml'], 'error: expected one file, not two\n'],
  [['run', 'a.yaml', 'b.yaml'], "error: too many arguments for 'run'"],
  [['check'], "error: missing required argument 'file'"],
  [['check', '--dail', 'a.yaml'], "error: unknown option '--dail'\n(Did you mean --dial?)"],
  [
    ['check', '--dial', '--timeout', 'soon', 'a.yaml'],
    'error: --timeout soon: expected a duration, such as 10s\n',
  ],
  [['list', 'webscoket'], 'error: no component is called webscoket; did you mean websocket?\n'],
  [['list', 'qqqq'], 'error: no component is called qqqq; `millrace list` shows all\n'],
])('%j is a mistake on the command line', async (args, message) => {
  const { code, stdout, stderr } = await cli(args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr.slice(0, message.length)).toBe(message);
});

test('list shows every component by kind', async () => {
  const { code, stdout, stderr } = await cli(['list']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^inputs\n {2}websocket +stable {2}\S/);
  expect(stdout).toMatch(/\nprocessors\n {2}sql +stable {2}\S/);
  expect(stdout).toMatch(/\noutputs\n {2}stdout +stable {2}\S/);
});

test('list NAME shows the fields, for each kind that has the name', async () => {
  const { code, stdout } = await cli(['list', 'websocket']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^input websocket \(stable\)\n/);
  expect(stdout).toMatch(/\noutput websocket \(\w+\)\n/);
  expect(stdout).toMatch(/\n {2}mode +client \| server, default client\n {6}\S/);
  expect(stdout).toMatch(/\n {2}path +string, default \/, server mode\n/);
  expect(stdout).toMatch(/\n {2}tls\.ca_file +string\n/);
});

test('schema prints JSON Schema', async () => {
  const { code, stdout, stderr } = await cli(['schema']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(JSON.parse(stdout)).toMatchObject({ $schema: 'http://json-schema.org/draft-07/schema#' });
});

test('a reader that goes away is not an error', async () => {
  for (const args of [['list'], ['schema'], ['list', 'websocket'], ['--help']]) {
    const child = spawn(process.execPath, [program('millrace'), ...args]);
    child.stdout.destroy();
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const [code]: unknown[] = await once(child, 'close');
    expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' });
  }
});

test('check says that a file is right', async () => {
  expect(await cli(['check', good])).toEqual({ code: 0, stdout: `${good}: OK, 2 streams\n`, stderr: '' });
});

test('check prints every mistake, to stderr', async () => {
  const bad = dir.file(
    'bad.yaml',
    '- input: { type: generate, contxt: a }\n  pipelin: {}\n- input: { type: nope }\n',
  );
  const { code, stdout, stderr } = await cli(['check', bad]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  const lines = stderr.trimEnd().split('\n');
  expect(lines.pop()).toBe('4 mistakes; nothing was started (MILLRACE_CONFIG_INVALID)');
  expect(lines.map((line) => line.slice(0, bad.length + 7))).toEqual([
    `${bad}:1:3: [`,
    `${bad}:1:28: `,
    `${bad}:2:3: [`,
    `${bad}:3:18: `,
  ]);
});

test('check finds mistakes that only a component can see, at their place', async () => {
  const text = `- input: { type: generate, context: a }
  pipeline:
    processors:
      - type: sql
        query: SELCT * FROM flow
`;
  const bad = dir.file('sql.yaml', text);
  const { code, stdout, stderr } = await cli(['check', bad]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(/sql\.yaml:5:16: \[0\]\.pipeline\.processors\[0\]\.query: .*SELCT/);
});

test('a file that cannot be read has its code', async () => {
  const { code, stderr } = await cli(['check', `${dir.path}/none.yaml`]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^MILLRACE_CONFIG_UNREADABLE: .*none\.yaml cannot be read: ENOENT/);
});

test('filled-in values come from the environment and are not printed', async () => {
  const file = dir.file('env.yaml', '- input: { type: generate, context: "${TOKEN}", count: "${TOKEN}" }\n');
  const { code, stderr } = await cli(['check', file], { env: { TOKEN: 'hunter2' } });
  expect(code).toBe(1);
  expect(stderr).toContain('[0].input.count: the value (not shown) is a string; expected a whole number');
  expect(stderr).not.toContain('hunter2');
});

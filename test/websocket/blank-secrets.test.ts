import { describe, expect, test } from 'vitest';
import { Registry } from '../../src/component/registry.ts';
import { components } from '../../src/components/index.ts';
import { parseConfig } from '../../src/config/load.ts';
import { ConfigError } from '../../src/config/problem.ts';
import { startEngine } from '../support/engine.ts';
import { bearer, startServer, statusOf } from '../support/handshakes.ts';
import { FaultServer } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';

const dir = tempDir();
const registry = new Registry(components);

/** The mistakes of one input with these fields, the input's own name left out. */
function mistakes(fields: string, env: Record<string, string> = {}): string[] {
  try {
    parseConfig(`[{ input: { type: websocket, ${fields} } }]`, { registry, env });
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ path, message }) => `${path.replace('[0].input.', '')}: ${message}`);
  }
}

const server = (auth: string, env?: Record<string, string>): string[] =>
  mistakes(`mode: server, port: 0, auth: { ${auth} }`, env);
const client = (fields: string, env?: Record<string, string>): string[] =>
  mistakes(`url: "ws://127.0.0.1:1/", ${fields}`, env);

const blank = (name: string): string =>
  `a secret is expected here, and the environment variable ${name} is blank; set it, or write \${${name}:-} where it may be empty`;

describe('a variable that is set and blank is not a secret', () => {
  test.each(['', ' ', '\t', '\n'])('of a server: %j', (KEY) => {
    const refused = (path: string): unknown => expect.arrayContaining([`${path}: ${blank('KEY')}`]);
    expect(server("type: api_key, keys: ['${KEY} dashboard']", { KEY })).toEqual(refused('auth.keys[0]'));
    expect(server("type: api_key, keys: ['key-${KEY}']", { KEY })).toEqual(refused('auth.keys[0]'));
    expect(server("type: bearer, tokens: ['${KEY}']", { KEY })).toEqual(refused('auth.tokens[0]'));
    expect(server("type: basic, users: { ann: '${KEY}' }", { KEY })).toEqual(refused('auth.users.ann'));
    expect(server("type: jwt, algorithms: [HS256], secret: '${KEY}'", { KEY })).toEqual(
      refused('auth.secret'),
    );
  });

  test('nor is one whose default is empty', () => {
    expect(server("type: api_key, keys: ['${KEY:-} dashboard']")).toEqual([
      'auth.keys[0]: begins with white space; expected the secret first (is a variable empty?)',
    ]);
    expect(server("type: bearer, tokens: ['${KEY:-}']")).toEqual([
      'auth.tokens[0]: is blank; expected a secret',
    ]);
  });

  test('of a client', () => {
    const env = { KEY: '' };
    const cases: Record<string, string> = {
      "auth: { type: bearer, token: '${KEY}' }": 'auth.token',
      "auth: { type: basic, username: ann, password: '${KEY}' }": 'auth.password',
      "auth: { type: oauth2, token_url: 'http://h/', client_id: a, client_secret: '${KEY}' }":
        'auth.client_secret',
      "headers: { Authorization: 'Bearer ${KEY}' }": 'headers.Authorization',
      "headers: { X-Api-Key: '${KEY}' }": 'headers.X-Api-Key',
      "query: { token: '${KEY}' }": 'query.token',
      "proxy: 'http://user:${KEY}@127.0.0.1:3128'": 'proxy',
      "on_open: [{ send: { op: login, api_key: '${KEY}' } }]": 'on_open[0].send.api_key',
    };
    for (const [fields, path] of Object.entries(cases))
      expect([fields, client(fields, env)]).toEqual([
        fields,
        expect.arrayContaining([`${path}: ${blank('KEY')}`]),
      ]);
    // Nothing says so of the field, but the variable's name does.
    expect(client("protocols: [chat, 'k.${KEY}']", env)).toEqual([`protocols[1]: ${blank('KEY')}`]);
    expect(mistakes("url: 'wss://127.0.0.1/feed?token=${KEY}'", env)).toEqual([`url: ${blank('KEY')}`]);
  });

  test('elsewhere it is taken as it is', () => {
    expect(client("on_open: [{ send: { op: hello, note: '${NOTE}' } }]", { NOTE: '' })).toEqual([]);
    expect(mistakes("url: 'ws://127.0.0.1:1/feed${KEY:-}'", { KEY: '' })).toEqual([]);
  });
});

describe('a secret that nobody can mean is refused at load', () => {
  test.each([
    [
      'type: api_key, keys: [" dashboard"]',
      'auth.keys[0]: begins with white space; expected the secret first',
    ],
    [
      'type: api_key, keys: ["abc dashboard"]',
      'auth.keys[0]: is too short for a secret; expected at least 4 characters',
    ],
    ['type: bearer, tokens: [" "]', 'auth.tokens[0]: is blank; expected a secret'],
    ['type: bearer, tokens: ["a\\u0000bcd"]', 'auth.tokens[0]: has a control character in it; expected text'],
    ['type: basic, users: { ann: "   " }', 'auth.users.ann: is blank; expected a secret'],
    [
      'type: basic, users: { ann: abc }',
      'auth.users.ann: is too short for a secret; expected at least 4 characters',
    ],
    [
      'type: basic, users: { ann: "one\\ntwo" }',
      'auth.users.ann: has a line break in it; expected one secret',
    ],
    [
      `type: jwt, algorithms: [HS256], secret: "${' '.repeat(40)}"`,
      'auth.secret: is blank; expected a secret',
    ],
  ])('by a server: %s', (auth, message) => {
    expect(server(auth)).toEqual([expect.stringContaining(message)]);
  });

  test.each([
    ['auth: { type: bearer, token: "" }', 'auth.token: is blank; expected a secret'],
    [
      'auth: { type: bearer, token: " abc" }',
      'auth.token: has white space around it; expected the token alone',
    ],
    ['auth: { type: basic, username: ann, password: "" }', 'auth.password: is blank; expected a secret'],
    [
      'auth: { type: oauth2, token_url: "http://h/", client_id: a, client_secret: " " }',
      'auth.client_secret: is blank; expected a secret',
    ],
    ['headers: { Authorization: "Bearer " }', 'headers.Authorization: has no credentials after its scheme'],
    ['headers: { authorization: "" }', 'headers.authorization: is blank; expected credentials'],
    ['query: { access_token: "" }', 'query.access_token: is blank; expected credentials'],
  ])('by a client: %s', (fields, message) => {
    expect(client(fields)).toEqual([message]);
  });

  test('so is a file of several secrets for a field of one', () => {
    const two = dir.file('two', 'first-token\nsecond-token\n');
    expect(server(`type: bearer, tokens: ['\${file:${two}}']`)).toEqual([
      'auth.tokens[0]: has a line break in it; expected one secret, on one line; name a file of several in `tokens_file`',
    ]);
    expect(server(`type: api_key, keys: ['\${file:${two}}']`)).toEqual([
      expect.stringContaining('name a file of several in `keys_file`'),
    ]);
    const blankFile = dir.file('blank', '\n\n');
    expect(server(`type: bearer, tokens: ['\${file:${blankFile}} gateway']`)).toEqual(
      expect.arrayContaining([
        `auth.tokens[0]: a secret is expected here, and \${file:${blankFile}} is blank`,
      ]),
    );
  });

  test('correct secrets have no mistake', () => {
    expect(server("type: api_key, keys: ['${KEY} dashboard']", { KEY: 'k3y-5' })).toEqual([]);
    expect(server("type: bearer, tokens: ['t0ken\tgateway 1']")).toEqual([]);
    expect(client('headers: { Authorization: a-raw-token }')).toEqual([]);
    expect(client("headers: { Authorization: 'Bearer {{env:KEY}}' }")).toEqual([]);
  });
});

test('the subject is never the key: a client that shows it is not let in', async () => {
  const file = dir.file('keys', '# keys\nk3y-5 dashboard\n');
  const run = await startServer(`auth: { type: api_key, keys_file: "${file}", query: api_key }`);
  const url = await run.url();
  expect(await statusOf(`${url}?api_key=dashboard`)).toBe(401);
  expect(await statusOf(`${url}?api_key=k3y-5`)).toBe(101);
});

describe('files of secrets', () => {
  test.each([
    ['api_key', 'keys_file', ' dashboard\n', 'line 1: begins with white space; expected the secret first'],
    ['bearer', 'tokens_file', 't0ken\n\nabc gateway\n', 'line 3: is too short for a secret'],
    ['basic', 'users_file', 'ann:   \n', 'line 1: the password is blank; expected a secret'],
    ['basic', 'users_file', 'ann:abc\n', 'line 1: the password is too short for a secret'],
    ['basic', 'users_file', Buffer.from('ann:gr\u00fcn\n', 'latin1'), 'it is not UTF-8 text'],
    ['bearer', 'tokens_file', Buffer.from('\uFEFFt0ken\n', 'utf16le'), 'it is not UTF-8 text'],
    ['api_key', 'keys_file', Buffer.from([0x6b, 0x65, 0x79, 0xff, 0x0a]), 'it is not UTF-8 text'],
  ])('with a mistake fail the stream: %s, %s, %j', async (type, field, content, message) => {
    const path = dir.file('mistaken', content);
    const run = await startServer(`auth: { type: ${type}, ${field}: "${path}" }`);
    expect(await run.ended).toMatchObject({ failed: ['stream-0'] });
    expect((await run.logged(/^stream failed/)).msg).toContain(`${path}: ${message}`);
  });

  test('of white space alone hold nothing: nobody gets in', async () => {
    const path = dir.file('white', ' \n\t\n\n');
    const run = await startServer(`auth: { type: bearer, tokens_file: "${path}" }`);
    expect(await statusOf(await run.url(), bearer(' '))).toBe(401);
    expect(await statusOf(await run.url(), bearer('\t'))).toBe(401);
  });

  test.each([
    ['token_file', ' \n', 'bearer', 'is blank; expected a secret'],
    ['token_file', '\nt0ken\n', 'bearer', 'has a line break in it; expected one secret, on one line'],
    ['token_file', ' t0ken\n', 'bearer', 'has white space around it; expected the token alone'],
    ['password_file', '\n\n', 'basic, username: ann', 'is blank; expected a secret'],
    ['password_file', Buffer.from([0xff, 0xfe]), 'basic, username: ann', 'it is not UTF-8 text'],
  ])('of a client are reported, and nothing is sent: %s, %j', async (field, content, type, message) => {
    const target = await new FaultServer().up();
    const path = dir.file('client-secret', content);
    const run = await startEngine(`
streams:
  - input: { type: websocket, url: "${target.url}", auth: { type: ${type}, ${field}: "${path}" } }
    output: { type: collect }
`);
    expect((await run.logged(/^input failed to connect/)).msg).toContain(message);
    expect(target.peers).toHaveLength(0);
  });
});

test.each([
  ["headers: { Authorization: 'Bearer {{env:KEY}}' }", /\{\{env:KEY\}\} has no value now/],
  ["headers: { Authorization: 'Bearer {{env:KEY:-}}' }", /headers\.Authorization.*no credentials for now/],
  ["query: { token: '{{env:KEY}}' }", /\{\{env:KEY\}\} has no value now/],
])('nothing is sent with a variable that is empty at the attempt: %s', async (fields, message) => {
  const target = await new FaultServer().up();
  const run = await startEngine(
    `
streams:
  - input: { type: websocket, url: "${target.url}", ${fields} }
    output: { type: collect }
`,
    { KEY: '' },
  );
  await run.logged(message);
  expect(target.peers).toHaveLength(0);
});

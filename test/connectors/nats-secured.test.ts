import { connect } from '@nats-io/transport-node';
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import { startEngine } from '../support/engine.ts';
import { natsServer } from '../support/servers/nats.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testWith } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { dial } from './dial.ts';

const test = testWith('nats-server');
const fixture = (name: string): string =>
  new URL(`../control/fixtures/${name}.pem`, import.meta.url).pathname;
const server = await natsServer({
  config: `
tls { cert_file: "${fixture('server')}", key_file: "${fixture('server-key')}" }
authorization {
  users: [{ user: "mill", password: "p@ss:word", permissions: { publish: ["ok.>", "_INBOX.>"], subscribe: ">" } }]
}
`,
});
const dir = tempDir();
const CA = `tls: { ca_file: ${fixture('ca')} }`;

const output = (fields: string, host = 'localhost'): string => `
streams:
  - input: { type: memory, messages: ['1', '2'] }
    output: { type: nats, url: 'nats://${host}:${server.port}', ${fields} }
    error_output: { type: collect, name: errors }
`;
const OK = 'mode: { type: regular, subject: ok.x }';

/** Everything that is published from now on. */
async function published(): Promise<string[]> {
  const nc = await connect({
    servers: `localhost:${server.port}`,
    user: 'mill',
    pass: 'p@ss:word',
    tls: { ca: readFileSync(fixture('ca'), 'utf8') },
    reconnect: false,
  });
  afterTest(() => nc.close());
  const got: string[] = [];
  nc.subscribe('>', { callback: (_, message) => void got.push(`${message.subject} ${message.string()}`) });
  await nc.flush();
  return got;
}

test.each([
  [
    'a user and a password of a file',
    'localhost',
    `auth: { username: mill, password_file: ${dir.file('p', 'p@ss:word\n')} }`,
  ],
  ['those of the URL', 'mill:p%40ss%3Aword@localhost', 'timeout: 5s'],
])('%s open the connection, over TLS', async (_, host, auth) => {
  const got = await published();
  const run = await startEngine(output(`${OK}, ${CA}, ${auth}`, host));
  await run.ended;
  await until('both', () => got.length === 2);
  expect(got).toEqual(['ok.x 1', 'ok.x 2']);
});

test('readiness says what is wrong with a password or a certificate, and check --dial too, without the password', async () => {
  const wrong = output(`${OK}, ${CA}, auth: { username: mill, password: not-the-password }`);
  const run = await startEngine(wrong);
  await until('readiness to say why', async () =>
    /Authorization Violation/i.test((await run.http('/readiness')).text),
  );
  expect(JSON.stringify(run.log)).not.toContain('not-the-password');
  expect(await dial(wrong.replace(/ +error_output.*\n/, ''))).toEqual([
    undefined,
    expect.stringMatching(/^cannot connect to nats:\/\/localhost:\d+: .*Authorization Violation/i),
  ]);
  const user = 'auth: { username: mill, password: "p@ss:word" }';
  const [, stranger] = await dial(output(`${OK}, ${user}`).replace(/ +error_output.*\n/, ''));
  expect(stranger).toMatch(/certificate/);
  const [, fine] = await dial(
    output(`${OK}, ${user}, tls: { insecure_skip_verify: true }`).replace(/ +error_output.*\n/, ''),
  );
  expect(fine).toBeUndefined();
});

test('a subject that the user may not publish to: dead letters where it differs by message, otherwise they wait', async () => {
  const got = await published();
  const user = `${CA}, auth: { username: mill, password: "p@ss:word" }`;
  const run = await startEngine(
    output(`mode: { type: regular, subject: '{{json:s}}' }, ${user}`).replace(
      `['1', '2']`,
      `['{"s":"ok.a"}', '{"s":"no.b"}', '{"s":"ok.c"}']`,
    ),
  );
  await run.ended;
  await until('both', () => got.length === 2);
  expect(got).toEqual(['ok.a {"s":"ok.a"}', 'ok.c {"s":"ok.c"}']);
  expect(run.output('errors').values).toMatchObject([{ payload: '{"s":"no.b"}' }]);
  const waiting = await startEngine(output(`mode: { type: regular, subject: no.x }, ${user}`));
  await until('readiness to say why', async () =>
    /Permissions Violation/i.test((await waiting.http('/readiness')).text),
  );
});

test('a server that is frozen: the connection counts as lost, and the stream ends at once when it is told to', async () => {
  const user = `${CA}, timeout: 300ms, auth: { username: mill, password: "p@ss:word" }`;
  const run = await startEngine(
    output(`${OK}, ${user}`).replace(
      `{ type: memory, messages: ['1', '2'] }`,
      '{ type: generate, context: x, interval: 5ms, batch_size: 1 }',
    ),
  );
  await until('a message', async () => (await run.metric('millrace_output_messages_total')) > 0);
  server.freeze();
  await until('readiness to say why', async () =>
    (await run.http('/readiness')).text.includes('no answer within 0.3 s'),
  );
  await run.abort();
  server.thaw();
});

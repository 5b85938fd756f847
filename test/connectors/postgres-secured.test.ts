import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { postgresServer, query } from '../support/servers/postgres.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testWith } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { dial } from './dial.ts';

const test = testWith('postgres');
const fixture = (name: string): string =>
  new URL(`../control/fixtures/${name}.pem`, import.meta.url).pathname;
const server = await postgresServer({
  options: ['ssl=on', 'ssl_cert_file=server.pem', 'ssl_key_file=server-key.pem', 'ssl_ca_file=ca.pem'],
  files: {
    ...Object.fromEntries(
      ['server', 'server-key', 'ca'].map((name) => [`${name}.pem`, readFileSync(fixture(name), 'utf8')]),
    ),
    'pg_hba.conf': `
host    all postgres all trust
hostssl all mill     all scram-sha-256
hostssl all shown    all trust clientcert=verify-ca
`,
  },
});
const dir = tempDir();
const CA = `tls: { ca_file: ${fixture('ca')}, server_name: localhost }`;
let tables = 0;

async function table(): Promise<string> {
  const name = `t${tables++}`;
  await query(server.port, `CREATE TABLE ${name} (n int)`);
  for (const user of ['mill', 'shown']) {
    await query(
      server.port,
      `DO $$ BEGIN CREATE ROLE ${user} LOGIN PASSWORD 'p@ss:word'; EXCEPTION WHEN duplicate_object THEN END $$`,
    );
    await query(server.port, `GRANT ALL ON ${name} TO ${user}`);
  }
  return name;
}

const output = (name: string, user: string, fields: string, parameters = ''): string => `
streams:
  - input: { type: memory, messages: ['{"n":1}', '{"n":2}'] }
    output:
      { type: postgres, url: 'postgres://${user}@127.0.0.1:${server.port}/postgres${parameters}', table: ${name}, ${fields} }
`;

test.each([
  ['a password of a file', 'mill', `${CA}, password_file: ${dir.file('p', 'p@ss:word\n')}`, ''],
  ['one of the URL, whoever the server is', 'mill:p%40ss%3Aword', 'timeout: 20s', '?sslmode=require'],
  [
    'a certificate',
    'shown',
    `tls: { ca_file: ${fixture('ca')}, server_name: localhost, cert_file: ${fixture('client')}, key_file: ${fixture('client-key')} }`,
    '',
  ],
])('%s opens the connection, over TLS', async (_, user, fields, parameters) => {
  const name = await table();
  const run = await startEngine(output(name, user, fields, parameters));
  await run.ended;
  expect((await query(server.port, `SELECT n FROM ${name}`)).rows).toEqual([{ n: 1 }, { n: 2 }]);
});

test('readiness says what is wrong with a password or a certificate, and check --dial too, without the password', async () => {
  const name = await table();
  const wrong = output(name, 'mill:not-the-password', CA);
  const run = await startEngine(wrong);
  await until('readiness to say why', async () =>
    (await run.http('/readiness')).text.includes('password authentication failed for user'),
  );
  expect(JSON.stringify(run.log)).not.toContain('not-the-password');
  expect(await dial(wrong)).toEqual([undefined, expect.stringContaining('password authentication failed')]);
  const right = 'mill:p%40ss%3Aword';
  expect(await dial(output(name, right, 'timeout: 20s', '?sslmode=verify-full'))).toEqual([
    undefined,
    expect.stringContaining('certificate'),
  ]);
  expect(await dial(output(name, right, 'timeout: 20s'))).toEqual([
    undefined,
    expect.stringContaining('no encryption'),
  ]);
  expect(await dial(output(name, right, CA))).toEqual([undefined, undefined]);
  const other = `tls: { ca_file: ${fixture('ca')}, server_name: other.example }`;
  expect(await dial(output(name, right, other))).toEqual([
    undefined,
    expect.stringContaining('does not match'),
  ]);
  // The certificate has the address, too.
  const byAddress = `tls: { ca_file: ${fixture('ca')} }`;
  expect(await dial(output(name, right, byAddress))).toEqual([undefined, undefined]);
});

test('a server that is frozen: the connection counts as lost, and the stream ends at once when it is told to', async () => {
  const name = await table();
  const run = await startEngine(
    output(name, 'postgres', 'timeout: 300ms').replace(
      /\{ type: memory.*\}/,
      `{ type: generate, context: '{"n":1}', interval: 5ms, batch_size: 1 }`,
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

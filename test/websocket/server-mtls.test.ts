import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { beforeAll, expect } from 'vitest';
import { startServer } from '../support/handshakes.ts';
import { connectClient, send } from '../support/peers.ts';
import { startEngine } from '../support/engine.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testWith } from '../support/tools.ts';

const test = testWith('openssl');
const dir = tempDir();
const at = (name: string): string => `${dir.path}/${name}.pem`;
const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'ignore' });
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];

function authority(name: string): void {
  openssl('req', '-x509', ...newKey, '-subj', `/CN=${name}`, '-keyout', at(`${name}-key`), '-out', at(name));
}

function certificate(name: string, subject: string, by: string, ...extensions: string[]): void {
  const signer = ['-CA', at(by), '-CAkey', at(`${by}-key`), '-addext', 'basicConstraints=critical,CA:FALSE'];
  openssl(
    'req',
    '-x509',
    ...signer,
    ...newKey,
    '-subj',
    subject,
    ...extensions,
    '-keyout',
    at(`${name}-key`),
    '-out',
    at(name),
  );
}

beforeAll(() => {
  authority('ca');
  authority('strangers');
  certificate('server', '/CN=localhost', 'ca', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1');
  certificate('pump', '/O=plant/CN=pump-1', 'ca');
  certificate('valve', '/CN=valve-1', 'ca');
  certificate('nameless', '/O=plant', 'ca');
  certificate('twofold', '/CN=stranger/CN=pump-1', 'ca');
  certificate('forged', '/CN=pump-1', 'strangers');
});

const tls = (): string =>
  `tls: { cert_file: "${at('server')}", key_file: "${at('server-key')}", ca_file: "${at('ca')}" }`;
const shows = (name: string) => ({
  ca: readFileSync(at('ca')),
  cert: readFileSync(at(name)),
  key: readFileSync(at(`${name}-key`)),
});

test('the subject is the common name of the certificate; absent where it has none, or several', async () => {
  const run = await startServer(`auth: { type: mtls }, ${tls()}`);
  const url = await run.url();
  for (const [index, name] of ['pump', 'nameless', 'twofold'].entries()) {
    await send(await connectClient(url, shows(name)), name);
    await run.output().count(index + 1);
  }
  expect(run.output().messages.map(({ ext }) => ext['subject'])).toEqual(['pump-1', undefined, undefined]);
});

test('with `subjects`, others get 403; a certificate of another authority ends in TLS', async () => {
  const run = await startServer(`auth: { type: mtls, subjects: [pump-1, pump-2] }, ${tls()}`);
  const url = await run.url();
  await send(await connectClient(url, shows('pump')), 'listed');
  expect(await run.output().count(1)).toEqual(['listed']);
  for (const name of ['valve', 'nameless', 'twofold']) {
    await expect(connectClient(url, shows(name)), name).rejects.toThrow('403');
  }
  await expect(connectClient(url, shows('forged'))).rejects.toThrow(/unknown ca|hang up|ECONNRESET|EPIPE/);
  expect(await run.metric('millrace_connections_refused_total', 'status="403"')).toBe(3);
  const reasons = run.log.filter(({ msg }) => msg.includes('with 403')).map((line) => line['reason']);
  expect(reasons[0]).toBe('the certificate of valve-1 is not listed');
});

test('an input in client mode shows its certificate', async () => {
  const run = await startServer(`auth: { type: mtls, subjects: [pump-1] }, welcome: hello, ${tls()}`);
  const url = (await run.url()).replace('127.0.0.1', 'localhost');
  const client = await startEngine(`
streams:
  - input:
      type: websocket
      url: "${url}"
      tls: { ca_file: "${at('ca')}", cert_file: "${at('pump')}", key_file: "${at('pump-key')}" }
    output: { type: collect }
`);
  expect(await client.output().count(1)).toEqual(['hello']);
});

import { execFileSync } from 'node:child_process';
import { readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { expect } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import { startEngine, type Run } from '../support/engine.ts';
import { connectClient, freePort, send } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testWith } from '../support/tools.ts';
import { until } from '../support/until.ts';

const test = testWith('openssl');
const dir = tempDir();
let made = 0;

/** A certificate of its own for localhost, by openssl, and its key. */
function certificate(name: string): { cert: string; key: string } {
  const base = join(dir.path, `made-${made++}`);
  const command =
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -addext subjectAltName=DNS:localhost,IP:127.0.0.1';
  const own = ['-subj', `/CN=${name}`, '-keyout', `${base}.key`, '-out', `${base}.crt`];
  execFileSync('openssl', [...command.split(' '), ...own], { stdio: 'ignore' });
  return { cert: readFileSync(`${base}.crt`, 'utf8'), key: readFileSync(`${base}.key`, 'utf8') };
}

/** The files of a server in a directory of their own. */
function files(prefix: string, pair: { cert: string; key: string }) {
  return { cert: dir.file(`${prefix}.crt`, pair.cert), key: dir.file(`${prefix}.key`, pair.key) };
}

const server = (port: number, path: string, at: { cert: string; key: string; ca?: string }): string => `
  - input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: ${port}
      path: ${path}
      tls: { cert_file: "${at.cert}", key_file: "${at.key}"${at.ca === undefined ? '' : `, ca_file: "${at.ca}"`} }
    output: { type: collect, name: "${path}" }`;

/** The name in the certificate that the server shows now. */
async function shown(port: number): Promise<string> {
  const socket: TLSSocket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  afterTest(() => socket.destroy());
  await once(socket, 'secureConnect');
  const name = String(socket.getPeerCertificate().subject.CN);
  socket.destroy();
  return name;
}

const showsSoon = (port: number, name: string): Promise<unknown> =>
  until(`the certificate ${name}`, async () => (await shown(port)) === name, { timeout: 20_000 });

const kept = (run: Run): string[] =>
  run.log
    .filter(({ msg }) => msg.startsWith('the certificates have changed and the old'))
    .map(({ msg }) => msg);

test('files that were written to or replaced are used for new connections, and open ones stay', async () => {
  const at = files('plain', certificate('first'));
  const run = await startEngine(`streams: ${server(0, '/', at)}`);
  const port = await run.port();
  expect(await shown(port)).toBe('first');
  const early = await connectClient(`wss://127.0.0.1:${port}/`, { rejectUnauthorized: false });

  const second = certificate('second');
  writeFileSync(at.key, second.key);
  writeFileSync(at.cert, second.cert);
  await showsSoon(port, 'second');
  expect((await run.logged(/^the certificates have changed; new connections/))['files']).toEqual([
    at.cert,
    at.key,
  ]);

  const third = certificate('third');
  renameSync(dir.file('new.crt', third.cert), at.cert);
  renameSync(dir.file('new.key', third.key), at.key);
  await showsSoon(port, 'third');

  const late = await connectClient(`wss://127.0.0.1:${port}/`, { ca: third.cert });
  await send(early, 'early');
  await send(late, 'late');
  expect(await run.output('/').count(2)).toEqual(['early', 'late']);
  expect(early.socket.readyState).toBe(early.socket.OPEN);
});

test('a half-written pair, or none, keeps the old one with a warning, and the next change is tried', async () => {
  const at = files('half', certificate('first'));
  const run = await startEngine(`streams: ${server(0, '/', at)}`);
  const port = await run.port();
  const second = certificate('second');

  writeFileSync(at.cert, second.cert);
  await until('the warning that they do not fit', () => kept(run).length === 1, { timeout: 20_000 });
  expect(kept(run)[0]).toMatch(
    /the old ones stay in use: the certificate, key or authority cannot be used: /,
  );
  expect(await shown(port)).toBe('first');

  writeFileSync(at.cert, second.cert.slice(0, 300));
  await until('the warning of half a file', () => kept(run).length === 2, { timeout: 20_000 });
  expect(await shown(port)).toBe('first');
  await expect(
    connectClient(`wss://127.0.0.1:${port}/`, { rejectUnauthorized: false }),
  ).resolves.toBeDefined();

  writeFileSync(at.cert, second.cert);
  writeFileSync(at.key, second.key);
  await showsSoon(port, 'second');
  for (const { msg } of run.log) expect(msg).not.toContain('PRIVATE KEY');
});

test('a directory that is swapped by a link, as Kubernetes does', async () => {
  const first = certificate('first');
  const second = certificate('second');
  execFileSync('mkdir', [join(dir.path, 'v1'), join(dir.path, 'v2')]);
  files('v1/tls', first);
  files('v2/tls', second);
  const current = join(dir.path, 'current');
  symlinkSync('v1', current);
  const run = await startEngine(
    `streams: ${server(0, '/', { cert: join(current, 'tls.crt'), key: join(current, 'tls.key') })}`,
  );
  const port = await run.port();
  expect(await shown(port)).toBe('first');
  symlinkSync('v2', join(dir.path, 'next'));
  renameSync(join(dir.path, 'next'), current);
  await showsSoon(port, 'second');
  expect(kept(run)).toEqual([]);
});

test('several inputs of one port have one certificate, and change it together', async () => {
  const at = files('shared', certificate('first'));
  const port = await freePort();
  const run = await startEngine(`streams: ${server(port, '/a', at)} ${server(port, '/b', at)}`);
  await Promise.all([run.connected('stream-0'), run.connected('stream-1')]);
  const second = certificate('second');
  renameSync(dir.file('new.key', second.key), at.key);
  renameSync(dir.file('new.crt', second.cert), at.cert);
  await showsSoon(port, 'second');
  for (const path of ['/a', '/b']) {
    await send(await connectClient(`wss://127.0.0.1:${port}${path}`, { ca: second.cert }), path);
    expect(await run.output(path).count(1)).toEqual([path]);
  }
});

test('another authority for clients: certificates that it has not signed are refused', async () => {
  const [own, foreign] = [certificate('own'), certificate('foreign')];
  const at = { ...files('mutual', certificate('server')), ca: dir.file('mutual-ca.crt', own.cert) };
  const run = await startEngine(`streams: ${server(0, '/', at)}`);
  const url = `wss://127.0.0.1:${await run.port()}/`;
  const enter = (as: { cert: string; key: string }) =>
    connectClient(url, { rejectUnauthorized: false, ...as });
  const early = await enter(own);
  await expect(enter(foreign)).rejects.toThrow();
  writeFileSync(at.ca, foreign.cert);
  await until('the new authority', async () => await enter(foreign).catch(() => undefined), {
    timeout: 20_000,
  });
  await expect(enter(own)).rejects.toThrow();
  await send(early, 'still here');
  expect(await run.output('/').count(1)).toEqual(['still here']);
});

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { afterTest } from '../support/cleanup.ts';
import { startEngine, type Run } from '../support/engine.ts';
import { connectClient, send } from '../support/peers.ts';
import { until } from '../support/until.ts';
import { rawClient } from '../control/raw.ts';
import { tempDir } from '../support/temp-dir.ts';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../control/fixtures/${name}.pem`, import.meta.url));
const pem = (name: string): Buffer => readFileSync(fixture(name));
const dir = tempDir();

const keyPair = `cert_file: "${fixture('server')}", key_file: "${fixture('server-key')}"`;
const clientPair = `cert_file: "${fixture('client')}", key_file: "${fixture('client-key')}"`;
const ca = `ca_file: "${fixture('ca')}"`;

/** A `wss` server that sends each client the names it was asked for and was shown. */
async function secureServer(options: { clientCertificate?: boolean } = {}): Promise<number> {
  const https = createServer({
    cert: pem('server'),
    key: pem('server-key'),
    ...(options.clientCertificate === true && { ca: pem('ca'), requestCert: true, rejectUnauthorized: true }),
  });
  const server = new WebSocketServer({ server: https });
  server.on('connection', (socket, request) => {
    const tls = request.socket as TLSSocket;
    const shown = options.clientCertificate === true ? tls.getPeerCertificate().subject.CN : undefined;
    socket.send(JSON.stringify({ servername: tls.servername, shown }));
  });
  https.listen(0, '127.0.0.1');
  await once(https, 'listening');
  afterTest(() => {
    for (const socket of server.clients) socket.terminate();
    https.close();
  });
  return (https.address() as AddressInfo).port;
}

const client = (url: string, tls: string): Promise<Run> =>
  startEngine(`
streams:
  - input: { type: websocket, url: "${url}", tls: { ${tls} }, reconnect: { initial: 1ms, max: 5ms } }
    output: { type: collect }
`);

const server = (fields: string): Promise<Run> =>
  startEngine(`
streams:
  - input: { type: websocket, mode: server, ${fields} }
    output: { type: collect }
`);

describe('“Secure WebSocket (WSS)”, client', () => {
  test('connects to a server whose certificate the authority of `ca_file` signed, and asks for the url’s host', async () => {
    const port = await secureServer();
    const run = await client(`wss://localhost:${port}/ws`, ca);
    await run.output().count(1);
    expect(run.output().values).toEqual([{ servername: 'localhost' }]);
    expect(run.output().messages[0]!.source).toBe(`wss://localhost:${port}/ws`);
  });

  test('refuses a certificate of an unknown authority, says so, and tries again', async () => {
    const port = await secureServer();
    const run = await startEngine(`
streams:
  - input: { type: websocket, url: "wss://localhost:${port}", reconnect: { initial: 1ms, max: 5ms } }
    output: { type: collect }
`);
    const { msg } = await run.logged(/^input failed to connect/);
    expect(msg).toMatch(
      /cannot connect to wss:\/\/localhost:\d+: the authority of the server’s certificate is not trusted/,
    );
    expect(msg).toContain('tls.ca_file');
    await until(
      'another attempt',
      async () => (await run.metric('millrace_reconnects_total', 'stage="input"')) > 1,
    );
  });

  test('refuses a certificate for another name; `server_name` is the name to ask for and to verify', async () => {
    const port = await secureServer();
    const wrong = await client(`wss://localhost:${port}`, `${ca}, server_name: feed.example.com`);
    expect((await wrong.logged(/^input failed to connect/)).msg).toContain(
      "Host: feed.example.com. is not in the cert's",
    );
    const right = await client(`wss://127.0.0.1:${port}`, `${ca}, server_name: localhost`);
    await right.output().count(1);
    expect(right.output().values).toEqual([{ servername: 'localhost' }]);
  });

  test('takes any certificate only with `insecure_skip_verify`', async () => {
    const port = await secureServer();
    const run = await client(`wss://localhost:${port}`, 'insecure_skip_verify: true');
    await run.output().count(1);
    const off = await client(`wss://localhost:${port}`, 'insecure_skip_verify: false');
    await off.logged(/^input failed to connect/);
  });

  test('shows its own certificate where the server wants one', async () => {
    const port = await secureServer({ clientCertificate: true });
    const run = await client(`wss://localhost:${port}`, `${ca}, ${clientPair}`);
    await run.output().count(1);
    expect(run.output().values).toEqual([{ servername: 'localhost', shown: 'device-1' }]);
  });

  test('without a certificate that the server wants, the log says that the server wants one', async () => {
    const port = await secureServer({ clientCertificate: true });
    const run = await client(`wss://localhost:${port}`, ca);
    expect((await run.logged(/^input (failed to connect|lost)/)).msg).toMatch(
      /CERTIFICATE_REQUIRED\); it may want a client certificate/,
    );
  });

  test('a file that cannot be read is named, and read again at the next attempt', async () => {
    const port = await secureServer();
    const run = await client(`wss://localhost:${port}`, `ca_file: "${dir.path}/late.pem"`);
    const line = await run.logged(/^input failed to connect/);
    expect(line).toMatchObject({ code: 'MILLRACE_TLS_INVALID' });
    expect(line.msg).toContain(`${dir.path}/late.pem`);
    dir.file('late.pem', pem('ca'));
    await run.output().count(1);
  });
});

describe('“Secure WebSocket (WSS)”, server', () => {
  test.each([
    ['host and port', 'host: 127.0.0.1, port: 0'],
    ['a wss:// address', 'url: "wss://127.0.0.1:0/"'],
  ])('listens with a certificate and its key: %s', async (_, address) => {
    const run = await server(`${address}, tls: { ${keyPair} }`);
    const url = await run.url();
    expect(url).toMatch(/^wss:\/\//);
    await send(await connectClient(url, { ca: pem('ca') }), 'sealed');
    expect(await run.output().count(1)).toEqual(['sealed']);
    await expect(connectClient(url.replace('wss', 'ws'))).rejects.toThrow();
  });

  test('with `ca_file`, only clients that show a certificate of that authority come in', async () => {
    const run = await server(`host: 127.0.0.1, port: 0, tls: { ${keyPair}, ${ca} }`);
    const url = await run.url();
    await expect(connectClient(url, { ca: pem('ca') })).rejects.toThrow(
      /certificate required|ECONNRESET|EPIPE/,
    );
    const own = { ca: pem('ca'), cert: pem('client'), key: pem('client-key') };
    await send(await connectClient(url, own), 'known');
    expect(await run.output().count(1)).toEqual(['known']);
  });

  test('a key that is not the certificate’s fails the stream, and says what was expected', async () => {
    const run = await server(
      `host: 127.0.0.1, port: 0, tls: { cert_file: "${fixture('server')}", key_file: "${fixture('client-key')}" }`,
    );
    expect(await run.ended).toMatchObject({ failed: ['stream-0'] });
    expect((await run.logged(/^stream failed/)).code).toBe('MILLRACE_TLS_INVALID');
  });
});

test('a server logs a failed TLS handshake, and counts it', async () => {
  const run = await server(`host: 127.0.0.1, port: 0, tls: { ${keyPair} }`);
  const plain = (await run.url()).replace('wss://', 'ws://');
  await expect(connectClient(plain)).rejects.toThrow(/hang up|ECONNRESET/);
  const { msg } = await run.logged(/^a TLS handshake failed: /);
  expect(msg).toBe('a TLS handshake failed: the client spoke plain HTTP; it should use wss://');
  expect(await run.metric('millrace_connections_refused_total', 'status="tls"')).toBe(1);
});

test('a silent connection is cut after `handshake_timeout` and logged once, as a TLS handshake', async () => {
  const run = await server(
    `host: 127.0.0.1, port: 0, tls: { ${keyPair} }, limits: { handshake_timeout: 100ms }`,
  );
  const silent = await rawClient(await run.port());
  expect(await silent.closed).toBe('');
  const { msg } = await run.logged(/^a TLS handshake failed: /);
  expect(msg).toBe('a TLS handshake failed: the client did not finish it in time');
  expect(await run.metric('millrace_connections_refused_total', 'status="tls"')).toBe(1);
  expect(await run.metric('millrace_connections_refused_total', 'status="400"')).toBe(0);
});

import { describe, expect, test } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import { startEngine } from '../support/engine.ts';
import { connectClient, freePort, rawUpgrade, send } from '../support/peers.ts';
import { until } from '../support/until.ts';
import { exchange, rawClient, upgradeRequest } from '../control/raw.ts';

const server = (fields: string): string => `
streams:
  - input: { type: websocket, mode: server, ${fields} }
    output: { type: collect }
`;

describe('“Act as WebSocket server, listen for incoming connections”', () => {
  test.each([
    ['host, port and path', (port: number) => `host: 127.0.0.1, port: ${port}, path: /ws`, '/ws'],
    ['url with a scheme', (port: number) => `url: ws://127.0.0.1:${port}/ws`, '/ws'],
    ['url as host:port', (port: number) => `url: "127.0.0.1:${port}"`, '/'],
    ['url as host:port, and path', (port: number) => `url: "127.0.0.1:${port}", path: /in`, '/in'],
    ['url as an IPv6 address', (port: number) => `url: "[::1]:${port}"`, '/'],
  ])('binds to %s', async (_, fields, path) => {
    const port = await freePort();
    const run = await startEngine(server(fields(port)));
    const url = await run.url();
    expect(url).toMatch(new RegExp(`^ws://(127\\.0\\.0\\.1|\\[::1\\]):${port}${path}$`));
    const client = await connectClient(url);
    await send(client, 'hello');
    expect(await run.output().count(1)).toEqual(['hello']);
  });

  test('listens on all addresses, on the path /, unless told otherwise', async () => {
    const run = await startEngine(server('port: 0'));
    expect(await run.url()).toMatch(/^ws:\/\/0\.0\.0\.0:\d+\/$/);
    const client = await connectClient(`ws://127.0.0.1:${await run.port()}`);
    await send(client, 'hello');
    expect(await run.output().count(1)).toEqual(['hello']);
  });

  test('is ready once it listens', async () => {
    const run = await startEngine(server('port: 0'));
    await run.connected();
    const { status, text } = await run.http('/readiness');
    expect({ status, ready: JSON.parse(text).status }).toEqual({ status: 200, ready: 'ready' });
  });

  test('gives the remedy while the port is in use, and listens once it is free', async () => {
    const first = await startEngine(server('host: 127.0.0.1, port: 0'));
    const port = await first.port();
    const second = await startEngine(server(`host: 127.0.0.1, port: ${port}`));
    const { msg } = await second.logged(/^input failed to connect/);
    expect(msg).toContain(`cannot listen on 127.0.0.1:${port}: the address is in use`);
    expect(msg).toContain('another port');
    await first.stop();
    expect(await second.port()).toBe(port);
  });
});

describe('“URL path to accept connections on”', () => {
  test.each([
    ['another path', '/other'],
    ['a longer path', '/ws/more'],
    ['a trailing slash', '/ws/'],
    ['another case', '/WS'],
    ['an encoded letter', '/%77s'],
  ])('answers 404 to %s', async (_, path) => {
    const run = await startEngine(server('host: 127.0.0.1, port: 0, path: /ws'));
    const answer = await exchange(await run.port(), upgradeRequest(path));
    expect(answer).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/);
  });

  test('takes its path with any query', async () => {
    const run = await startEngine(server('host: 127.0.0.1, port: 0, path: /ws'));
    await connectClient(`${await run.url()}?x=1`);
  });

  test('answers 426 to a plain HTTP request, naming the protocol', async () => {
    const run = await startEngine(server('host: 127.0.0.1, port: 0, path: /ws'));
    const response = await fetch((await run.url()).replace('ws:', 'http:'));
    expect(response.status).toBe(426);
    expect(response.headers.get('upgrade')).toBe('websocket');
  });

  test.each(['7', '8', '14', '13.0', '0xd', '13, 8', ''])(
    'answers 426 to a handshake of version “%s”, and names its own (RFC 6455 section 4.4)',
    async (version) => {
      const run = await startEngine(server('host: 127.0.0.1, port: 0'));
      const request = upgradeRequest('/').replace('Version: 13', `Version: ${version}`);
      const answer = await exchange(await run.port(), request);
      expect(answer).toMatch(/^HTTP\/1\.1 426 Upgrade Required\r\n/);
      expect(answer).toContain('\r\nSec-WebSocket-Version: 13\r\n');
      expect(answer).toContain('\r\nUpgrade: websocket\r\n');
      await run.metricIs(1, 'millrace_connections_refused_total', 'status="426"', 'stage="input"');
    },
  );

  test.each([
    ['no version', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='],
    ['no key', 'Sec-WebSocket-Version: 13'],
    ['a key of the wrong length', 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: abc'],
  ])('answers 400 to a handshake with %s, counts it, and lets the socket go', async (_, headers) => {
    const run = await startEngine(server('host: 127.0.0.1, port: 0'));
    const client = await rawClient(await run.port(), '127.0.0.1', true);
    afterTest(() => client.socket.destroy());
    client.socket.write(
      `GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${headers}\r\n\r\n`,
    );
    const answer = await client.until(/^HTTP\/1\.1 400 Bad Request\r\n[^]*\r\n\r\n/);
    // RFC 6455 section 4.4: the answer to another version names ours.
    expect(answer).toContain('\r\nSec-WebSocket-Version: 13\r\n');
    // This client never closes its side. Once the server has let go of the socket, data is answered with a reset.
    await until('the socket to be gone', () => client.socket.destroyed || (client.socket.write('x'), false));
    await run.metricIs(1, 'millrace_connections_refused_total', 'status="400"', 'stage="input"');
  });

  test('two inputs of one file share a port, each with its own path', async () => {
    const port = await freePort();
    const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: ${port}, path: /a }
    output: { type: collect, name: a }
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: ${port}, path: /b }
    output: { type: collect, name: b }
`);
    await Promise.all([run.connected('stream-0'), run.connected('stream-1')]);
    await send(await connectClient(`ws://127.0.0.1:${port}/a`), 'to a');
    await send(await connectClient(`ws://127.0.0.1:${port}/b`), 'to b');
    expect(await run.output('a').count(1)).toEqual(['to a']);
    expect(await run.output('b').count(1)).toEqual(['to b']);
  });
});

describe('“Server mode can handle multiple concurrent connections”', () => {
  test('counts them as they open and close, by close code', async () => {
    const run = await startEngine(server('host: 127.0.0.1, port: 0'));
    const url = await run.url();
    const clients = await Promise.all(Array.from({ length: 5 }, () => connectClient(url)));
    await run.metricIs(5, 'millrace_connections_open', 'stage="input"');
    clients[0]!.socket.close(4321, 'that is it');
    clients[1]!.socket.terminate();
    clients[2]!.socket.close();
    await run.metricIs(2, 'millrace_connections_open', 'stage="input"');
    expect(await run.metric('millrace_connections_opened_total', 'stage="input"')).toBe(5);
    for (const code of ['4000-4999', 1006, 1005]) {
      expect(await run.metric('millrace_connections_closed_total', `code="${code}"`)).toBe(1);
    }
    const line = await run.logged(/^connection closed with 4321/);
    expect(line).toMatchObject({ code: 4321, reason: 'that is it', stage: 'input' });
  });

  test('a connection that dies in the middle of a frame takes no other with it, and gives no half message', async () => {
    const run = await startEngine(server('host: 127.0.0.1, port: 0'));
    const url = await run.url();
    const other = await connectClient(url);
    const dying = await rawUpgrade(url);
    // A masked text frame that says 100 bytes and has 10.
    dying.socket.write(
      Buffer.concat([Buffer.from([0x81, 0x80 | 100, 0, 0, 0, 0]), Buffer.from('0123456789')]),
    );
    await run.metricIs(2, 'millrace_connections_open', 'stage="input"');
    dying.socket.resetAndDestroy();
    await run.metricIs(1, 'millrace_connections_closed_total', 'code="1006"');
    await send(other, 'still here');
    expect(await run.output().count(1)).toEqual(['still here']);
    await until(
      'the input to have read one message',
      async () => (await run.metric('millrace_input_messages_total')) === 1,
    );
  });
});

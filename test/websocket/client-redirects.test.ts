import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { afterTest } from '../support/cleanup.ts';
import { startEngine } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { FaultServer, type RawPeer } from '../support/peers.ts';

const quick = 'reconnect: { initial: 1ms, max: 5ms }';
const input = (fields: string): string => `
streams:
  - input: { type: websocket, ${fields}, ${quick} }
    output: { type: collect }
`;
const redirect = (peer: RawPeer, location: string, status = '302 Found'): void =>
  void peer.socket.end(`HTTP/1.1 ${status}\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`);

/** Answers by the requested path; a path without an answer is accepted and gets a message. */
async function site(answers: Record<string, (peer: RawPeer) => void>): Promise<FaultServer> {
  return await new FaultServer((peer) => {
    const answer = answers[peer.target];
    if (answer === undefined) peer.accept({ then: frame('text', `at ${peer.target}`) });
    else answer(peer);
  }).up();
}

describe('a redirect on the same host', () => {
  test.each(['301 Moved', '302 Found', '303 See Other', '307 Temporary', '308 Permanent'])(
    'is followed after %s, with headers, credentials and subprotocols',
    async (status) => {
      const server = await site({ '/feed': (peer) => redirect(peer, '/next?a=b', status) });
      const run = await startEngine(
        input(`url: "ws://ann:pw@127.0.0.1:${server.port}/feed", headers: { X-A: b }`),
      );
      expect(await run.output().count(1)).toEqual(['at /next?a=b']);
      const peer = server.peers[1]!;
      expect(peer.header('authorization')).toBe(`Basic ${Buffer.from('ann:pw').toString('base64')}`);
      expect(peer.header('x-a')).toBe('b');
      // The source is what the file names.
      expect(run.output().messages[0]!.source).toBe(`ws://ann:***@127.0.0.1:${server.port}/feed`);
    },
  );

  test.each([
    ['absolute, as http', (port: number) => `http://127.0.0.1:${port}/next`, '/next'],
    ['absolute, as ws, with a fragment', (port: number) => `ws://127.0.0.1:${port}/next#part`, '/next'],
    ['without a scheme', (port: number) => `//127.0.0.1:${port}/next`, '/next'],
    ['relative to the path', () => '../up?x', '/up?x'],
    ['a query alone', () => '?x=1', '/a/feed?x=1'],
  ])('may be %s', async (_, location, target) => {
    const server = await site({ '/a/feed': (peer) => redirect(peer, location(server.port)) });
    const run = await startEngine(input(`url: "ws://127.0.0.1:${server.port}/a/feed"`));
    expect(await run.output().count(1)).toEqual([`at ${target}`]);
  });

  test('five are followed, but not a sixth', async () => {
    const answers = Object.fromEntries(
      Array.from({ length: 6 }, (_, n) => [`/${n}`, (peer: RawPeer) => redirect(peer, `/${n + 1}`)]),
    );
    const server = await site(answers);
    const run = await startEngine(input(`url: "ws://127.0.0.1:${server.port}/1"`));
    expect(await run.output().count(1)).toEqual(['at /6']);
    const far = await startEngine(input(`url: "ws://127.0.0.1:${server.port}/0"`));
    await far.logged(
      /\/5: the server answered 302 Found, a redirect to ws:\/\/[^ ]*\/6; more than 5 redirects$/,
    );
  });

  test('a loop is an error', async () => {
    const server = await site({
      '/a': (peer) => redirect(peer, '/b'),
      '/b': (peer) => redirect(peer, '/a'),
    });
    const run = await startEngine(input(`url: "ws://127.0.0.1:${server.port}/a"`));
    await run.logged(
      /\/b: the server answered 302 Found, a redirect to ws:\/\/[^ ]*\/a, which leads in a loop$/,
    );
  });

  test('each attempt begins at the URL of the file again', async () => {
    const server = await site({
      '/feed': (peer) => redirect(peer, '/next'),
      '/next': (peer) => {
        if (server.peers.length < 3) peer.socket.end('HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n');
        else peer.accept({ then: frame('text', 'in') });
      },
    });
    const run = await startEngine(input(`url: "ws://127.0.0.1:${server.port}/feed"`));
    await run.output().count(1);
    expect(server.peers.map((peer) => peer.target)).toEqual(['/feed', '/next', '/feed', '/next']);
    await run.logged(
      /^input failed to connect: cannot connect to ws:\/\/[^ ]*\/next: the server answered 500 No$/,
    );
  });
});

describe('a redirect elsewhere', () => {
  test('to another port is not followed, whatever credentials it repeats; the target is shown masked', async () => {
    const elsewhere = await new FaultServer().up();
    const server = await site({
      '/feed?token=t0ken': (peer) =>
        redirect(peer, `ws://eve:p4ss@127.0.0.1:${elsewhere.port}/x/k3y-of-ours?token=t0ken&a=b`),
    });
    const run = await startEngine(
      input(
        `url: "ws://127.0.0.1:${server.port}/feed?token=t0ken", headers: { X-Key: k3y-of-ours }, auth: { type: bearer, token: "b3arer" }`,
      ),
    );
    const line = await run.logged(/^input failed to connect/);
    expect(line.msg).toBe(
      `input failed to connect: cannot connect to ws://127.0.0.1:${server.port}/feed?token=***: the server answered 302 Found, a redirect to ws://eve:***@127.0.0.1:${elsewhere.port}/x/***?token=***&a=b, another host; it is not followed. Use that URL if you trust it`,
    );
    await server.peer(2);
    expect(elsewhere.peers).toHaveLength(0);
    expect(JSON.stringify(run.log)).not.toMatch(/p4ss|k3y|t0ken|b3arer/);
  });

  test.each([
    [
      'another name of this machine',
      'ws://localhost:1/x',
      /a redirect to ws:\/\/localhost:1\/x, another host/,
    ],
    ['no Location', undefined, /the server answered 302 Found, a redirect without a Location$/],
    ['no URL', 'http://[', /a redirect to an invalid URL$/],
    [
      'another protocol',
      'ftp://127.0.0.1/x',
      /a redirect to ftp:\/\/127\.0\.0\.1\/x, which is not a WebSocket URL$/,
    ],
    ['nothing to follow', undefined, /the server answered 304 Not Modified$/],
  ])('to %s is logged', async (name, location, said) => {
    const server = await site({
      '/feed': (peer) => {
        if (name === 'nothing to follow')
          peer.socket.end('HTTP/1.1 304 Not Modified\r\nLocation: /x\r\n\r\n');
        else if (location === undefined) peer.socket.end('HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n');
        else redirect(peer, location);
      },
    });
    const run = await startEngine(input(`url: "${server.url}"`));
    await run.logged(said);
  });
});

describe('TLS', () => {
  const fixture = (name: string): Buffer =>
    readFileSync(new URL(`../control/fixtures/${name}`, import.meta.url));

  test('a redirect from ws to wss on the same host is followed, and never back', async () => {
    const before = getCACertificates('default');
    setDefaultCACertificates([...before, fixture('ca.pem').toString()]);
    afterTest(() => setDefaultCACertificates(before));
    const secure = createServer({ key: fixture('server-key.pem'), cert: fixture('server.pem') });
    new WebSocketServer({ server: secure }).on('connection', (socket, request) => {
      socket.send(`secure ${request.headers.authorization}`);
    });
    secure.listen(0, '127.0.0.1');
    afterTest(() => {
      secure.closeAllConnections();
      secure.close();
    });
    await once(secure, 'listening');
    const { port } = secure.address() as AddressInfo;
    const server = await site({ '/feed': (peer) => redirect(peer, `https://127.0.0.1:${port}/x`) });
    const run = await startEngine(input(`url: "${server.url}", auth: { type: bearer, token: t }`));
    expect(await run.output().count(1)).toEqual(['secure Bearer t']);

    const back = createServer({ key: fixture('server-key.pem'), cert: fixture('server.pem') });
    back.on('upgrade', (_, socket) => {
      socket.end(`HTTP/1.1 302 Found\r\nLocation: ${server.url}\r\nContent-Length: 0\r\n\r\n`);
    });
    back.listen(0, '127.0.0.1');
    afterTest(() => void back.close());
    await once(back, 'listening');
    const came = server.peers.length;
    const down = await startEngine(input(`url: "wss://127.0.0.1:${(back.address() as AddressInfo).port}/x"`));
    await down.logged(/a redirect to ws:\/\/[^ ]*\/feed, which gives up TLS; it is not followed$/);
    expect(server.peers).toHaveLength(came);
  });
});

import { describe, expect, test } from 'vitest';
import { startEngine, type Run } from '../support/engine.ts';
import { closeFrame, frame } from '../support/frames.ts';
import { FaultServer, connectClient, freePort, rawUpgrade, send, type RawPeer } from '../support/peers.ts';
import { until } from '../support/until.ts';

const quick = 'reconnect: { initial: 1ms, max: 5ms }';

/** From a WebSocket server input to a WebSocket output. */
const relay = (url: string, fields = quick, input = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${input} }
    output: { type: websocket, url: "${url}", ${fields} }
`;

const outputConnected = (run: Run) => run.logged(/^output \S+ connected$/);

function answerPings(peer: RawPeer): void {
  let answered = 0;
  const timer = setInterval(() => {
    for (; answered < peer.pings; answered++) peer.socket.write(frame('pong'));
  }, 5);
  peer.socket.once('close', () => clearInterval(timer));
}

describe('when the server fails', () => {
  test('it is connected to once it is up; earlier messages wait and are sent in order', async () => {
    const hub = new FaultServer();
    hub.port = await freePort();
    const run = await startEngine(relay(hub.url));
    await run.logged(/^output failed to connect: .*ECONNREFUSED/);
    await send(await connectClient(await run.url()), 'one', 'two', 'three');
    expect((await run.http('/readiness')).text).toContain('output websocket is not connected');
    await hub.up();
    const peer = await hub.peer(0);
    expect(await peer.count(3)).toEqual(['one', 'two', 'three']);
  });

  test('killed in the middle of a batch: the whole batch is sent again, and nothing is missing', async () => {
    // A server that does not read, so that the batch is stuck half-way.
    const hub = await new FaultServer((peer) => void peer.accept().socket.pause()).up();
    const run = await startEngine(relay(hub.url, quick, 'max_message_size: 32MiB'));
    await outputConnected(run);
    const big = 'x'.repeat(16 * 1024 * 1024);
    await send(await connectClient(await run.url()), 'first', big, 'last');
    await until('the batch to be in flight', async () => (await run.inFlight()).messages >= 2);
    hub.behaviour = (peer) => void peer.accept();
    (await hub.peer(0)).socket.resetAndDestroy();
    const second = await hub.peer(1);
    await until('the last message', () => second.texts.includes('last'));
    const all = second.texts;
    expect(all.at(-1)).toBe('last');
    expect(all.at(-2)).toBe(big);
    await run.idle();
    await run.metricIs(1, 'millrace_reconnects_total', 'stage="output"');
    expect((await run.logged(/^output lost its connection/)).msg).toMatch(
      /(cannot send to|the connection to) ws:\/\//,
    );
  });

  test('a server that restarts while messages flow: only messages on the wire when it died can be missing', async () => {
    const hub = await new FaultServer().up();
    const run = await startEngine(relay(hub.url));
    const client = await connectClient(await run.url());
    const total = 3000;
    for (let number = 0; number < total; number++) {
      await send(client, String(number));
      if (number % 1000 !== 500) continue;
      await run.idle();
      await until('all of it to be read', () =>
        hub.peers.some((peer) => peer.texts.at(-1) === String(number)),
      );
      await hub.down();
      await hub.up();
    }
    await run.idle();
    await until('the last', () => hub.peers.at(-1)!.texts.at(-1) === String(total - 1));
    const got = new Set(hub.peers.flatMap((peer) => peer.texts));
    const missing = Array.from({ length: total }, (_, number) => number).filter(
      (number) => !got.has(String(number)),
    );
    // WebSocket has no acknowledgement: messages written while the server died may be gone, but only around a death.
    expect(missing.every((number) => number % 1000 > 500 && number % 1000 < 600)).toBe(true);
  });

  test('its close code and reason are in the log and the metrics', async () => {
    const hub = await new FaultServer(
      (peer) => void peer.accept({ then: closeFrame(1013, 'try later') }),
    ).up();
    const run = await startEngine(relay(hub.url));
    const line = await run.logged(/^connection closed with 1013/);
    expect(line).toMatchObject({ reason: 'try later', stage: 'output', url: hub.url });
    const closed = () => run.metric('millrace_connections_closed_total', 'stage="output"', 'code="1013"');
    await until('its count', async () => (await closed()) >= 1);
  });

  test('when `reconnect.max_attempts` have failed in a row, the stream fails and says what was left', async () => {
    const run = await startEngine(
      relay(`ws://127.0.0.1:${await freePort()}`, 'reconnect: { initial: 50ms, max: 50ms, max_attempts: 4 }'),
    );
    await send(await connectClient(await run.url()), 'one');
    const outcome = await run.ended;
    expect(outcome).toEqual({ failed: ['stream-0'], left: ['stream-0: 1 message not confirmed'] });
    expect(await run.logged(/^stream failed/)).toMatchObject({ code: 'MILLRACE_RECONNECT_EXHAUSTED' });
  });
});

describe('keepalive', () => {
  const fast = `${quick}, ping_interval: 50ms, ping_timeout: 100ms`;

  test('a server that goes deaf is detected, and connected to again; the new connection answers, and stays', async () => {
    const hub = await new FaultServer().up();
    const run = await startEngine(relay(hub.url, fast));
    const deaf = await hub.peer(0);
    hub.behaviour = (peer) => answerPings(peer.accept());
    await deaf.gone();
    const second = await hub.peer(1);
    await until('ten pings', () => second.pings >= 10);
    await send(await connectClient(await run.url()), 'hello');
    expect(await second.count(1)).toEqual(['hello']);
    expect(hub.peers).toHaveLength(2);
  });

  test('a server that does not read for a while is busy, not dead: it gets each message once', async () => {
    const hub = await new FaultServer((peer) => void peer.accept().socket.pause()).up();
    const run = await startEngine(relay(hub.url, fast, 'max_message_size: 32MiB'));
    await outputConnected(run);
    const big = 'x'.repeat(16 * 1024 * 1024);
    await send(await connectClient(await run.url()), big, 'last');
    // Meanwhile a deaf peer of the same patience is found five times over.
    const clock = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ping_interval: 50ms, ping_timeout: 100ms }
    output: { type: drop }
`);
    for (let found = 0; found < 5; found++) await (await rawUpgrade(await clock.url())).gone();
    const peer = await hub.peer(0);
    peer.socket.resume();
    await peer.count(2);
    // Also of those that came later: nothing was sent twice.
    expect(hub.peers.flatMap(({ texts }) => texts)).toEqual([big, 'last']);
  });
});

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { afterTest } from '../support/cleanup.ts';
import { startEngine } from '../support/engine.ts';
import { closeFrame, frame, opcodes } from '../support/frames.ts';
import { FaultServer, connectClient, freePort, rawUpgrade, send, type Client } from '../support/peers.ts';
import { until } from '../support/until.ts';
import { exchange, upgradeRequest } from '../control/raw.ts';

const server = (more = '', fields = ''): string => `
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${fields} }
    output: { type: collect }
${more}`;

/** Sends numbered messages for as long as the connection is open; `sent` counts them. */
function chatter(client: Client, name: string): { sent: number } {
  const count = { sent: 0 };
  const next = (): void => {
    for (let burst = 0; burst < 20 && client.socket.readyState === client.socket.OPEN; burst++) {
      client.socket.send(`${name}:${++count.sent}`);
    }
    if (client.socket.readyState === client.socket.OPEN) setImmediate(next);
  };
  next();
  return count;
}

/** Each client's messages, by the name before the colon. */
function byClient(texts: readonly string[]): Map<string, number[]> {
  const numbers = new Map<string, number[]>();
  for (const text of texts) {
    const [name, number] = text.split(':') as [string, string];
    numbers.set(name, [...(numbers.get(name) ?? []), Number(number)]);
  }
  return numbers;
}

describe('a server', () => {
  test('under load: clients see 1001, and everything that they sent before comes out, once and in order', async () => {
    const run = await startEngine(`streams: ${server()}`);
    const url = await run.url();
    const clients = await Promise.all(Array.from({ length: 20 }, () => connectClient(url)));
    const counts = clients.map((client, index) => chatter(client, String(index)));
    await run.output().count(2000);
    const outcome = await run.stop();
    expect(outcome).toEqual({ failed: [], left: [] });
    const closed = await Promise.all(clients.map((client) => client.closed));
    expect(closed).toEqual(clients.map(() => ({ code: 1001, reason: 'going away' })));
    const received = byClient(run.output().texts);
    for (const [index, { sent }] of counts.entries()) {
      expect(received.get(String(index))).toEqual(Array.from({ length: sent }, (_, at) => at + 1));
    }
  });

  test('answers 503 to clients that come while it drains, and counts them', async () => {
    const run = await startEngine(`streams: ${server()}`);
    const client = await connectClient(await run.url());
    run.output().hold();
    await send(client, 'one');
    await until('the write', () => run.output().writes === 1);
    run.drain();
    await client.closed;
    expect(await exchange(await run.port(), upgradeRequest('/'))).toMatch(
      /^HTTP\/1\.1 503 Service Unavailable\r\n/,
    );
    expect((await run.http('/readiness')).text).toContain('the stream is draining');
    await run.metricIs(1, 'millrace_connections_refused_total', 'status="503"');
    run.output().release();
    expect(await run.stop()).toEqual({ failed: [], left: [] });
    expect(run.output().texts).toEqual(['one']);
  });

  test('frees its port', async () => {
    const run = await startEngine(`streams: ${server()}`);
    const url = await run.url();
    await run.stop();
    await expect(connectClient(url)).rejects.toThrow(/ECONNREFUSED/);
  });

  test('flushes a window before its time', async () => {
    const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json } }
    buffer: { type: tumbling_window, interval: 1h }
    pipeline: { processors: [ { type: sql, query: "SELECT sum(n) AS sum, count(*) AS count FROM flow" } ] }
    output: { type: collect }
`);
    await send(await connectClient(await run.url()), '{"n":1}', '{"n":2}', '{"n":39}');
    await run.metricIs(3, 'millrace_input_messages_total');
    expect(await run.stop()).toEqual({ failed: [], left: [] });
    expect(run.output().values).toEqual([{ sum: 42, count: 3 }]);
  });

  test('if the output is slower than peers may take to answer a close, no message is lost, and a peer that never answers holds nothing up', async () => {
    const run = await startEngine(`streams: ${server('    in_flight: { messages: 10 }')}`);
    const url = await run.url();
    const silent = await rawUpgrade(url);
    run.output().hold();
    const clients = await Promise.all(Array.from({ length: 5 }, () => connectClient(url)));
    for (const [index, client] of clients.entries()) {
      await send(client, ...Array.from({ length: 100 }, (_, number) => `${index}:${number}`));
    }
    await until('the write', () => run.output().writes === 1);
    run.drain();
    expect(await silent.closeCode()).toBe(1001);
    // Longer than the ten seconds that a peer has.
    const stalledUntil = performance.now() + 11_000;
    await until('the stall to be long enough', () => performance.now() > stalledUntil, { timeout: 20_000 });
    run.output().release();
    expect(await run.stop()).toEqual({ failed: [], left: [] });
    await silent.gone();
    const received = byClient(run.output().texts);
    for (const index of clients.keys()) {
      expect(received.get(String(index))).toEqual(Array.from({ length: 100 }, (_, number) => number));
    }
  }, 60_000);

  test('ended at once, it reports the unconfirmed messages', async () => {
    const run = await startEngine(`streams: ${server()}`);
    run.output().hold();
    await send(await connectClient(await run.url()), 'one', 'two');
    await until('both in flight', async () => (await run.inFlight()).messages === 2);
    const { ended } = run;
    await run.abort({ release: false });
    expect(await ended).toEqual({ failed: ['stream-0'], left: ['stream-0: 2 messages not confirmed'] });
  });
});

describe('a client', () => {
  test('closes with 1000; everything that the server sent before it saw the close comes out', async () => {
    const feed = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    afterTest(() => feed.close());
    await once(feed, 'listening');
    const ends: { code: number; sent: number }[] = [];
    feed.on('connection', (socket) => {
      const closed = Promise.withResolvers<{ code: number; reason: string }>();
      const count = chatter({ socket, closed: closed.promise }, 'feed');
      socket.on('close', (code) => ends.push({ code, sent: count.sent }));
    });
    const run = await startEngine(`
streams:
  - input: { type: websocket, url: "ws://127.0.0.1:${(feed.address() as AddressInfo).port}" }
    output: { type: collect }
`);
    await run.output().count(2000);
    expect(await run.stop()).toEqual({ failed: [], left: [] });
    await until('the server to see the end', () => ends.length === 1);
    expect(ends[0]!.code).toBe(1000);
    expect(byClient(run.output().texts).get('feed')).toEqual(
      Array.from({ length: ends[0]!.sent }, (_, at) => at + 1),
    );
    feed.close();
  });

  test('does not connect again to a server that goes away at the same time', async () => {
    const feed = await new FaultServer().up();
    const run = await startEngine(`
streams:
  - input: { type: websocket, url: "${feed.url}", reconnect: { initial: 1ms } }
    output: { type: collect }
`);
    const peer = await feed.peer(0);
    await run.connected();
    run.drain();
    await until('our close', () => peer.frames.some(({ opcode }) => opcode === opcodes.close));
    peer.socket.write(Buffer.concat([frame('text', 'last words'), closeFrame(1000)]));
    peer.socket.end();
    expect(await run.stop()).toEqual({ failed: [], left: [] });
    expect(run.output().texts).toEqual(['last words']);
    expect(feed.peers).toHaveLength(1);
  });
});

test('streams that feed each other over a WebSocket: all that the first one made comes out of the second', async () => {
  const port = await freePort();
  const run = await startEngine(`
streams:
  - id: hub
    input: { type: websocket, mode: server, host: 127.0.0.1, port: ${port}, codec: { type: json } }
    output: { type: collect, name: hub }
  - id: sensors
    input: { type: generate, context: '{"t":1}', interval: 1ms, batch_size: 10 }
    output: { type: websocket, url: "ws://127.0.0.1:${port}/" }
`);
  await run.output('hub').count(500);
  const outcome = await run.stop();
  expect(outcome).toEqual({ failed: [], left: [] });
  const made = await run.metric('millrace_input_messages_total', 'stream="sensors"');
  expect(run.output('hub').messages).toHaveLength(made);
});

test('an output that cannot be reached holds nothing up if there is no message for it', async () => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0 }
    output: { type: websocket, url: "ws://127.0.0.1:${await freePort()}" }
`);
  await run.logged(/^output failed to connect/);
  expect((await run.stop()).failed).toEqual([]);
});

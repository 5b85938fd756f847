import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { flood } from '../support/flooder.ts';
import { FaultServer, connectClient, send, type Client } from '../support/peers.ts';
import { frame } from '../support/frames.ts';
import { until } from '../support/until.ts';

const MIB = 1024 * 1024;
/** The most that one read of a socket can bring, after which it is not read again. */
const CHUNK = 64 * 1024;

const server = (limits: string, fields = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${fields} }
    output: { type: collect }
    in_flight: { ${limits} }
`;

/** Checks that each sender's messages came once and in order; `sent` is their number. */
function expectEach(texts: readonly string[], sent: readonly number[]): void {
  const next = sent.map(() => 0);
  for (const text of texts) {
    const [sender, number] = text.split(':').map(Number) as [number, number];
    if (number !== next[sender])
      expect.fail(`sender ${sender}: ${number} came where ${next[sender]} was due`);
    next[sender] = number + 1;
  }
  expect(next).toEqual(sent);
}

test('fifty connections flood a stalled output: the budget holds, memory too, the senders wait, and nothing is lost', async () => {
  const [connections, size] = [50, 1000];
  const run = await startEngine(server('messages: 1000, bytes: 1MiB'));
  run.output().hold();
  const before = process.memoryUsage().rss;
  const senders = flood(await run.url(), connections, size);

  await until('every sender to be blocked', async () => (await senders.state()).blocked === connections, {
    timeout: 30_000,
  });
  let highest = { messages: 0, bytes: 0 };
  const stalledUntil = performance.now() + 2000;
  await until('two seconds of stall', async () => {
    const { messages: count, bytes } = await run.inFlight();
    highest = { messages: Math.max(highest.messages, count), bytes: Math.max(highest.bytes, bytes) };
    return performance.now() > stalledUntil;
  });
  // The limit, what may come on top of those that had nothing waiting, and the one chunk that was being parsed then.
  expect(highest.messages).toBeGreaterThanOrEqual(1000);
  expect(highest.messages).toBeLessThanOrEqual(2 * 1000 + CHUNK / size);
  expect(highest.bytes).toBeLessThanOrEqual(2 * MIB + CHUNK);
  expect((await senders.state()).blocked).toBe(connections);
  expect(process.memoryUsage().rss - before).toBeLessThan(100 * MIB);

  const { sent } = await senders.stop();
  run.output().release();
  const total = sent.reduce((sum, each) => sum + each, 0);
  expectEach(await run.output().count(total, 60_000), sent);
  await run.idle();
}, 120_000);

test('connections that were quiet when the others filled the budget are heard again afterwards', async () => {
  const run = await startEngine(server('messages: 10'));
  const url = await run.url();
  const quiet = await Promise.all(Array.from({ length: 20 }, () => connectClient(url)));
  const busy = await connectClient(url);
  for (let round = 0; round < 5; round++) {
    run.output().hold();
    const writes = run.output().writes;
    await send(busy, ...Array.from({ length: 10 }, (_, number) => `busy:${round * 10 + number}`));
    await until('the budget to be full', async () => (await run.inFlight()).messages === 10);
    // One message of each of the quiet ones is taken on top; the others wait in their sockets.
    await Promise.all(quiet.map((client, index) => send(client, `${index}:${round}`)));
    await until('one of each', async () => (await run.inFlight()).messages === 30);
    expect(run.output().writes).toBe(writes + 1);
    run.output().release();
    await run.output().count((round + 1) * 30);
  }
  expect(run.output().texts.filter((text) => !text.startsWith('busy'))).toHaveLength(100);
});

test('over TLS the same holds', async () => {
  const fixture = (name: string): string =>
    fileURLToPath(new URL(`../control/fixtures/${name}.pem`, import.meta.url));
  const tls = `tls: { cert_file: "${fixture('server')}", key_file: "${fixture('server-key')}" }`;
  const run = await startEngine(server('messages: 10', tls));
  const url = await run.url();
  const clients: Client[] = await Promise.all(
    Array.from({ length: 10 }, () => connectClient(url, { rejectUnauthorized: false })),
  );
  run.output().hold();
  await send(clients[0]!, ...Array.from({ length: 10 }, (_, number) => `0:${number}`));
  await until('the budget to be full', async () => (await run.inFlight()).messages === 10);
  await Promise.all(
    clients
      .slice(1)
      .map((client, index) =>
        send(client, ...Array.from({ length: 10 }, (_, number) => `${index + 1}:${number}`)),
      ),
  );
  run.output().release();
  expectEach(
    await run.output().count(100),
    Array.from({ length: 10 }, () => 10),
  );
});

test('a client that connects while the budget is full is accepted, and waits once it has sent a message', async () => {
  const run = await startEngine(server('messages: 1'));
  const url = await run.url();
  run.output().hold();
  await send(await connectClient(url), 'first');
  await until('the budget to be full', async () => (await run.inFlight()).messages === 1);
  const late = await connectClient(url);
  await send(late, 'second');
  await until('it to be taken', async () => (await run.inFlight()).messages === 2);
  await send(late, 'third');
  expect((await run.inFlight()).messages).toBe(2);
  run.output().release();
  expect(await run.output().count(3)).toEqual(['first', 'second', 'third']);
});

test('a client input stops reading its server too', async () => {
  const feed = await new FaultServer().up();
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "${feed.url}" }
    output: { type: collect }
    in_flight: { messages: 1000, bytes: 1MiB }
`);
  run.output().hold();
  const { socket } = await feed.peer(0);
  await run.connected();
  const total = 20_000;
  let number = 0;
  const pour = (): void => {
    while (number < total && socket.write(frame('text', `0:${number++}:`.padEnd(1000, 'x'))));
  };
  socket.on('drain', pour);
  pour();
  await until('the server to be blocked', async () => {
    await run.inFlight();
    return socket.writableNeedDrain && (await run.inFlight()).messages >= 1000;
  });
  expect((await run.inFlight()).messages).toBeLessThanOrEqual(1000 + CHUNK / 1000);
  expect(number).toBeLessThan(total);
  run.output().release();
  expectEach(await run.output().count(total, 30_000), [total]);
});

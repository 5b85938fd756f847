import { once } from 'node:events';
import { expect, test } from 'vitest';
import { startEngine, type Run } from '../support/engine.ts';
import { closeFrame, frame } from '../support/frames.ts';
import { connectClient, rawUpgrade, send, type RawPeer } from '../support/peers.ts';
import { python } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { wsServer } from '../support/ws-server.ts';

const KIB = 1024;
/** One client may fill the budget. */
const ALONE = 'limits: { in_flight_share: 1 }';

/** A server whose output stands still. */
async function held(fields: string, inFlight: string, pings = 'ping_interval: 50ms, ping_timeout: 5s') {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${pings}, ${fields} }
    output: { type: collect }
    in_flight: { ${inFlight} }
`);
  run.output().hold();
  return { run, url: await run.url() };
}

const text = (content: string): Buffer => frame('text', content, { mask: true });
const inFlight = async (run: Run): Promise<number> => (await run.inFlight()).messages;

/** Has one client send so many, that answers pings and stays. */
async function fill(run: Run, url: string, messages: number): Promise<void> {
  await send(await connectClient(url), ...Array.from({ length: messages }, () => 'busy'));
  await until('the budget to be full', async () => (await inFlight(run)) >= messages);
}

test('clients that leave while the output stands still are noticed, and make room for others', async () => {
  const { run, url } = await held('limits: { connections: 20, in_flight_share: 1 }', 'messages: 3');
  await fill(run, url, 3);
  for (let number = 0; number < 30; number++) {
    const client = await until('a place', async () => await connectClient(url).catch(() => undefined));
    await send(client, `message ${number}`);
    // One of each: a close handshake that nobody answers for now, the end of the socket, and a reset.
    if (number % 3 === 0) client.socket.close();
    else if (number % 3 === 1) (await rawUpgradeOrNone(url))?.socket.end(text(`half ${number}`));
    if (number % 3 !== 0) client.socket.terminate();
  }
  // All but the one that filled the budget.
  await run.metricIs(1, 'millrace_connections_open', 'stage="input"');
  await connectClient(url);
  run.output().release();
  const messages = await run.output().count(33);
  for (let number = 0; number < 30; number++) expect(messages).toContain(`message ${number}`);
});

async function rawUpgradeOrNone(url: string): Promise<RawPeer | undefined> {
  const peer = await rawUpgrade(url);
  return peer.head.startsWith('HTTP/1.1 101') ? peer : undefined;
}

test('a client that only listens gets pongs meanwhile, its close is answered, and a deaf one is detected', async () => {
  const { run, url } = await held(ALONE, 'messages: 4', 'ping_interval: 50ms, ping_timeout: 1s');
  await fill(run, url, 4);
  const listening = await connectClient(url);
  const [leaving, deaf] = [await rawUpgrade(url), await rawUpgrade(url)];
  for (let round = 0; round < 5; round++) {
    const pong = once(listening.socket, 'pong');
    listening.socket.ping(`are you there ${round}`);
    expect(String((await pong)[0])).toBe(`are you there ${round}`);
  }
  leaving.socket.write(closeFrame(1000, '', { mask: true }));
  expect(await leaving.closeCode()).toBe(1000);
  await deaf.gone();
  expect(await run.logged(/^connection closed with 1006/)).toMatchObject({ reason: 'no answer to a ping' });
  expect(listening.socket.readyState).toBe(listening.socket.OPEN);
});

test('a Python client that only listens is not cut by its own keepalive', async () => {
  const { run, url } = await held(ALONE, 'messages: 4', 'ping_interval: 1h');
  await fill(run, url, 4);
  const script = `
import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1], ping_interval=0.1, ping_timeout=5) as ws:
        for number in range(5):
            await (await ws.ping())
            print("pong", number, flush=True)
asyncio.run(main())
`;
  const client = python(script, url);
  expect(await client.line(/^pong 4/)).toBe('pong 4');
  await run.metricIs(1, 'millrace_connections_open', 'stage="input"');
});

test('a session without waiting messages is read until it has one, and then waits as well', async () => {
  const { run, url } = await held('', 'messages: 4', 'ping_interval: 0');
  const senders = await Promise.all(Array.from({ length: 10 }, () => rawUpgrade(url)));
  for (const { socket } of senders.slice(0, 4)) socket.write(text('first'));
  await until('the budget to be full', async () => (await inFlight(run)) === 4);
  for (const { socket } of senders) socket.write(text('second'));
  await until('one each', async () => (await inFlight(run)) === 10);
  for (const { socket } of senders) socket.write(text('third'));
  // A session without messages is read: it shows that time has passed, and that the others were not read.
  const later = await rawUpgrade(url);
  later.socket.write(frame('ping', 'now', { mask: true }));
  await until('the pong', () => later.frames.length > 0);
  expect(await inFlight(run)).toBe(10);
  run.output().release();
  await run.output().count(24);
});

test('messages beyond the budget are bounded, and clients that left are still noticed', async () => {
  const { run, url } = await held('', 'bytes: 256KiB');
  const size = 60 * KIB;
  const senders = await Promise.all(Array.from({ length: 60 }, () => rawUpgrade(url)));
  for (const { socket } of senders) socket.write(text('x'.repeat(size)));
  await until('no more to be taken', async () => (await run.inFlight()).bytes >= (256 + 1024) * KIB);
  for (const { socket } of senders) socket.write(text('x'.repeat(size)));
  await until('pings', () => senders.every(({ pings }) => pings >= 3));
  expect((await run.inFlight()).bytes).toBeLessThanOrEqual((256 + 1024) * KIB + size);
  await run.metricIs(60, 'millrace_connections_open', 'stage="input"');
  for (const [index, { socket }] of senders.entries()) {
    if (index % 2 === 0) socket.resetAndDestroy();
    else socket.destroy();
  }
  await run.metricIs(0, 'millrace_connections_open', 'stage="input"');
});

test('a client connection that is held pings its server, and notices when it is gone', async () => {
  const feed = await wsServer();
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "${feed.url}", ping_interval: 50ms, ping_timeout: 5s, reconnect: { initial: 1h, max: 1h } }
    output: { type: collect }
    in_flight: { messages: 1 }
`);
  run.output().hold();
  const { socket } = await feed.connection();
  let pings = 0;
  socket.on('ping', () => pings++);
  socket.send('one');
  socket.send('two');
  await until('pings', () => pings >= 3);
  expect(await run.metric('millrace_connections_open', 'stage="input"')).toBe(1);
  socket.terminate();
  await run.metricIs(0, 'millrace_connections_open', 'stage="input"');
  run.output().release();
  expect(await run.output().count(2)).toEqual(['one', 'two']);
});

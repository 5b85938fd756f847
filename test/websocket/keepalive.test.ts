import { readFileSync } from 'node:fs';
import { connect as connectTls } from 'node:tls';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import { startEngine, type Run } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { FaultServer, connectClient, rawUpgrade, send, upgradeOn, type RawPeer } from '../support/peers.ts';
import { until } from '../support/until.ts';

const fast = 'ping_interval: 50ms, ping_timeout: 100ms';
const fixture = (name: string): string =>
  fileURLToPath(new URL(`../control/fixtures/${name}.pem`, import.meta.url));

const server = (fields: string, more = ''): string => `
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${fields} }
    output: { type: collect, name: ${more === '' ? 'out' : more} }
`;

/** The clock of these tests: as long as it takes to find `times` deaf peers one after the other. */
async function deafPeersFound(run: Run, stream: string, times: number): Promise<void> {
  for (let found = 0; found < times; found++) await (await rawUpgrade(await run.url(stream))).gone();
}

test('a client that goes deaf gets a ping, and is cut when it does not answer; the log says why', async () => {
  const run = await startEngine(`streams: ${server(fast)}`);
  const deaf = await rawUpgrade(await run.url());
  await deaf.gone();
  expect(deaf.pings).toBeGreaterThanOrEqual(1);
  expect(await run.logged(/^connection closed with 1006/)).toMatchObject({ reason: 'no answer to a ping' });
  await run.metricIs(0, 'millrace_connections_open', 'stage="input"');
});

test('a server that goes deaf is left for a new connection', async () => {
  const feed = await new FaultServer().up();
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "${feed.url}", ${fast}, reconnect: { initial: 1ms } }
    output: { type: collect }
`);
  await (await feed.peer(0)).gone();
  (await feed.peer(1)).socket.write(frame('text', 'hello'));
  expect(await run.output().count(1)).toEqual(['hello']);
  const lost = await run.logged(/^input lost its connection/);
  expect(lost.msg).toMatch(/the connection to ws:\/\/[^ ]+ broke \(1006\): no answer to a ping$/);
});

test('a client that is quiet but alive stays', async () => {
  const run = await startEngine(`streams: ${server(fast)}`);
  const client = await connectClient(await run.url());
  let answered = 0;
  client.socket.on('ping', () => answered++);
  await until('ten pings', () => answered >= 10);
  await send(client, 'still here');
  expect(await run.output().count(1)).toEqual(['still here']);
});

test('pings go out at `ping_interval`, without delay', async () => {
  const run = await startEngine(`streams: ${server('ping_interval: 200ms, ping_timeout: 200ms')}`);
  const client = await connectClient(await run.url());
  let pings = 0;
  client.socket.on('ping', () => pings++);
  await until('the first', () => pings >= 1);
  // The clock that they are compared with has the same interval, and is held up by what holds them up.
  let ticks = 0;
  const clock = setInterval(() => ticks++, 200);
  afterTest(() => clearInterval(clock));
  await until('twelve more', () => pings >= 13);
  expect(ticks).toBeGreaterThanOrEqual(8);
  expect(ticks).toBeLessThanOrEqual(13);
});

test('a client that talks gets no ping', async () => {
  const run = await startEngine(`streams: ${server('ping_interval: 300ms, ping_timeout: 300ms')}`);
  const peer = await rawUpgrade(await run.url());
  const talking = setInterval(() => peer.socket.write(frame('text', 'x', { mask: true })), 20);
  afterTest(() => clearInterval(talking));
  await run.output().count(50);
  expect(peer.pings).toBe(0);
});

test.each(['ws', 'wss'])(
  'a peer in the middle of a long frame is not dead, though it cannot answer (%s)',
  async (scheme) => {
    const tls =
      scheme === 'ws'
        ? ''
        : `tls: { cert_file: "${fixture('server')}", key_file: "${fixture('server-key')}" }`;
    const run = await startEngine(`streams: ${server(`${fast}, ${tls}`)}`);
    const url = await run.url();
    const peer = scheme === 'ws' ? await rawUpgrade(url) : await rawSecureUpgrade(url);
    const message = 'x'.repeat(100);
    const bytes = frame('text', message, { mask: true });
    let at = 0;
    // A second in all: six times what a deaf peer gets.
    const drip = setInterval(() => at < bytes.length && peer.socket.write(bytes.subarray(at, ++at)), 10);
    afterTest(() => clearInterval(drip));
    expect(await run.output().count(1)).toEqual([message]);
    expect(peer.socket.destroyed).toBe(false);
  },
);

test('clients that are not read because the output is stalled are not taken for dead', async () => {
  const run = await startEngine(`
streams: ${server(fast, 'stalled')}    in_flight: { messages: 1 }
${server(fast, 'flowing')}`);
  const stalled = run.output('stalled');
  stalled.hold();
  const url = await run.url('stream-0');
  const quiet = await connectClient(url);
  const busy = await connectClient(url);
  await send(busy, 'first', 'second');
  await until('the first write', () => stalled.writes === 1);
  await deafPeersFound(run, 'stream-1', 5);
  expect(await run.metric('millrace_connections_open', 'stream="stream-0"', 'stage="input"')).toBe(2);
  stalled.release();
  await stalled.count(2);
  await send(busy, 'third');
  await stalled.count(3);
  await send(quiet, 'fourth');
  expect(await stalled.count(4)).toEqual(['first', 'second', 'third', 'fourth']);
  // Once it is read again, a deaf one is found again.
  await deafPeersFound(run, 'stream-0', 1);
});

test('`ping_interval: 0` sends no pings and cuts nobody', async () => {
  const run = await startEngine(`streams: ${server('ping_interval: 0')}${server(fast, 'other')}`);
  const peer = await rawUpgrade(await run.url('stream-0'));
  await deafPeersFound(run, 'stream-1', 5);
  expect({ pings: peer.pings, gone: peer.socket.destroyed }).toEqual({ pings: 0, gone: false });
});

async function rawSecureUpgrade(url: string): Promise<RawPeer> {
  const socket = connectTls({
    host: '127.0.0.1',
    port: Number(new URL(url).port),
    ca: readFileSync(fixture('ca')),
  });
  afterTest(() => socket.destroy());
  await once(socket, 'secureConnect');
  return await upgradeOn(socket, url);
}

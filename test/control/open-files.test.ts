import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { exchange, upgradeRequest } from './raw.ts';
import { afterTest } from '../support/cleanup.ts';
import { FaultServer, connectClient, send, type Client } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';
import { serverYaml, victims, type Victim } from '../support/victim.ts';

const { start } = victims();
const dir = tempDir();

const LIMIT = 256;
/** The part that stays free for files: an eighth. */
const RESERVE = LIMIT / 8;

const openFiles = (victim: Victim): number => readdirSync(`/proc/${victim.child.pid}/fd`).length;

async function healthPort(victim: Victim): Promise<number> {
  const { msg } = await victim.logged(/^health on /);
  return Number(new URL(msg.slice('health on '.length)).port);
}

/** Opens connections that say `words` and no more. */
async function silent(port: number, count: number, words = ''): Promise<Socket[]> {
  return await Promise.all(
    Array.from({ length: count }, async () => {
      const socket = connect({ port, host: '127.0.0.1' });
      afterTest(() => socket.destroy());
      socket.on('error', () => {});
      socket.resume();
      await once(socket, 'connect');
      socket.write(words);
      return socket;
    }),
  );
}

const durable = (): string => `
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0 }
    output: { type: stdout }
    durability: { path: ${JSON.stringify(`${dir.path}/log`)}, max_bytes: 1MiB }
`;

test('the process may open as many files as its hard limit allows', async () => {
  const victim = await start(serverYaml(), { openFiles: 300 });
  expect(readFileSync(`/proc/${victim.child.pid}/limits`, 'utf8')).toMatch(/^Max open files\s+300\s+300\s/m);
  expect(await victim.metric('millrace_connections_allowed')).toBeGreaterThan(150);
});

test('connections leave descriptors for the log: more get 503 and are logged, and the stream goes on', async () => {
  const victim = await start(durable(), { openFiles: LIMIT });
  const url = await victim.url();
  const clients: Client[] = [];
  let refusals = 0;
  for (let batch = 0; batch < 15; batch++) {
    const attempts = Array.from({ length: 20 }, () => connectClient(url));
    for (const attempt of await Promise.allSettled(attempts)) {
      if (attempt.status === 'fulfilled') clients.push(attempt.value);
      else refusals++;
    }
  }
  expect(refusals).toBeGreaterThan(0);
  expect(clients.length).toBeGreaterThan(LIMIT / 2);
  await until('those refused to be gone', () => openFiles(victim) <= LIMIT - RESERVE);
  // The one that is refused gets an answer, and the log says why.
  const answer = await exchange(await victim.port(), upgradeRequest('/'));
  expect(answer).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\n(?:.*\r\n)*Retry-After: \d+\r\n/);
  expect(answer).toMatch(/Too many connections\.\n$/);
  await victim.logged(
    /^the process may open 256 files \(ulimit -n\), which leaves \d+ for connections; more get 503/,
  );
  await victim.logged(
    /^connection refused with 503: the process may open 256 files, which leaves \d+ for connections/,
  );
  // More than the log holds: it opens segment after segment.
  const payload = 'x'.repeat(100_000);
  for (let round = 0; round < 30; round++) await send(clients[round]!, `${round}:${payload}`);
  await until('all of them', () => victim.lines.length === 30);
  clients[0]!.socket.close();
  await clients[0]!.closed;
  await until('a place', async () => await connectClient(url).catch(() => undefined));
}, 60_000);

test('connections that say nothing keep neither clients nor the log out', async () => {
  const victim = await start(serverYaml(), { openFiles: LIMIT });
  const port = await victim.port();
  for (let round = 0; round < 4; round++) await silent(port, 100);
  await until('those too many to be cut', () => openFiles(victim) <= LIMIT - RESERVE);
  const client = await connectClient(await victim.url());
  await send(client, 'hello');
  await until('the message', () => victim.lines.includes('hello'));
  expect(client.socket.readyState).toBe(client.socket.OPEN);
});

test.each([
  ['say nothing', ''],
  ['are half open', 'GET /health HTTP/1.1\r\nHost: localhost\r\n'],
  ['have been served', 'GET /liveness HTTP/1.1\r\nHost: localhost\r\n\r\n'],
])('the health port holds only so many connections that %s, and answers', async (_, words) => {
  const victim = await start(serverYaml(), { openFiles: LIMIT });
  const port = await healthPort(victim);
  const before = victim.sockets;
  for (let round = 0; round < 4; round++) await silent(port, 100, words);
  await until('those too many to be cut', () => victim.sockets - before <= LIMIT / 16);
  const answer = await exchange(
    port,
    'GET /liveness HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
  );
  expect(answer).toMatch(/^HTTP\/1\.1 200 OK/);
  await connectClient(await victim.url());
});

test('health answers when connections have taken all that they may', async () => {
  const victim = await start(serverYaml(), { openFiles: LIMIT });
  const url = await victim.url();
  for (let batch = 0; batch < 15; batch++)
    await Promise.allSettled(Array.from({ length: 20 }, () => connectClient(url)));
  expect(await victim.metric('millrace_connections_open', 'stage="input"')).toBeGreaterThan(LIMIT / 2);
});

test('if other parts take all descriptors, the log says so, and clients come in again when some are free', async () => {
  const feed = await new FaultServer().up();
  const urls = Array.from({ length: 120 }, (_, number) => `"${feed.url}?n=${number}"`).join(', ');
  const victim = await start(
    `${serverYaml()}  - input: { type: websocket, url: [${urls}], reconnect: { initial: 10ms, max: 100ms } }\n    output: { type: drop }\n`,
    { openFiles: 120 },
  );
  await victim.logged(/^the process may open 120 files \(ulimit -n\)/);
  // Nobody is left waiting: it is refused, by Millrace or by the system.
  const port = await victim.port();
  const answer = await exchange(port, upgradeRequest('/')).catch(() => '');
  expect(answer).toMatch(/^(?:HTTP\/1\.1 503 |$)/);
  await feed.down();
  const client = await until(
    'a place',
    async () => await connectClient(`ws://127.0.0.1:${port}/`).catch(() => undefined),
  );
  await send(client, 'hello');
  await until('the message', () => victim.lines.includes('hello'));
});

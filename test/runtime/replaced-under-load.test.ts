import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { WebSocketServer, type WebSocket } from 'ws';
import { afterTest } from '../support/cleanup.ts';
import { startEngine, type Run } from '../support/engine.ts';
import { connectClient, freePort, send, type Client } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const dir = tempDir();

const WINDOW = 40;

/** A sender that sends each message until it is acknowledged, over as many connections as it takes. */
class PersistentSender {
  readonly #url: string;
  readonly #waiting: string[];
  readonly #unconfirmed = new Set<string>();
  connections = 0;

  constructor(url: string, name: string, count: number) {
    this.#url = url;
    this.#waiting = Array.from({ length: count }, (_, index) => `${name}-${index}`);
  }

  get left(): number {
    return this.#waiting.length + this.#unconfirmed.size;
  }

  async run(): Promise<void> {
    while (this.left > 0) {
      // Nobody listens for a moment while a stream is replaced.
      const client = await until('a connection', () => connectClient(this.#url).catch(() => undefined));
      this.connections++;
      this.#waiting.unshift(...this.#unconfirmed);
      this.#unconfirmed.clear();
      client.socket.on('message', (data: Buffer) => {
        this.#unconfirmed.delete(data.toString());
        this.#fill(client);
      });
      this.#fill(client);
      await client.closed;
    }
  }

  #fill({ socket }: Client): void {
    if (this.left === 0) socket.close();
    while (this.#unconfirmed.size < WINDOW && this.#waiting.length > 0) {
      const id = this.#waiting.shift()!;
      this.#unconfirmed.add(id);
      socket.send(JSON.stringify({ id }));
    }
  }
}

const acknowledging = (port: number, more = ''): string => `
streams:
  - id: one
    input: { type: websocket, mode: server, host: 127.0.0.1, port: ${port}, path: /in, codec: { type: json }, ack: { id: id, reply: '{{id}}' } }
    output: { type: collect }
    ${more}
`;

const idsOf = (run: Run): string[] => (run.output().values as { id: string }[]).map(({ id }) => id);

/** Replaces the stream whenever some more has come, until it has done so `times` times. */
async function replaceOften(run: Run, yaml: string, times: number, some: number): Promise<void> {
  for (let round = 1; round <= times; round++) {
    await run.output().count(round * some);
    expect(await run.replace(yaml)).toEqual([]);
  }
}

/** Somebody else can listen there. */
async function expectFree(port: number): Promise<void> {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  server.close();
}

test.each([
  ['delivered', ''],
  ['stored in its log', `durability: { enabled: true, path: "${join(dir.path, 'log')}" }`],
])(
  'a stream that is replaced again and again under load loses and doubles nothing that it acknowledges once it is %s',
  async (_, more) => {
    const port = await freePort();
    const yaml = acknowledging(port, more);
    const run = await startEngine(yaml, {}, { keepRunning: true });
    await run.url('one');
    const senders = ['a', 'b', 'c'].map(
      (name) => new PersistentSender(`ws://127.0.0.1:${port}/in`, name, 600),
    );
    const sent = Promise.all(senders.map((sender) => sender.run()));
    await replaceOften(run, yaml, 4, 300);
    await sent;
    await run.output().count(1800);
    await run.idle('one');
    const ids = idsOf(run);
    expect(new Set(ids).size).toBe(1800);
    expect(ids.length).toBe(1800);
    for (const { connections } of senders) expect(connections).toBeGreaterThan(2);
    expect(await run.remove('one')).toBeUndefined();
    await expectFree(port);
    expect((await run.http('/metrics')).text).not.toContain('stream="one"');
  },
);

test('a stream that reads a feed from a cursor, and is replaced again and again, has every message once and in order', async () => {
  const last = 1500;
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  afterTest(() => server.close());
  await once(server, 'listening');
  let connections = 0;
  server.on('connection', (socket: WebSocket, { url }) => {
    connections++;
    let seq = Number(new URL(url!, 'http://localhost').searchParams.get('since'));
    const more = (): void => {
      for (let each = 0; each < 10 && seq < last; each++) socket.send(JSON.stringify({ seq: ++seq }));
      if (socket.readyState === socket.OPEN && seq < last) setImmediate(more);
    };
    more();
  });
  const yaml = `
streams:
  - id: one
    input:
      type: websocket
      url: "ws://127.0.0.1:${(server.address() as AddressInfo).port}/?since={{cursor:-0}}"
      resume: { cursor: seq, path: "${join(dir.path, 'cursors.json')}" }
      reconnect: { initial: 1ms, max: 20ms }
    output: { type: collect }
`;
  const run = await startEngine(yaml, {}, { keepRunning: true });
  await replaceOften(run, yaml, 4, 200);
  await run.output().count(last);
  await run.idle('one');
  const seqs = (run.output().values as { seq: number }[]).map(({ seq }) => seq);
  expect(seqs).toEqual(Array.from({ length: last }, (_, index) => index + 1));
  expect(connections).toBeGreaterThan(2);
  await run.remove('one');
  await until('no connection', () => server.clients.size === 0);
});

test('a stream with open sessions that is removed at once cuts them all, also one that reads nothing, and frees everything', async () => {
  const port = await freePort();
  const run = await startEngine(acknowledging(port), {}, { keepRunning: true });
  await run.url('one');
  const clients = await Promise.all(
    Array.from({ length: 12 }, () => connectClient(`ws://127.0.0.1:${port}/in`)),
  );
  run.output().hold();
  for (const [index, client] of clients.entries()) await send(client, `{"id":"${index}"}`);
  await until('all to be taken in', async () => (await run.inFlight('one')).messages === 12);
  clients[0]!.socket.pause();
  const now = new AbortController();
  const removed = run.remove('one', now.signal);
  now.abort();
  expect(await removed).toBe('one: 12 messages not confirmed');
  clients[0]!.socket.resume();
  await Promise.all(clients.map(({ closed }) => closed));
  await expectFree(port);
  expect((await run.http('/metrics')).text).not.toContain('stream="one"');
  run.output().release();
  // Its id and its path are free.
  expect(await run.add(acknowledging(port))).toEqual([]);
  const next = await connectClient(`ws://127.0.0.1:${port}/in`);
  await send(next, '{"id":"again"}');
  await until('the message', () => idsOf(run).includes('again'));
});

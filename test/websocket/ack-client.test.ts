import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { closeCodeOf, closeFrame, frame } from '../support/frames.ts';
import { FaultServer, type RawPeer } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { python } from '../support/tools.ts';
import { standstill, until } from '../support/until.ts';

const dir = tempDir();

const client = (url: string, ack: string, fields = '', more = ''): string => `
streams:
  - input:
      type: websocket
      url: "${url}"
      ack: ${ack}
      reconnect: { initial: 1ms, max: 20ms }
      ${fields}
    output: { type: collect }
    ${more}
`;

const envelope = `{ id: envelope_id, reply: { envelope_id: "{{id}}" } }`;
const event = (id: string): string => JSON.stringify({ envelope_id: id, payload: { text: 'hello' } });
const ackOf = (id: string): string => JSON.stringify({ envelope_id: id });
const text = (peer: RawPeer, ...words: string[]): void =>
  void peer.socket.write(Buffer.concat(words.map((word) => frame('text', word))));
const live = (server: FaultServer): RawPeer[] => server.peers.filter(({ socket }) => !socket.destroyed);

test('an envelope is answered with its id once the output has it', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(client(server.url, envelope));
  const peer = await server.peer(0);
  run.output().hold();
  text(peer, event('e-1'), event('e-2'));
  await until('the output to be asked', () => run.output().writes > 0);
  expect(peer.texts).toEqual([]);
  run.output().release();
  expect(await peer.count(2)).toEqual([ackOf('e-1'), ackOf('e-2')]);
});

test('after a reconnect the reply goes to the connection on which the message came again', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(client(server.url, envelope, 'dedupe: { key: envelope_id }'));
  const first = await server.peer(0);
  run.output().hold();
  text(first, event('e-1'));
  await until('the output to be asked', () => run.output().writes > 0);
  first.socket.destroy();
  const second = await server.peer(1);
  text(second, event('e-1'), event('e-2'));
  await until('both', async () => (await run.inFlight()).messages === 3);
  expect(second.texts).toEqual([]);
  run.output().release();
  expect((await second.count(2)).toSorted()).toEqual([ackOf('e-1'), ackOf('e-2')]);
  await run.idle();
  expect(run.output().texts).toEqual([event('e-1'), event('e-2')]);
  expect(first.texts).toEqual([]);
  // Messages delivered before are acknowledged at once.
  text(second, event('e-1'));
  expect((await second.count(3))[2]).toBe(ackOf('e-1'));
  expect(run.output().texts).toHaveLength(2);
});

test('messages during `on_open` and beside heartbeats are acknowledged; heartbeats are not', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(
    client(
      server.url,
      `{ reply: 'ack {{id}}' }`,
      `on_open: [{ send: hello }, { expect: welcome }]
      heartbeat: { reply: [{ match: ping, send: pong }], ignore: [tick] }`,
    ),
  );
  const peer = await server.peer(0);
  await peer.count(1);
  text(peer, 'early', 'ping', 'welcome', 'tick', 'late', 'ping');
  await peer.count(5);
  expect(peer.texts.toSorted()).toEqual(['ack 1', 'ack 2', 'hello', 'pong', 'pong']);
  expect(run.output().texts).toEqual(['early', 'late']);
});

test('a server that is silent because it waits for our acknowledgement is not cut', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(
    client(server.url, `{ reply: 'ack {{id}}' }`, 'heartbeat: { silence_timeout: 100ms }'),
  );
  const peer = await server.peer(0);
  run.output().hold();
  text(peer, 'a');
  await until('the output to be asked', () => run.output().writes > 0);
  const waiting = performance.now();
  await until('half a second', () => performance.now() - waiting > 500);
  expect(server.peers).toHaveLength(1);
  run.output().release();
  expect(await peer.count(1)).toEqual(['ack 1']);
  // Then silence counts again.
  await server.peer(1);
});

test('one reply for several, by ids and by number', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(
    client(server.url, `{ id: envelope_id, batch: true, reply: '{"ids":[{{ids}}],"upto":{{sequence}}}' }`),
  );
  const peer = await server.peer(0);
  run.output().hold();
  text(peer, event('e-1'));
  await until('the output to be asked', () => run.output().writes > 0);
  text(peer, event('e-2'), event('e-3'));
  await until('all three', async () => (await run.inFlight()).messages === 3);
  run.output().release();
  const replies = (): { ids: string[]; upto: number }[] =>
    peer.texts.map((each) => JSON.parse(each) as { ids: string[]; upto: number });
  await until('all ids', () => replies().flatMap(({ ids }) => ids).length === 3);
  expect(replies().flatMap(({ ids }) => ids)).toEqual(['e-1', 'e-2', 'e-3']);
  expect(replies().at(-1)!.upto).toBe(3);
  expect(replies().length).toBeLessThan(3);
});

test('a server with `max_unacknowledged` messages is not read until half of them are confirmed', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(client(server.url, `{ reply: 'ack {{id}}', max_unacknowledged: 10 }`));
  const peer = await server.peer(0);
  run.output().hold();
  const payload = 'x'.repeat(100_000);
  for (let index = 0; index < 200; index++) text(peer, payload);
  await until('the limit', async () => (await run.inFlight()).messages >= 10);
  // The rest waits on the server's side.
  await standstill('the server to be held back', () => peer.socket.writableLength);
  // One read of the socket comes on top.
  expect((await run.inFlight()).messages).toBeLessThan(20);
  expect(peer.socket.writableLength).toBeGreaterThan(0);
  run.output().release();
  expect((await peer.count(200)).at(-1)).toBe('ack 200');
});

test('silence that we make ourselves by not reading does not count as the server’s', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(
    client(
      server.url,
      `{ reply: 'ack {{id}}', max_unacknowledged: 1 }`,
      'heartbeat: { silence_timeout: 100ms }\n      ping_interval: 50ms\n      ping_timeout: 50ms',
    ),
  );
  const peer = await server.peer(0);
  run.output().hold();
  text(peer, 'a');
  await until('the output to be asked', () => run.output().writes > 0);
  const held = performance.now();
  await until('half a second', () => performance.now() - held > 500);
  expect(server.peers).toHaveLength(1);
  run.output().release();
  expect(await peer.count(1)).toEqual(['ack 1']);
});

test('with redundancy each connection gets its own acknowledgements, and none before the one that is passed on', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(
    client(server.url, envelope, 'redundancy: 2\n      dedupe: { key: envelope_id }'),
  );
  const [a, b] = [await server.peer(0), await server.peer(1)];
  run.output().hold();
  text(a, event('e-1'));
  await until('the output to be asked', () => run.output().writes > 0);
  text(b, event('e-1'), event('e-2'));
  await until('all three', async () => (await run.inFlight()).messages === 3);
  expect([...a.texts, ...b.texts]).toEqual([]);
  run.output().release();
  expect(await a.count(1)).toEqual([ackOf('e-1')]);
  expect(await b.count(2)).toEqual([ackOf('e-1'), ackOf('e-2')]);
  expect(run.output().texts).toEqual([event('e-1'), event('e-2')]);
});

test('with `resume` the cursor is saved and the message acknowledged', async () => {
  const server = await new FaultServer().up();
  const yaml = client(
    `${server.url}?from={{cursor:-0}}`,
    `{ reply: 'ack {{id}}' }`,
    `resume: { path: "${dir.path}/cursor.json", cursor: seq }`,
  );
  const run = await startEngine(yaml);
  const peer = await server.peer(0);
  text(peer, '{"seq":7}');
  expect(await peer.count(1)).toEqual(['ack 1']);
  peer.socket.destroy();
  expect((await server.peer(1)).target).toBe('/feed?from=7');
  await run.idle();
});

test('a renewed connection is closed when its messages have been acknowledged', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(client(server.url, `{ reply: 'ack {{id}}' }`, 'renew: { on: [again] }'));
  const old = await server.peer(0);
  run.output().hold();
  text(old, 'a');
  await until('the output to be asked', () => run.output().writes > 0);
  text(old, 'again');
  const next = await server.peer(1);
  text(next, 'b');
  await until('both', async () => (await run.inFlight()).messages === 2);
  expect(closeCodeOf(old.frames)).toBeUndefined();
  run.output().release();
  expect(await old.closeCode()).toBe(1000);
  expect(old.texts).toEqual(['ack 1']);
  old.socket.end(closeFrame(1000));
  expect(await next.count(1)).toEqual(['ack 1']);
});

test('at shutdown, messages taken in are acknowledged before the close with 1000', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(client(server.url, envelope));
  const peer = await server.peer(0);
  void peer.closeCode().then(() => peer.socket.end(closeFrame(1000)));
  run.output().hold();
  text(peer, event('e-1'), event('e-2'));
  await until('the output to be asked', () => run.output().writes > 0);
  const ended = run.stop();
  await until('the drain', async () => (await run.http('/readiness')).status === 503);
  expect(closeCodeOf(peer.frames)).toBeUndefined();
  run.output().release();
  expect(await ended).toEqual({ failed: [], left: [] });
  expect(peer.texts).toEqual([ackOf('e-1'), ackOf('e-2')]);
  expect(closeCodeOf(peer.frames)).toBe(1000);
});

test('a failed attempt gets no replies, and harms none', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(
    client(server.url, `{ reply: 'ack {{id}}' }`, 'on_open: [{ expect: welcome, reject: [go] }]'),
  );
  text(await server.peer(0), 'early', 'go');
  await run.output().count(1);
  text(await server.peer(1), 'welcome', 'a');
  expect(await (await server.peer(1)).count(1)).toEqual(['ack 1']);
  await run.idle();
});

/** Serves messages until each is acknowledged; `style` says how that looks. */
const redelivering = `
import asyncio, json, sys
style = sys.argv[1]
total = int(sys.argv[2])
pending = {f"m-{n}": 0 for n in range(total)}
nacked = set()
connections = 0
finished = asyncio.Event()
async def handler(ws):
    global connections
    connections += 1
    number = connections
    async def serve():
        for key in list(pending):
            pending[key] += 1
            if style == "pulsar":
                message = {"messageId": key, "payload": "eyJ2IjoxfQ==", "bad": key.endswith("7") and pending[key] == 1}
            else:
                message = {"envelope_id": key, "payload": {"n": key}}
            await ws.send(json.dumps(message))
    sending = asyncio.ensure_future(serve())
    seen = 0
    try:
        async for reply in ws:
            reply = json.loads(reply)
            if reply.get("type") == "negativeAcknowledge":
                nacked.add(reply["messageId"])
                pending.pop(reply["messageId"], None)
            else:
                pending.pop(reply["messageId" if style == "pulsar" else "envelope_id"], None)
            seen += 1
            if number < 4 and seen == total // 10:
                # Cut in the middle, without a close frame: the rest comes again on the next connection.
                ws.transport.abort()
                break
            if not pending:
                finished.set()
    except websockets.ConnectionClosed:
        pass
    finally:
        sending.cancel()
async def main():
    async with websockets.serve(handler, "127.0.0.1", 0, max_queue=None) as server:
        print("port", server.sockets[0].getsockname()[1])
        await asyncio.wait_for(finished.wait(), 60)
        print("done", connections, len(nacked))
        await asyncio.sleep(60)
asyncio.run(main())
`;

test('a Python server that delivers again until each envelope is acknowledged: none is lost, none comes out twice', async () => {
  const server = python(redelivering, 'envelope', '2000');
  const port = (await server.line(/^port /)).slice('port '.length);
  const run = await startEngine(client(`ws://127.0.0.1:${port}/`, envelope, 'dedupe: { key: envelope_id }'));
  expect(await server.line(/^done/)).toBe('done 4 0');
  await run.idle();
  const ids = (run.output().values as { envelope_id: string }[]).map((value) => value.envelope_id);
  expect(ids).toHaveLength(2000);
  expect(new Set(ids).size).toBe(2000);
});

test('Pulsar’s way: the id of the message, and a negative acknowledgement where it was rejected', async () => {
  const server = python(redelivering, 'pulsar', '300');
  const port = (await server.line(/^port /)).slice('port '.length);
  const run = await startEngine(
    client(
      `ws://127.0.0.1:${port}/`,
      `{ id: messageId, reply: { messageId: "{{id}}" }, reject_reply: { type: negativeAcknowledge, messageId: "{{id}}" } }`,
      'codec: { type: json }',
      `pipeline: { processors: [{ type: sql, query: "SELECT CASE WHEN bad THEN error('bad') ELSE 1 END AS ok, messageId FROM flow" }] }
    error_output: { type: collect, name: errors }`,
    ),
  );
  expect(await server.line(/^done/)).toMatch(/^done 4 \d+$/);
  await run.idle();
  const rejected = run.output('errors').values as { payload: string }[];
  const nacked = Number((await server.line(/^done/)).split(' ')[2]);
  expect(nacked).toBeGreaterThan(0);
  expect(rejected.length).toBeGreaterThanOrEqual(nacked);
});

test('several URLs: each server gets the acknowledgements of its own', async () => {
  const [one, two] = [await new FaultServer().up(), await new FaultServer().up()];
  const run = await startEngine(`
streams:
  - input:
      type: websocket
      url: ["${one.url}", "${two.url}"]
      ack: ${envelope}
    output: { type: collect }
`);
  text(await one.peer(0), event('a'));
  text(await two.peer(0), event('b'));
  expect(await live(one)[0]!.count(1)).toEqual([ackOf('a')]);
  expect(await live(two)[0]!.count(1)).toEqual([ackOf('b')]);
  await run.idle();
});

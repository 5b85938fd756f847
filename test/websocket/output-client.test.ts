import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { FaultServer, connectClient, send } from '../support/peers.ts';
import { python } from '../support/tools.ts';
import { until } from '../support/until.ts';

/** From a WebSocket server input to a WebSocket server elsewhere. */
const relay = (url: string, fields: string): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0 }
    output: { type: websocket, url: "${url}", reconnect: { initial: 1ms, max: 20ms }, ${fields} }
`;

/** Takes a login, then prints the messages; `ping` gets an answer. */
const server = `
import asyncio, sys
async def handler(ws):
    print("open", ws.request.path, ws.request.headers.get("Authorization"))
    await ws.send("welcome")
    if await ws.recv() != '{"login":"me"}':
        return await ws.close(4001, "who?")
    await ws.send('{"logged":"in"}')
    try:
        async for message in ws:
            if message == "ping":
                await ws.send("pong")
            else:
                print("got", message)
    except websockets.ConnectionClosed:
        pass
    print("closed", ws.close_code)
async def main():
    async with websockets.serve(handler, "127.0.0.1", int(sys.argv[1])) as server:
        print("port", server.sockets[0].getsockname()[1])
        await asyncio.Future()
asyncio.run(main())
`;

test('Python’s websockets as the server: it logs in at each connection, keeps alive, and messages wait while it is down', async () => {
  const first = python(server, '0');
  const port = (await first.line(/^port /)).slice('port '.length);
  const run = await startEngine(
    relay(
      `ws://127.0.0.1:${port}/in`,
      'auth: { type: bearer, token: s3cret }, on_open: [ { expect: welcome }, { send: { login: me } }, { expect: { logged: in } } ], heartbeat: { send: ping, interval: 20ms, timeout: 10s }',
    ),
  );
  const client = await connectClient(await run.url());
  await send(client, 'one');
  await first.line(/^got one$/);
  expect(first.lines).toContain('open /in Bearer s3cret');
  first.child.kill('SIGKILL');
  await run.logged(/^output failed to connect/);
  await send(client, 'two', 'three');
  const second = python(server, port);
  await second.line(/^got three$/);
  expect(second.lines.filter((line) => line.startsWith('got'))).toEqual(['got two', 'got three']);
  await run.stop();
  await second.line(/^closed 1000$/);
  expect(JSON.stringify(run.log)).not.toContain('s3cret');
});

test('a server that answers no application ping is left for a new connection', async () => {
  const hub = await new FaultServer().up();
  await startEngine(relay(hub.url, 'heartbeat: { send: { op: ping }, interval: 20ms, timeout: 60ms }'));
  const first = await hub.peer(0);
  await first.gone();
  expect(first.texts[0]).toBe('{"op":"ping"}');
  await hub.peer(1);
});

test('messages of a server that keeps sending are read and dropped, and answered if the file says so', async () => {
  const noise = frame('text', 'x'.repeat(64 * 1024));
  const hub = await new FaultServer((peer) => {
    peer.accept();
    for (let n = 0; n < 500; n++) peer.socket.write(noise);
    peer.socket.write(frame('text', 'ping 1'));
  }).up();
  const run = await startEngine(
    relay(hub.url, 'heartbeat: { reply: [ { match: { regex: "^ping" }, send: pong } ] }'),
  );
  const peer = await hub.peer(0);
  expect(await peer.count(1)).toEqual(['pong']);
  await send(await connectClient(await run.url()), 'data');
  expect(await peer.count(2)).toEqual(['pong', 'data']);
  await until('nothing to be in flight', async () => (await run.inFlight()).messages === 0);
  expect(await run.metric('millrace_input_messages_total')).toBe(1);
  expect(hub.peers).toHaveLength(1);
});

import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { python } from '../support/tools.ts';
import { until } from '../support/until.ts';

test('Python’s websockets as a client: text, binary, fragments, subprotocol, and the close at shutdown', async () => {
  const run = await startEngine(`
streams:
  - input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      path: /in
      protocols: [readings.v1]
      metadata: { headers: [x-device], query: [room] }
    output: { type: collect }
`);
  const client = python(
    `
import asyncio, sys
async def main():
    uri = sys.argv[1] + "?room=lab"
    async with websockets.connect(uri, subprotocols=["readings.v1"], additional_headers={"X-Device": "py-1"}) as ws:
        print("protocol", ws.subprotocol)
        await ws.send("text ä")
        await ws.send(b"\\x00\\xff")
        await ws.send(["frag", "men", "ted"])
        await (await ws.ping())
        print("ponged")
        try:
            await ws.recv()
        except websockets.ConnectionClosed as closed:
            print("closed", closed.code, closed.reason)
asyncio.run(main())
`,
    await run.url(),
  );
  await run.output().count(3);
  const { messages } = run.output();
  expect(messages.map(({ payload }) => Buffer.from(payload).toString('latin1'))).toEqual([
    Buffer.from('text ä').toString('latin1'),
    '\x00\xff',
    'fragmented',
  ]);
  expect(messages.map(({ ext }) => ext['message_type'])).toEqual(['text', 'binary', 'text']);
  expect(messages[0]!.ext).toMatchObject({
    protocol: 'readings.v1',
    'query.room': 'lab',
    'header.x-device': 'py-1',
  });
  await client.line(/^ponged$/);
  await run.stop();
  await client.line(/^closed 1001 going away$/);
  expect(client.lines).toContain('protocol readings.v1');
});

test('Python’s websockets as a client that compresses when it may', async () => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0 }
    output: { type: collect }
`);
  python(
    `
import asyncio, sys
async def main():
    async with websockets.connect(sys.argv[1], compression="deflate") as ws:
        await ws.send("x" * 1000)
asyncio.run(main())
`,
    await run.url(),
  );
  expect(await run.output().count(1)).toEqual(['x'.repeat(1000)]);
});

test('Python’s websockets as a server of an input and of an output; it restarts, and all goes on', async () => {
  const server = `
import asyncio, sys
async def handler(ws):
    print("open", ws.request.path, ws.request.headers.get("X-Client"))
    if ws.request.path == "/feed":
        for n in range(100):
            await ws.send('{"n":%d}' % n)
        await ws.send(b'{"n":100}')
    try:
        async for message in ws:
            print(type(message).__name__, message)
    except websockets.ConnectionClosed:
        pass
    print("closed", ws.request.path, ws.close_code)
async def main():
    async with websockets.serve(handler, "127.0.0.1", int(sys.argv[1])) as server:
        print("port", server.sockets[0].getsockname()[1])
        await asyncio.Future()
asyncio.run(main())
`;
  const first = python(server, '0');
  const port = (await first.line(/^port /)).slice('port '.length);
  const run = await startEngine(`
streams:
  - input:
      type: websocket
      url: "ws://127.0.0.1:${port}/feed"
      headers: { X-Client: millrace }
      codec: { type: json }
      reconnect: { initial: 1ms, max: 20ms }
    pipeline: { processors: [ { type: sql, query: "SELECT n FROM flow WHERE n % 50 = 0" } ] }
    output: { type: websocket, url: "ws://127.0.0.1:${port}/sink", reconnect: { initial: 1ms, max: 20ms } }
`);
  await first.line(/^str {"n":100}$/);
  expect(first.lines.filter((line) => line.startsWith('str'))).toEqual([
    'str {"n":0}',
    'str {"n":50}',
    'str {"n":100}',
  ]);
  expect(first.lines).toContain('open /feed millrace');
  first.child.kill('SIGKILL');
  await run.logged(/^input failed to connect/);
  const second = python(server, port);
  await second.line(/^str {"n":100}$/);
  await run.stop();
  await second.line(/^closed \/feed 1000$/);
  await second.line(/^closed \/sink 1000$/);
  await until('the last row', () => second.lines.filter((line) => line.startsWith('str')).length === 3);
});

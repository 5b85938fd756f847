import { expect, test } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import { startEngine } from '../support/engine.ts';
import { closeFrame, frame } from '../support/frames.ts';
import { FaultServer, rawUpgrade } from '../support/peers.ts';
import { python } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { serverYaml, victims, whileOthersWork } from '../support/victim.ts';

const { start } = victims();
const mask = { mask: true };

test('unfinished close handshakes still end, without pings too; others work', async () => {
  const victim = await start(serverYaml('ping_interval: 0'));
  const sockets = victim.sockets;
  const feed = await new FaultServer((peer) => {
    // It closes, keeps TCP open, and goes on sending.
    peer.accept({ then: closeFrame(4000, 'go away') });
    const drip = setInterval(() => peer.socket.write(frame('text', 'more')), 20);
    peer.socket.once('close', () => clearInterval(drip));
  }).up();
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "${feed.url}", ping_interval: 0, reconnect: { initial: 1ms } }
    output: { type: collect }
`);
  await feed.peer(0);
  await whileOthersWork(victim, async () => {
    const url = await victim.url();
    const drip = async (first: Buffer, then: Buffer): Promise<void> => {
      const peer = await rawUpgrade(url);
      const { socket } = peer;
      // Node would answer the end of the other side with its own.
      socket.allowHalfOpen = true;
      socket.write(first);
      const dripping = setInterval(() => socket.write(then), 20);
      afterTest(() => clearInterval(dripping));
      // Once the other side has let go of the socket, data is answered with a reset.
      await until('the socket to be let go', () => socket.destroyed, { timeout: 25_000 });
    };
    await Promise.all([
      // Closes, and goes on: with garbage, with messages, with pings.
      drip(closeFrame(1000, '', mask), Buffer.from('x')),
      drip(closeFrame(1000, '', mask), frame('text', 'bad', mask)),
      // Is told that it broke the protocol, and goes on.
      drip(frame('text', 'x', { mask: false }), frame('ping', '', mask)),
      drip(frame('continuation', '', mask), Buffer.from('x')),
    ]);
    // The client input has left its server, and found it again.
    await until('another connection', () => feed.peers.length > 1, { timeout: 25_000 });
  });
  await run.logged(/^connection closed with 4000/);
  await victim.metricIs(0, 'millrace_connections_open', 'stage="input"');
  await until('the sockets to be closed', () => victim.sockets === sockets);
}, 60_000);

test('a client and a server whose processes are stopped are noticed, and noticed again when they continue', async () => {
  const fast = 'ping_interval: 100ms, ping_timeout: 300ms';
  const server = python(`
import asyncio
async def feed(ws):
    await ws.send("hello")
    await ws.wait_closed()
async def main():
    async with websockets.serve(feed, "127.0.0.1", 0) as server:
        print("port", list(server.sockets)[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()
asyncio.run(main())
`);
  const port = (await server.line(/^port /)).slice(5);
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "ws://127.0.0.1:${port}/", ${fast}, timeout: 300ms, reconnect: { initial: 10ms, max: 50ms } }
    output: { type: collect }
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${fast} }
    output: { type: collect, name: clients }
`);
  await run.output().count(1);
  const client = python(
    `
import asyncio, sys
async def main():
    async with websockets.connect(sys.argv[1]) as ws:
        await ws.send("here")
        try:
            await ws.recv()
        except websockets.ConnectionClosed:
            print("lost", flush=True)
asyncio.run(main())
`,
    await run.url('stream-1'),
  );
  await run.output('clients').count(1);
  for (const { child } of [server, client]) child.kill('SIGSTOP');
  const lost = /no answer to a ping/;
  await run.logged(
    /^connection closed with 1006/,
    (line) => line.stream === 'stream-0' && lost.test(line.msg),
  );
  await run.logged(
    /^connection closed with 1006/,
    (line) => line.stream === 'stream-1' && lost.test(line.msg),
  );
  await run.metricIs(0, 'millrace_connections_open', 'stream="stream-1"');
  for (const { child } of [server, client]) child.kill('SIGCONT');
  await client.line(/^lost/);
  expect(await run.output().count(2)).toEqual(expect.arrayContaining(['hello', 'hello']));
});

test('two hundred resets, in the head, in a frame, in a close: nothing is left open, others work', async () => {
  const victim = await start(serverYaml());
  const sockets = victim.sockets;
  await whileOthersWork(victim, async () => {
    const url = await victim.url();
    const pieces = [
      Buffer.alloc(0),
      frame('text', 'half', { ...mask, declared: 100 }),
      frame('binary', 'x'.repeat(100_000), { ...mask, declared: 1_000_000 }),
      frame('text', 'part', { ...mask, fin: false }),
      closeFrame(1000, '', mask),
      frame('ping', 'x', mask),
    ];
    for (let round = 0; round < 5; round++) {
      await Promise.all(
        Array.from({ length: 40 }, async (_, index) => {
          const peer = await rawUpgrade(url);
          peer.socket.write(pieces[index % pieces.length]!, () => peer.socket.resetAndDestroy());
        }),
      );
    }
  });
  await victim.metricIs(0, 'millrace_connections_open', 'stage="input"');
  await until('the sockets to be closed', () => victim.sockets === sockets);
  expect(victim.lines.filter((line) => !line.startsWith('good'))).toEqual([]);
});

import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { connectClient, freePort, send } from '../support/peers.ts';
import { until } from '../support/until.ts';

const PINO_WARN = 40;

test('servers of a file listen before its clients connect, wherever they stand in it', async () => {
  const port = await freePort();
  const run = await startEngine(`
streams:
  - id: sender
    input: { type: memory, messages: [one, two] }
    output: { type: websocket, url: "ws://127.0.0.1:${port}/in" }
  - id: reader
    input: { type: websocket, url: "ws://127.0.0.1:${port}/in", on_open: [ { send: three } ] }
    output: { type: drop }
  - id: server
    input:
      type: multiple_inputs
      inputs:
        - { type: websocket, mode: server, host: 127.0.0.1, port: ${port}, path: /in }
    output: { type: collect }
`);
  expect((await run.output().count(3)).toSorted()).toEqual(['one', 'three', 'two']);
  expect(run.log.filter(({ level }) => level >= PINO_WARN)).toEqual([]);
});

test('a server that cannot listen does not keep the clients waiting', async () => {
  const hub = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0 }
    output: { type: collect }
`);
  const url = await hub.url();
  const { port } = new URL(url);
  const run = await startEngine(`
streams:
  - { id: taken, input: { type: websocket, mode: server, host: 127.0.0.1, port: ${port} }, output: { type: drop } }
  - { id: sender, input: { type: memory, messages: [one] }, output: { type: websocket, url: "${url}" } }
`);
  await run.logged(/address is in use/, ({ stream }) => stream === 'taken');
  expect(await hub.output().count(1)).toEqual(['one']);
});

test('a port that is in use is tried again, and readiness says so until it is free', async () => {
  const blocker = createServer().listen(0, '127.0.0.1');
  await once(blocker, 'listening');
  const { port } = blocker.address() as AddressInfo;
  const run = await startEngine(`
streams:
  - { id: in, input: { type: websocket, mode: server, host: 127.0.0.1, port: ${port} }, output: { type: collect } }
  - { id: out, input: { type: websocket, url: "ws://127.0.0.1:${port}/" }, output: { type: websocket, mode: server, url: "127.0.0.1:${port}", path: /out } }
`);
  const both = await until('both to say so', async () => {
    const { status, text } = await run.http('/readiness');
    return (text.match(/address is in use/g) ?? []).length >= 2 && { status, text };
  });
  expect(both.status).toBe(503);
  expect(both.text).toContain('input websocket is not connected: cannot listen on 127.0.0.1:');
  expect(both.text).toContain('output websocket is not connected: cannot listen on 127.0.0.1:');
  blocker.close();
  await send(
    await until(
      'the port',
      async () => await connectClient(`ws://127.0.0.1:${port}/`).catch(() => undefined),
    ),
    'hello',
  );
  expect(await run.output().count(1)).toEqual(['hello']);
  await until('readiness', async () => (await run.http('/readiness')).status === 200);
});

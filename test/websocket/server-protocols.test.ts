import { expect, test } from 'vitest';
import { configMistakes, startEngine } from '../support/engine.ts';
import { connectClient, rawUpgrade, send } from '../support/peers.ts';
import { python } from '../support/tools.ts';
import { exchange, upgradeRequest } from '../control/raw.ts';

const server = (fields: string): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${fields} }
    output: { type: collect }
`;

const required = 'protocols: [v2.json, v1.json], protocol_required: true';
const offering = (offer: string): string =>
  upgradeRequest('/', `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: ${offer}\r\n`);

test('a client that offers none of them, or nothing, gets 400 with the expected ones, and no subprotocol', async () => {
  const run = await startEngine(server(required));
  const port = await run.port();
  for (const request of [upgradeRequest('/'), offering('v3.json'), offering('v3.json, V2.JSON')]) {
    const answer = await exchange(port, request);
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    const [head, body] = answer.split('\r\n\r\n') as [string, string];
    expect(body).toBe('expected one of these subprotocols in Sec-WebSocket-Protocol: v2.json, v1.json\n');
    expect(head).not.toMatch(/sec-websocket-protocol/i);
  }
  await run.metricIs(3, 'millrace_connections_refused_total', 'status="400"', 'stage="input"');
});

test('the server picks from a client’s offers by its own order, and the choice is metadata', async () => {
  const run = await startEngine(server(required));
  const client = await connectClient(await run.url(), { protocols: ['v1.json', 'v9', 'v2.json'] });
  expect(client.socket.protocol).toBe('v2.json');
  await send(client, 'hello');
  await run.output().count(1);
  expect(run.output().messages[0]!.ext['protocol']).toBe('v2.json');
});

test('a Python client agrees on one, and is turned away without one', async () => {
  const run = await startEngine(server(required));
  const script = `
import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1], subprotocols=["v1.json"]) as ws:
        print("agreed on", ws.subprotocol)
    try:
        async with websockets.connect(sys.argv[1], subprotocols=["other"]) as ws:
            print("connected")
    except Exception as error:
        print("refused:", error)
asyncio.run(main())
`;
  const client = python(script, await run.url());
  expect(await client.line(/^agreed/)).toBe('agreed on v1.json');
  expect(await client.line(/^(refused|connected)/)).toMatch(/^refused: .*400/);
});

test('if they are only preferred, other clients connect without one', async () => {
  const run = await startEngine(server('protocols: [v2.json]'));
  const peer = await rawUpgrade(await run.url(), { 'Sec-WebSocket-Protocol': 'v3.json' });
  expect(peer.head).toMatch(/^HTTP\/1\.1 101 /);
  expect(peer.header('sec-websocket-protocol')).toBeUndefined();
});

test('a huge list of subprotocols is one too large header, and one that fits is looked through', async () => {
  const run = await startEngine(server(required));
  const names = (count: number): string =>
    Array.from({ length: count }, (_, index) => `p${index}`).join(', ');
  expect(await exchange(await run.port(), offering(names(10_000)))).toMatch(/^HTTP\/1\.1 431 /);
  const peer = await rawUpgrade(await run.url(), { 'Sec-WebSocket-Protocol': `${names(1000)}, v1.json` });
  expect(peer.header('sec-websocket-protocol')).toBe('v1.json');
});

test('names twice and malformed lists get 400', async () => {
  const run = await startEngine(server('protocols: [a]'));
  for (const offer of ['a, a', 'a,,b', 'a b', ',']) {
    expect(await exchange(await run.port(), offering(offer)), offer).toMatch(/^HTTP\/1\.1 400 /);
  }
});

test('a template, which nothing fills in here, is a mistake at load', () => {
  const mistakes = configMistakes(
    '- input: { type: websocket, mode: server, port: 0, protocols: [a, "b.{{now_s}}"] }\n  output: { type: collect }\n',
  );
  expect(mistakes).toEqual(['[0].input.protocols[1]: only a client’s subprotocols can hold templates']);
});

test('`protocol_required` without `protocols` is a mistake at load', () => {
  expect(configMistakes(server('protocol_required: true'))).toEqual([
    expect.stringMatching(/protocol_required: needs `protocols`/),
  ]);
});

import { describe, expect, test } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import { configMistakes, startEngine } from '../support/engine.ts';
import { closeFrame, frame, opcodes } from '../support/frames.ts';
import { connectClient, rawUpgrade, send } from '../support/peers.ts';
import { python } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { exchange, rawClient, upgradeRequest } from '../control/raw.ts';

const server = (drain: string, more = ''): string => `
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${drain} }
    output: { type: collect }
${more}`;

const numbered = (count: number): string[] => Array.from({ length: count }, (_, number) => String(number));

describe('the close code', () => {
  test.each([
    ['', 1001, 'going away'],
    ['drain: { code: 1012 }', 1012, 'service restart'],
  ])('with “%s” is %i', async (drain, code, reason) => {
    const run = await startEngine(`streams: ${server(drain)}`);
    const client = await connectClient(await run.url());
    await run.stop();
    expect(await client.closed).toEqual({ code, reason });
  });

  test('a Python client sees 1012', async () => {
    const run = await startEngine(`streams: ${server('drain: { code: 1012 }')}`);
    const script = `
import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1]) as ws:
        print("connected")
        try:
            await ws.recv()
        except websockets.ConnectionClosed as error:
            print("closed", error.rcvd.code, error.rcvd.reason)
asyncio.run(main())
`;
    const client = python(script, await run.url());
    await client.line(/^connected/);
    await run.stop();
    expect(await client.line(/^closed/)).toBe('closed 1012 service restart');
  });

  test('another code, no time, and more time than a shutdown has are mistakes at load', () => {
    expect(configMistakes(`streams: ${server('drain: { code: 1000 }')}`)).toEqual([
      expect.stringMatching(/drain\.code: /),
    ]);
    expect(configMistakes(`streams: ${server('drain: { timeout: 0s }')}`)).toEqual([
      expect.stringMatching(/drain\.timeout: /),
    ]);
    // `millrace run` ends 30 seconds after the signal, whatever a component would wait for.
    expect(configMistakes(`streams: ${server('drain: { timeout: 31s }')}`)).toEqual([
      expect.stringMatching(/drain\.timeout: .*expected at most 30s/),
    ]);
  });
});

test('a client that does not answer the close within `timeout` is cut; messages that it sent until then come out', async () => {
  const run = await startEngine(`streams: ${server('drain: { timeout: 1s }')}`);
  const silent = await rawUpgrade(await run.url());
  run.drain();
  expect(await silent.closeCode()).toBe(1001);
  silent.socket.write(frame('text', 'last words', { mask: true }));
  expect(await run.stop()).toEqual({ failed: [], left: [] });
  await silent.gone();
  expect(run.output().texts).toEqual(['last words']);
});

test('a client that has answered the close is not waited for, though it keeps its side of the connection open', async () => {
  const run = await startEngine(
    `streams: ${server('drain: { timeout: 3s }', server('drain: { timeout: 3s }'))}`,
  );
  const port = await run.port('stream-0');
  const answering = await rawClient(port, '127.0.0.1', true);
  afterTest(() => answering.socket.destroy());
  answering.socket.write(upgradeRequest('/'));
  await answering.until(/\r\n\r\n/);
  const deaf = await rawUpgrade(await run.url('stream-1'));
  run.drain();
  await answering.until(/going away/);
  answering.socket.write(closeFrame(1001, '', { mask: true }));
  await run.ended;
  await deaf.gone();
  // Only the one that has not answered had its time to do so.
  expect(run.log.filter(({ msg }) => msg === 'stream ended').map(({ stream }) => stream)).toEqual([
    'stream-0',
    'stream-1',
  ]);
});

describe('if an output replies', () => {
  const echo = (drain: string, more = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${drain} }
    output: { type: websocket, mode: reply }
${more}`;

  test('messages taken in are answered before the close, and none that follow are lost', async () => {
    const run = await startEngine(echo(''));
    const url = await run.url();
    const clients = await Promise.all(Array.from({ length: 10 }, () => connectClient(url)));
    const received = clients.map(() => 0);
    for (const [index, { socket }] of clients.entries()) socket.on('message', () => received[index]!++);
    for (const client of clients) for (const text of numbered(200)) client.socket.send(text);
    await until('the first answers', () => received.every((count) => count > 0));
    run.drain();
    const closed = await Promise.all(clients.map((client) => client.closed));
    expect(await run.stop()).toEqual({ failed: [], left: [] });
    expect(closed.map(({ code }) => code)).toEqual(Array(10).fill(1001));
    const taken = await run.metric('millrace_input_messages_total');
    const refused = await run.metric('millrace_dead_letters_total', 'MILLRACE_SESSION_CLOSED');
    expect(received.reduce((sum, each) => sum + each, 0) + refused).toBe(taken);
  });

  test('a client gets its answer, though it takes a while, and then the close', async () => {
    const run = await startEngine(
      echo('', '    pipeline: { processors: [ { type: batch, count: 1000, timeout_ms: 1500 } ] }'),
    );
    const peer = await rawUpgrade(await run.url());
    peer.socket.write(frame('text', 'question', { mask: true }));
    await run.metricIs(1, 'millrace_input_messages_total');
    run.drain();
    expect(await exchange(await run.port(), upgradeRequest('/'))).toMatch(/^HTTP\/1\.1 503 /);
    expect(await peer.closeCode()).toBe(1001);
    peer.socket.write(closeFrame(1001, '', { mask: true }));
    expect(await run.stop()).toEqual({ failed: [], left: [] });
    expect(peer.texts).toEqual(['question']);
    expect(peer.frames.map(({ opcode }) => opcode)).toEqual([opcodes.text, opcodes.close]);
  });

  test('an answer that takes longer than `timeout` is not waited for', async () => {
    const run = await startEngine(`
streams:
  - input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      ack: { reply: done }
      drain: { timeout: 300ms }
    output: { type: collect }
`);
    run.output().hold();
    const client = await connectClient(await run.url());
    await send(client, 'question');
    await until('the write', () => run.output().writes === 1);
    const stopped = run.stop();
    expect((await client.closed).code).toBe(1001);
    run.output().release();
    expect(await stopped).toEqual({ failed: [], left: [] });
  });

  test('clients that leave meanwhile are not waited for', async () => {
    const run = await startEngine(echo('drain: { timeout: 30s }'));
    const client = await connectClient(await run.url());
    const answers: string[] = [];
    client.socket.on('message', (data) => answers.push((data as Buffer).toString()));
    await send(client, 'question');
    await until('the answer', () => answers.length === 1);
    client.socket.close();
    await client.closed;
    expect(await run.stop()).toEqual({ failed: [], left: [] });
    // A drain that waits for them is not done in this time.
  }, 25_000);
});

test('if another stream sends to the sessions, they stay open until their own messages are confirmed', async () => {
  const run = await startEngine(`
streams:
  - id: in
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /chat }
    output: { type: collect }
  - id: news
    input: { type: generate, context: news, interval: 1h }
    output: { type: websocket, mode: server, path: /chat }
`);
  const client = await connectClient(await run.url('in'));
  run.output().hold();
  await send(client, 'hello');
  await until('the write', () => run.output().writes === 1);
  let closed = false;
  void client.closed.then(() => (closed = true));
  run.drain();
  await until('the drain', async () => (await run.http('/readiness')).text.includes('draining'));
  // Nothing is sent while the message is in flight; the keepalive and the refusals go on.
  expect(await exchange(await run.port('in'), upgradeRequest('/chat'))).toMatch(/^HTTP\/1\.1 503 /);
  expect(closed).toBe(false);
  run.output().release();
  expect((await client.closed).code).toBe(1001);
  expect(await run.stop()).toEqual({ failed: [], left: [] });
});

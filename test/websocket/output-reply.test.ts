import { describe, expect, test } from 'vitest';
import { configMistakes, startEngine, type Run } from '../support/engine.ts';
import { FaultServer, connectClient, rawUpgrade, send, type Client } from '../support/peers.ts';
import { closeFrame, frame, opcodes } from '../support/frames.ts';
import { python } from '../support/tools.ts';
import { until } from '../support/until.ts';

const echo = (options: { output?: string; input?: string; stream?: string } = {}): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${options.input ?? ''} }
    ${options.stream ?? ''}
    output: { type: websocket, mode: reply, ${options.output ?? ''} }
    error_output: { type: collect }
`;

/** The texts that a client gets. */
function received({ socket }: Client): string[] {
  const texts: string[] = [];
  socket.on('message', (data: Buffer) => texts.push(data.toString()));
  return texts;
}

interface Letter {
  readonly payload: string;
  readonly error: { readonly code: string; readonly message: string; readonly stage: string };
}
const letters = (run: Run): Letter[] => run.output().values as Letter[];

describe('each message is answered where it came from', () => {
  test('Python’s websockets, three at a time: each gets its own answers, in order, in the kind of frame that it sent', async () => {
    const run = await startEngine(echo());
    const client = `
import asyncio, sys
async def main():
    async with websockets.connect(sys.argv[1], compression=None) as ws:
        for n in range(300):
            await ws.send(sys.argv[2] + str(n))
        await ws.send(sys.argv[2].encode())
        got = [await ws.recv() for _ in range(301)]
        print("right" if got == [sys.argv[2] + str(n) for n in range(300)] + [sys.argv[2].encode()] else got)
asyncio.run(main())
`;
    const url = await run.url();
    const clients = ['a', 'b', 'c'].map((name) => python(client, url, name));
    for (const each of clients) expect(await each.line(/./)).toBe('right');
  });

  test.each([
    [
      'SELECT * and more',
      'pipeline: { processors: [ { type: sql, query: "SELECT *, n + 1 AS next FROM flow" } ] }',
    ],
    [
      '__meta_ext',
      'pipeline: { processors: [ { type: sql, query: "SELECT n, n + 1 AS next, __meta_ext FROM flow" } ] }',
    ],
    [
      'an aggregate for each session',
      'pipeline: { processors: [ { type: sql, query: "SELECT max(n) AS n, max(n) + 1 AS next, any_value(__meta_ext) AS __meta_ext FROM flow GROUP BY __meta_ext[\'session_id\']" } ] }',
    ],
    [
      'Arrow and back, batches, and a window',
      'buffer: { type: tumbling_window, interval: 10ms }, pipeline: { thread_num: 4, processors: [ { type: json_to_arrow }, { type: arrow_to_json }, { type: batch, count: 2, timeout_ms: 10 }, { type: sql, query: "SELECT *, n + 1 AS next FROM flow" } ] }',
    ],
  ])('through %s', async (_, stream) => {
    const [buffer, pipeline] = stream.startsWith('buffer') ? stream.split(/, (?=pipeline)/) : ['', stream];
    const run = await startEngine(
      echo({ input: 'codec: { type: json }', stream: [buffer, pipeline].join('\n    ') }),
    );
    const clients = await Promise.all([1, 2, 3].map(async () => connectClient(await run.url())));
    const texts = clients.map(received);
    for (const [n, client] of clients.entries()) await send(client, `{"n":${n}}`);
    await until('an answer for each', () => texts.every((each) => each.length === 1));
    expect(texts.map(([text]) => JSON.parse(text!) as unknown)).toEqual([
      { n: 0, next: 1 },
      { n: 1, next: 2 },
      { n: 2, next: 3 },
    ]);
    expect(letters(run)).toEqual([]);
  });

  test('on the connection of an input in client mode: a bot', async () => {
    const server = python(
      `
import asyncio
async def handler(ws):
    await ws.send('{"ask": 20}')
    print("answer", await ws.recv())
    await ws.send('{"ask": 21}')
    print("answer", await ws.recv())
async def main():
    async with websockets.serve(handler, "127.0.0.1", 0) as server:
        print("port", server.sockets[0].getsockname()[1])
        await asyncio.Future()
asyncio.run(main())
`,
    );
    const port = (await server.line(/^port /)).slice('port '.length);
    await startEngine(`
streams:
  - input: { type: websocket, url: "ws://127.0.0.1:${port}", codec: { type: json } }
    pipeline: { processors: [ { type: sql, query: "SELECT ask * 2 AS answer, __meta_ext FROM flow" } ] }
    output: { type: websocket, mode: reply }
`);
    await server.line(/^answer {"answer":40}$/);
    await server.line(/^answer {"answer":42}$/);
  });

  test('at a stop everybody gets the answers to the messages taken in, and then the close', async () => {
    const run = await startEngine(echo());
    const clients = await Promise.all([1, 2, 3].map(async () => connectClient(await run.url())));
    const texts = clients.map(received);
    const messages = Array.from({ length: 2000 }, (_, number) => String(number));
    for (const client of clients) await send(client, ...messages);
    await run.metricIs(6000, 'millrace_input_messages_total');
    expect(await run.stop()).toEqual({ failed: [], left: [] });
    expect(await Promise.all(clients.map(async ({ closed }) => (await closed).code))).toEqual([
      1001, 1001, 1001,
    ]);
    expect(texts).toEqual([messages, messages, messages]);
  });

  test('a bot answers the messages that it has taken in before it closes', async () => {
    const questions = Array.from({ length: 1000 }, (_, number) => String(number));
    const hub = await new FaultServer((peer) => {
      peer.accept({ then: Buffer.concat(questions.map((text) => frame('text', text))) });
    }).up();
    const run = await startEngine(`
streams:
  - input: { type: websocket, url: "${hub.url}" }
    pipeline: { processors: [ { type: batch, count: 400, timeout_ms: 300 } ] }
    output: { type: websocket, mode: reply }
    error_output: { type: collect }
`);
    const peer = await hub.peer(0);
    await run.metricIs(1000, 'millrace_input_messages_total');
    const stopped = run.stop();
    expect(await peer.closeCode()).toBe(1000);
    peer.socket.end(closeFrame(1000));
    expect(await stopped).toEqual({ failed: [], left: [] });
    expect(peer.texts).toEqual(questions);
    expect(letters(run)).toEqual([]);
  });
});

describe('messages that cannot be answered', () => {
  test('a session that has gone: its messages are rejected, and not tried again; the others get theirs', async () => {
    // Pairs are held until they are complete, so that the first can go before it is answered.
    const run = await startEngine(
      echo({ stream: 'pipeline: { processors: [ { type: batch, count: 2, timeout_ms: 60000 } ] }' }),
    );
    const gone = await connectClient(await run.url());
    await send(gone, 'from the one who goes');
    await run.metricIs(1, 'millrace_input_messages_total');
    gone.socket.close();
    await run.metricIs(0, 'millrace_connections_open', 'stage="input"');
    const here = await connectClient(await run.url());
    const texts = received(here);
    await send(here, 'from the one who stays');
    await until('the answer', () => texts.length === 1);
    expect(texts).toEqual(['from the one who stays']);
    await run.output().count(1);
    expect(letters(run)[0]).toMatchObject({
      payload: 'from the one who goes',
      error: { code: 'MILLRACE_SESSION_CLOSED', stage: 'output' },
    });
    expect(letters(run)[0]!.error.message).toMatch(/^session [0-9a-f-]{36} is no longer open$/);
    await run.idle();
  });

  test.each([
    [
      'an input that is no WebSocket',
      '{ type: generate, context: "{\\"a\\":1}", interval: 1s, count: 1 }',
      '',
    ],
    [
      'a query that leaves it out',
      '{ type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json } }',
      'pipeline: { processors: [ { type: sql, query: "SELECT a FROM flow" } ] }',
    ],
  ])('no session_id: %s', async (_, input, pipeline) => {
    const run = await startEngine(`
streams:
  - input: ${input}
    ${pipeline}
    output: { type: websocket, mode: reply }
    error_output: { type: collect }
`);
    if (pipeline !== '') await send(await connectClient(await run.url()), '{"a":1}');
    await run.output().count(1);
    expect(letters(run)[0]).toMatchObject({ payload: '{"a":1}', error: { code: 'MILLRACE_OUTPUT_REFUSED' } });
    expect(letters(run)[0]!.error.message).toContain('no session_id in its __meta_ext');
  });
});

describe('a session that does not read its answers', () => {
  const big = 'x'.repeat(256 * 1024);
  const fast = 'limits: { outgoing_bytes: 64KiB }';

  test('disconnect: closed with 1008 after slow_timeout, its answers rejected; the others go on', async () => {
    const run = await startEngine(echo({ input: fast, output: 'slow_timeout: 100ms' }));
    const stalled = await rawUpgrade(await run.url());
    stalled.socket.pause();
    const other = await connectClient(await run.url());
    const texts = received(other);
    // 64 times 256 KiB is more than the system takes for a peer that does not read.
    for (let n = 0; n < 64; n++) stalled.socket.write(frame('text', big, { mask: true }));
    await until('its end', () => run.log.some(({ msg }) => /closed with 1008 too slow/.test(msg)), {
      timeout: 20_000,
    });
    await send(other, 'still here?');
    await until('the answer', () => texts.length === 1);
    await run.idle();
    expect(letters(run).length).toBeGreaterThan(0);
    for (const { error } of letters(run)) expect(error.code).toBe('MILLRACE_SESSION_CLOSED');
  }, 60_000);

  test('block: everything waits until it reads', async () => {
    const run = await startEngine(echo({ input: fast, output: 'slow_consumer: block' }));
    const slow = await rawUpgrade(await run.url());
    slow.socket.pause();
    for (let n = 0; n < 64; n++) slow.socket.write(frame('text', big, { mask: true }));
    await until('answers to wait', async () => (await run.inFlight()).messages > 0);
    slow.socket.resume();
    await slow.count(64);
    expect(letters(run)).toEqual([]);
  }, 60_000);

  test('drop_oldest: it misses answers, and others do not wait for it', async () => {
    const run = await startEngine(echo({ input: fast, output: 'slow_consumer: drop_oldest' }));
    const slow = await rawUpgrade(await run.url());
    slow.socket.pause();
    for (let n = 0; n < 64; n++) slow.socket.write(frame('text', `${n} ${big}`, { mask: true }));
    await run.metricIs(64, 'millrace_output_messages_total');
    const dropped = await run.metric('millrace_messages_dropped_total', 'reason="slow_consumer"');
    expect(dropped).toBeGreaterThan(0);
    slow.socket.resume();
    const texts = await slow.count(64 - dropped);
    expect(texts.at(-1)).toBe(`63 ${big}`);
    expect(letters(run)).toEqual([]);
  }, 60_000);

  test('one that is cut in the middle of an answer: that answer is rejected', async () => {
    const hub = await new FaultServer((peer) => {
      peer.accept().socket.pause();
      for (let n = 0; n < 64; n++) peer.socket.write(frame('text', big));
    }).up();
    const run = await startEngine(`
streams:
  - input: { type: websocket, url: "${hub.url}", reconnect: { initial: 1h, max: 1h } }
    output: { type: websocket, mode: reply, slow_consumer: block }
    error_output: { type: collect }
`);
    const peer = await hub.peer(0);
    await until('answers to wait', async () => (await run.inFlight()).messages > 0);
    peer.socket.resetAndDestroy();
    await run.idle();
    expect(letters(run).length).toBeGreaterThan(0);
    for (const { error } of letters(run)) expect(error.code).toBe('MILLRACE_SESSION_CLOSED');
  }, 60_000);
});

test('text frames are text, where the message was binary and a codec has made JSON of it', async () => {
  const run = await startEngine(echo({ input: 'codec: { type: json }' }));
  const peer = await rawUpgrade(await run.url());
  peer.socket.write(frame('binary', '{"a":1}', { mask: true }));
  await peer.count(1);
  expect(peer.messages[0]).toEqual({ opcode: opcodes.text, payload: Buffer.from('{"a":1}') });
});

test.each([
  ['url: "ws://h"', 'url', '`mode: client` and `mode: server`'],
  ['port: 1', 'port', '`mode: server`'],
  ['path: /a', 'path', '`mode: server`'],
  ['headers: { a: b }', 'headers', '`mode: client`'],
  ['match: { subject: a }', 'match', '`mode: server`'],
  ['ping_interval: 1s', 'ping_interval', '`mode: client` and `mode: server`'],
  ['protocols: [a]', 'protocols', '`mode: client` and `mode: server`'],
])('a mistake in the file: reply with %s', (output, field, owners) => {
  expect(
    configMistakes(
      `- input: { type: websocket, mode: server, port: 0 }\n  output: { type: websocket, mode: reply, ${output} }\n`,
    ),
  ).toEqual([`[0].output.${field}: only for ${owners}; this is \`mode: reply\``]);
});

test('a mistake in the file: slow_timeout with another policy', () => {
  expect(
    configMistakes(
      '- input: { type: websocket, mode: server, port: 0 }\n  output: { type: websocket, mode: reply, slow_consumer: block, slow_timeout: 1s }\n',
    ),
  ).toEqual(['[0].output.slow_timeout: needs `slow_consumer: disconnect`']);
});

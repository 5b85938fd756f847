import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { configMistakes, startEngine, type Run } from '../support/engine.ts';
import { closeFrame, frame } from '../support/frames.ts';
import { connectClient, freePort, rawUpgrade, send } from '../support/peers.ts';
import { python } from '../support/tools.ts';
import { until } from '../support/until.ts';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../control/fixtures/${name}.pem`, import.meta.url));

/** Messages on `/in` go to every client of the output. */
const hub = (output: string): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /in, codec: { type: json } }
    output: { type: websocket, mode: server, host: 127.0.0.1, ${output} }
`;

async function urls(run: Run): Promise<{ into: string; out: string }> {
  const at = async (stage: string): Promise<string> =>
    String((await run.logged(/^listening on /, (line) => line.stage === stage))['url']);
  return { into: await at('input'), out: await at('output') };
}

const listeners = (run: Run, count: number) =>
  run.metricIs(count, 'millrace_connections_open', 'stage="output"');

test('Python’s websockets listen: a subprotocol, a token, a parameter, the welcome, the messages, the close', async () => {
  const run = await startEngine(
    hub(
      'port: 0, path: "/results/:of", protocols: [v2, v1], auth: { type: bearer, tokens: ["s3cret alice"] }, welcome: { hello: "{{meta:subject}}" }, match: { param.of: "{{json:of}}" }',
    ),
  );
  const { into, out } = await urls(run);
  const client = python(
    `
import asyncio, sys
async def main():
    try:
        await websockets.connect(sys.argv[1])
    except websockets.InvalidStatus as refused:
        print("refused", refused.response.status_code)
    async with websockets.connect(sys.argv[1], subprotocols=["v1"], additional_headers={"Authorization": "Bearer s3cret"}) as ws:
        print("open", ws.subprotocol)
        try:
            while True:
                print(await ws.recv())
        except websockets.ConnectionClosed as closed:
            print("closed", closed.code, closed.reason)
asyncio.run(main())
`,
    out.replace(':of', 'math'),
  );
  await client.line(/^open/);
  await listeners(run, 1);
  const feed = await connectClient(into);
  await send(feed, '{"of":"math","n":1}', '{"of":"art"}', '{"of":"math","n":2}');
  await client.line(/"n":2/);
  await run.stop();
  await client.line(/^closed/);
  expect(client.lines).toEqual([
    'refused 401',
    'open v1',
    '{"hello":"alice"}',
    '{"of":"math","n":1}',
    '{"of":"math","n":2}',
    'closed 1001 going away',
  ]);
});

test('messages of its clients are read and dropped; rate and size limits hold, and each client ends alone', async () => {
  const run = await startEngine(
    hub(
      'port: 0, path: /out, max_message_size: 1KiB, limits: { messages_per_second: 100, over_rate: close, idle_timeout: 1h }',
    ),
  );
  const { into, out } = await urls(run);
  const big = await connectClient(out);
  const fast = await connectClient(out);
  const quiet = await rawUpgrade(out);
  await listeners(run, 3);
  await send(big, 'x'.repeat(1025));
  expect((await big.closed).code).toBe(1009);
  for (let n = 0; n < 200; n++) fast.socket.send('more');
  expect((await fast.closed).code).toBe(1008);
  quiet.socket.write(frame('text', 'not for anybody', { mask: true }));
  await send(await connectClient(into), '1');
  expect(await quiet.count(1)).toEqual(['1']);
  await run.idle();
  expect(await run.metric('millrace_input_messages_total')).toBe(1);
});

test('a stop flushes waiting messages, closes with the code of `drain`, and frees the port', async () => {
  const port = await freePort();
  const run = await startEngine(hub(`port: ${port}, path: /out, drain: { code: 1012, timeout: 20s }`));
  const { into, out } = await urls(run);
  const slow = await rawUpgrade(out);
  slow.socket.pause();
  await listeners(run, 1);
  const messages = Array.from({ length: 12 }, (_, n) => `{"n":${n},"x":"${'x'.repeat(64 * 1024)}"}`);
  await send(await connectClient(into), ...messages);
  await run.metricIs(messages.length, 'millrace_output_messages_total');
  const stopped = run.stop();
  await run.logged(/^connection closed with 100[015]/, (line) => line.stage === 'input');
  slow.socket.resume();
  expect(await slow.count(messages.length)).toEqual(messages);
  expect(await slow.closeCode()).toBe(1012);
  slow.socket.end(closeFrame(1012, '', { mask: true }));
  expect(await stopped).toEqual({ failed: [], left: [] });
  const again = await startEngine(hub(`port: ${port}, path: /out`));
  await connectClient((await urls(again)).out);
});

test('over TLS', async () => {
  const run = await startEngine(
    hub(
      `port: 0, path: /out, tls: { cert_file: "${fixture('server')}", key_file: "${fixture('server-key')}" }`,
    ),
  );
  const { into, out } = await urls(run);
  expect(out).toMatch(/^wss:/);
  const client = await connectClient(out.replace('127.0.0.1', 'localhost'), { rejectUnauthorized: false });
  const got: string[] = [];
  client.socket.on('message', (data: Buffer) => got.push(data.toString()));
  await listeners(run, 1);
  await send(await connectClient(into), '"sealed"');
  await until('the message', () => got.length === 1);
  expect(got).toEqual(['"sealed"']);
});

test('another stream can send to its clients, by the path', async () => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /one }
    output: { type: websocket, mode: server, url: "ws://127.0.0.1:0/out" }
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /two }
    output: { type: websocket, mode: server, path: /out }
`);
  const { into, out } = await urls(run);
  const client = await rawUpgrade(out);
  await listeners(run, 1);
  await send(await connectClient(into), 'one');
  expect(await client.count(1)).toEqual(['one']);
  await send(await connectClient(await run.url('stream-1')), 'two');
  expect(await client.count(2)).toEqual(['one', 'two']);
});

test('a port and path that an input has are reported before anything starts', async () => {
  const port = await freePort();
  const start = startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: ${port}, path: /a }
    output: { type: websocket, mode: server, host: 127.0.0.1, port: ${port}, path: /a }
`);
  await expect(start).rejects.toThrow(/\/a/);
});

describe('mistakes in the file', () => {
  test.each([
    [
      'mode: server',
      ': expected `port` or `url` to listen on, or the `path` of a WebSocket input in server mode',
    ],
    [
      'mode: server, host: 127.0.0.1, path: /a',
      '.port: missing; a server needs `port`, or `url` with the address to bind',
    ],
    ['mode: server, port: 0, url: "127.0.0.1:0"', '.port: already given by `url`; remove one of the two'],
    ['mode: server, url: "http://a b"', '.url: '],
    [
      'mode: server, url: "wss://127.0.0.1:0/x"',
      '.tls: missing; a wss:// address needs cert_file and key_file',
    ],
    ['mode: server, port: 0, headers: { a: b }', '.headers: only for `mode: client`; this is `mode: server`'],
    ['mode: server, port: 0, heartbeat: { send: x }', '.heartbeat: only for `mode: client`'],
    ['mode: server, port: 0, on_open: []', '.on_open: only for `mode: client`'],
    ['mode: server, port: 0, reconnect: {}', '.reconnect: only for `mode: client`'],
    ['mode: server, port: 0, auth: { type: bearer, token: a }', '.auth'],
    [
      'mode: server, port: 0, limits: { in_flight_share: 0.5 }',
      '.limits.in_flight_share: has no effect here',
    ],
    [
      'mode: server, port: 0, limits: { over_rate: close }',
      '.limits.over_rate: needs messages_per_second or',
    ],
    ['mode: server, port: 0, limits: { failed_logins: 2 }', '.limits.failed_logins: needs `auth`'],
    [
      'mode: server, port: 0, welcome: "{{meta:subject}}"',
      '.welcome: {{meta:subject}}: no session has it: without `auth`',
    ],
    [
      'mode: server, port: 0, protocols: ["{{now}}"]',
      '.protocols[0]: only a client’s subprotocols can hold templates',
    ],
    ['mode: server, port: 0, protocol_required: true', '.protocol_required: needs `protocols`'],
    ['mode: server, port: 0, max_outgoing_bytes: 1MiB', 'an output that listens has `limits.outgoing_bytes`'],
    [
      'mode: server, port: 0, slow_timeout: 1s',
      '.slow_timeout: only for `mode: reply`; this is `mode: server`',
    ],
    ['url: "ws://h", match: { subject: a }', '.match: only for `mode: server`; this is `mode: client`'],
    ['url: "ws://h", port: 80', '.port: only for `mode: server`; this is `mode: client`'],
    ['url: "ws://h", path: /a', '.path: only for `mode: server`; this is `mode: client`'],
    ['url: "ws://h", slow_consumer: block', '.slow_consumer: only for `mode: server` and `mode: reply`'],
    [
      'url: "ws://h", max_outgoing_bytes: 1MiB',
      '.max_outgoing_bytes: only for `mode: server` and `mode: reply`',
    ],
    ['url: "ws://h", auth: { type: bearer, tokens: [t0ken] }', '.auth'],
    ['url: "ws://h", protocols: [a, a]', '.protocols'],
    ['mode: broadcast', '.mode'],
    ['mode: server, port: 0, auth: bearer', '.auth'],
    ['mode: server, port: 0, auth: { type: bearer, tokens: [5] }', '.auth.tokens'],
    ['mode: server, port: 0, tls:', '.tls'],
    ['mode: server, port: 0, path: 5, match: { param.a: b }', '.path'],
  ])('%s', (output, message) => {
    const told = configMistakes(
      `- input: { type: generate, context: x, interval: 1s }\n  output: { type: websocket, ${output} }\n`,
    );
    expect(told.join('\n')).toContain(message);
    expect(told.every((each) => each.startsWith('[0].output'))).toBe(true);
    expect(told.length).toBeLessThanOrEqual(2);
  });

  test('all at once', () => {
    const told = configMistakes(
      '- input: { type: generate, context: x, interval: 1s }\n  output: { type: websocket, mode: server, port: 99999, headers: { a: b }, match: { room: a } }\n',
    );
    expect(told.map((each) => each.split(':')[0])).toEqual(
      expect.arrayContaining(['[0].output.port', '[0].output.headers', '[0].output.match.room']),
    );
  });
});

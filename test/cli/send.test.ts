import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cli, startCli } from '../support/cli.ts';
import { startEngine } from '../support/engine.ts';
import { opcodes } from '../support/frames.ts';
import { FaultServer, freePort } from '../support/peers.ts';
import { peakMemory, readPosition } from '../support/process-memory.ts';
import { program } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import { python, requireTool, Tool } from '../support/tools.ts';
import { standstill, until } from '../support/until.ts';
import { wsServer } from '../support/ws-server.ts';

const dir = tempDir();
const entry = program('millrace');

/** The messages that one `send` puts on the wire. */
async function sent(args: readonly string[], stdin: string | Uint8Array = '') {
  const types: string[] = [];
  const server = await wsServer((_, __, binary) => types.push(binary ? 'binary' : 'text'));
  const result = await cli(['send', server.url, ...args], { stdin });
  // Else the wait for its end would hide why there is none.
  if (server.connections.length === 0) throw new Error(`it did not connect: ${JSON.stringify(result)}`);
  return { ...result, types, messages: server.texts, closed: await server.closed() };
}

const lines = dir.file('lines.txt', 'one\r\n\ntwo ä\nthree');

test('the lines of stdin are messages, and the server’s answer to the close confirms them', async () => {
  const { code, stdout, stderr, messages, types, closed } = await sent([], 'one\r\n\ntwo ä\nthree');
  expect({ code, stdout, messages, types, closed }).toEqual({
    code: 0,
    stdout: '',
    messages: ['one', '', 'two ä', 'three'],
    types: ['text', 'text', 'text', 'text'],
    closed: { code: 1000, reason: 'done' },
  });
  expect(stderr).toMatch(/^sent 4 messages, 14 bytes, in \d+\.\d\d s, \d+\/s\n$/);
});

test.each<[string[], string[], string]>([
  [[lines], ['one', '', 'two ä', 'three'], 'text'],
  [['-'], ['from stdin'], 'text'],
  [['--binary', lines], ['one', '', 'two ä', 'three'], 'binary'],
  [['--split', 'none', lines], ['one\r\n\ntwo ä\nthree'], 'text'],
  [['-m', 'a b', '--message', '{"x":{{}}}'], ['a b', '{"x":{{}}}'], 'text'],
  [['-m', 'a', '-m', 'b', '--count', '5'], ['a', 'b', 'a', 'b', 'a'], 'text'],
  [['--count', '2', lines], ['one', ''], 'text'],
  [['--count', '3'], ['from stdin', 'from stdin', 'from stdin'], 'text'],
])('send %j', async (args, messages, type) => {
  const result = await sent(args, 'from stdin\n');
  expect(result).toMatchObject({ code: 0, messages });
  expect(new Set(result.types)).toEqual(new Set([type]));
});

test('a byte order mark at the start of a file is not part of the first message', async () => {
  const marked = dir.file('marked.txt', '\uFEFFone\n\uFEFFtwo\n');
  expect(await sent([marked])).toMatchObject({ code: 0, messages: ['one', '\uFEFFtwo'] });
});

test('a file that is too large to keep is read again for --count', async () => {
  const count = 60_000;
  const big = dir.file(
    'repeat.txt',
    Array.from({ length: count }, (_, n) => `${n}`.padEnd(300, '.')).join('\n'),
  );
  expect(statSync(big).size).toBeGreaterThan(17 * 1024 * 1024);
  const { code, messages } = await sent(['--count', String(count * 2 + 1), big]);
  expect({ code, count: messages.length }).toEqual({ code: 0, count: count * 2 + 1 });
  expect(messages.every((text, n) => Number.parseInt(text, 10) === n % count)).toBe(true);
});

test.each<[string, string[], Uint8Array, string]>([
  [
    'a line that is not UTF-8',
    [],
    Buffer.from('ok\n\xff\xfe\n', 'latin1'),
    'line 2 is not valid UTF-8 and cannot be a text message; use --binary',
  ],
  [
    'a line that is too long',
    ['--max-message-size', '10'],
    Buffer.from(`ok\n${'x'.repeat(11)}\n`),
    'line 2 is longer than --max-message-size (10 bytes); raise it',
  ],
  [
    'a line that does not end',
    ['--max-message-size', '10'],
    Buffer.alloc(100_000, 'x'),
    'line 1 is longer than --max-message-size (10 bytes); raise it',
  ],
  [
    'an input that is too long',
    ['--max-message-size', '10', '--split', 'none'],
    Buffer.alloc(11, 'x'),
    'the input is longer than --max-message-size (10 bytes); raise it',
  ],
  [
    'nothing to repeat',
    ['--count', '2'],
    Buffer.alloc(0),
    'standard input is empty; there is nothing to repeat',
  ],
])('%s ends it with 1', async (_, args, stdin, message) => {
  const { code, stderr } = await sent(args, stdin);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^MILLRACE_FILE_UNAVAILABLE: .*\nsent \d messages/);
  expect(stderr).toContain(message);
});

test('a missing file is reported', async () => {
  const { code, stderr } = await sent([`${dir.path}/none.txt`]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^MILLRACE_FILE_UNAVAILABLE: cannot read .*none\.txt: ENOENT/);
});

test('headers, subprotocols and credentials go with the handshake, to Python’s websockets', async () => {
  const server = python(`
import asyncio
async def handler(ws):
    headers = ws.request.headers
    print("open", ws.request.path, headers["X-Key"], headers["Cookie"], headers["Authorization"], ws.subprotocol)
    async for message in ws:
        print(type(message).__name__, message)
    print("closed", ws.close_code)
async def main():
    async with websockets.serve(handler, "127.0.0.1", 0, subprotocols=["v1"]) as server:
        print("port", server.sockets[0].getsockname()[1])
        await asyncio.Future()
asyncio.run(main())
`);
  const port = (await server.line(/^port /)).slice('port '.length);
  const { code } = await cli(
    [
      'send',
      `http://127.0.0.1:${port}/in?x=1`,
      '-H',
      'X-Key: {{env:KEY}}',
      '-H',
      'Cookie: a=1',
      '-H',
      'cookie: b=2',
    ].concat(['--protocol', 'v2', '--protocol', 'v1', '-u', 'ann:se:cret', '-m', 'hello']),
    { env: { KEY: 'k-1' } },
  );
  expect(code).toBe(0);
  await server.line(/^closed 1000$/);
  const authorization = `Basic ${Buffer.from('ann:se:cret').toString('base64')}`;
  expect(server.lines.slice(1)).toEqual([
    `open /in?x=1 k-1 a=1; b=2 ${authorization} v1`,
    'str hello',
    'closed 1000',
  ]);
});

test('a bearer token comes from the command line or from a file', async () => {
  const server = await wsServer();
  const file = dir.file('token', 'from-file\n');
  for (const args of [
    ['--bearer', 'given'],
    ['--bearer-file', file],
  ]) {
    expect(await cli(['send', server.url, '-m', 'x', ...args])).toMatchObject({ code: 0 });
  }
  const seen = server.connections.map(({ request }) => request.headers.authorization);
  expect(seen).toEqual(['Bearer given', 'Bearer from-file']);
});

test('100,000 lines reach Millrace’s own server, and its file, in order', { timeout: 90_000 }, async () => {
  const out = join(dir.path, 'out.txt');
  const text = Array.from({ length: 100_000 }, (_, n) => `{"n":${n},"text":"line ${n}"}\n`).join('');
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0 }
    output: { type: file, path: ${JSON.stringify(out)} }
`);
  const { code, stderr } = await cli(['send', await run.url(), dir.file('in.txt', text)]);
  expect({ code, stderr }).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/^sent 100000 messages/) as string,
  });
  await run.stop();
  expect(readFileSync(out, 'utf8') === text).toBe(true);
});

test('a server that does not read makes it wait, in bounded memory', { timeout: 90_000 }, async () => {
  const count = 256 * 1024;
  const file = dir.file(
    'big.txt',
    Array.from({ length: count }, (_, n) => `${n}`.padEnd(1023, '.')).join('\n'),
  );
  let next = 0;
  let inOrder = true;
  const server = await wsServer((socket, message) => {
    if (next === 0) socket.pause();
    inOrder &&= Number.parseInt(message.toString('latin1', 0, 10), 10) === next++;
  });
  const run = startCli(['send', server.url, file]);
  const { socket } = await server.connection();
  await until('the first message', () => next > 0);
  const last = await standstill('the file to be read no further', () => readPosition(run.child.pid!, file));
  expect(last).toBeLessThan(128 * 1024 * 1024);
  // A process that only prints its version takes 80 MB.
  expect(peakMemory(run.child.pid!)).toBeLessThan(224 * 1024 * 1024);
  server.connections[0]!.messages.push = () => 0;
  socket.resume();
  expect(await run.result).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(`^sent ${count} messages`) as string,
  });
  expect({ next, inOrder }).toEqual({ next: count, inOrder: true });
});

test('a closed connection ends it at once, with the progress', async () => {
  const server = await wsServer((socket, message) => {
    if (message.toString() === 'c') socket.close(1011, 'no more');
  });
  const run = startCli(['send', `${server.url}?token=hunter2`], { openStdin: true });
  run.child.stdin.write('a\nb\nc\n');
  // stdin is still open: nothing but the close ends it.
  const { code, stderr } = await run.result;
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^MILLRACE_NOT_CONNECTED: ws:\/\/127\.0\.0\.1:\d+\/feed\?token=\*\*\* closed the connection with 1011: no more\nsent 3 messages, 3 bytes/,
  );
});

test('--reconnect goes on when the server is back', async () => {
  const first = await wsServer();
  const { port } = first;
  const run = startCli(['send', first.url, '--reconnect'], { openStdin: true });
  run.child.stdin.write('a\nb\n');
  expect(await first.count(2)).toEqual(['a', 'b']);
  first.down();
  await run.seen(/the connection to ws:\S+ broke \(1006\); retrying in \d\.\d s/);
  run.child.stdin.write('c\n');
  const second = await wsServer(undefined, port);
  await run.seen(/^connected to ws:/m);
  run.child.stdin.end('d\n');
  expect(await run.result).toMatchObject({ code: 0 });
  expect(second.texts).toEqual(['c', 'd']);
});

test('--reconnect repeats messages that were not written', { timeout: 90_000 }, async () => {
  const server = await new FaultServer((peer) => {
    peer.accept();
    peer.socket.pause();
  }).up();
  const count = 2048;
  const size = 16 * 1024;
  const text = Array.from({ length: count }, (_, n) => `${n} `.padEnd(size, 'x')).join('\n');
  const file = dir.file('large.txt', text);
  const run = startCli(['send', server.url, '--reconnect', file]);
  const first = await server.peer(0);
  // More is in the file than sockets take, so that some of it waits in the process when the connection breaks.
  const position = await standstill('the file to be read no further', () =>
    readPosition(run.child.pid!, file),
  );
  expect(position).toBeLessThan(text.length);
  server.behaviour = (peer) => void peer.accept();
  first.socket.resetAndDestroy();
  const second = await server.peer(1);
  await run.seen(/connected to ws:\S+\nsending [1-9]\d* messages? again\n/);
  await until('a close frame', () => second.frames.find(({ opcode }) => opcode === opcodes.close));
  second.socket.end(Buffer.from([0x88, 2, 1000 >> 8, 1000 & 0xff]));
  expect(await run.result).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(`\nsent ${count} messages, `) as string,
  });
  const numbers = second.messages.map(({ payload }) =>
    Number.parseInt(payload.toString('latin1', 0, 10), 10),
  );
  // Without a gap, from the first that was not written.
  const begin = count - numbers.length;
  expect(begin).toBeLessThan(position / size);
  expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, n) => begin + n));
});

test('every message is acknowledged, never more than allowed wait, and a lost connection loses none', async () => {
  const limit = 10;
  const waiting = new Map<unknown, string[]>();
  const acknowledged = new Set<string>();
  let most = 0;
  let answers = 0;
  const server = await wsServer((socket, message) => {
    const { data } = JSON.parse(message.toString()) as { data: { id: number } };
    const ids = waiting.get(socket) ?? [];
    waiting.set(socket, ids);
    ids.push(String(data.id));
    most = Math.max(most, ids.length);
    // When the last message has come, there may be fewer than the limit.
    if (ids.length < limit && data.id !== 99) return;
    if (++answers === 3) return socket.terminate();
    // A sender that sends too much has done so by the time it answers a ping.
    socket.once('pong', () => {
      for (const id of ids.splice(0)) {
        acknowledged.add(id);
        socket.send(JSON.stringify({ ok: id }));
      }
    });
    socket.ping();
  });
  const file = dir.file(
    'ids.txt',
    Array.from({ length: 100 }, (_, id) => JSON.stringify({ data: { id } })).join('\n'),
  );
  const args = [
    '--id',
    'data.id',
    '--ack',
    'ok',
    '--max-unacknowledged',
    String(limit),
    '--reconnect',
    '--wait',
    '0s',
  ];
  const { code, stdout, stderr } = await cli(['send', server.url, file, ...args]);
  // Acknowledgements are not printed.
  expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
  expect(stderr).toMatch(
    /connected to .*\nsending 10 messages again\nsent 100 messages.*; 100 acknowledged, the last message 100 \(id "99"\)\n$/,
  );
  expect({ most, acknowledged: acknowledged.size, connections: server.connections.length }).toEqual({
    most: limit,
    acknowledged: 100,
    connections: 2,
  });
  // Unacknowledged messages came again.
  expect(server.texts.length).toBe(110);
});

test('messages that are not acknowledged in time are reported', async () => {
  const server = await wsServer((socket, message) => {
    if (!message.includes('"b"')) socket.send(message);
  });
  const input = '{"id":"a"}\n{"id":"b"}\n{"id":"c"}\n';
  const args = ['--id', 'id', '--ack', 'id', '--ack-timeout', '300ms'];
  const { code, stderr } = await cli(['send', server.url, ...args], { stdin: input });
  expect(code).toBe(1);
  expect(stderr).toMatch(/^MILLRACE_SEND_FAILED: no acknowledgement came within --ack-timeout\n/);
  expect(stderr).toMatch(
    /; 2 acknowledged, the last message 3 \(id "c"\); 1 not, the first message 2 \(id "b"\)\n$/,
  );
  expect(await server.closed()).toEqual({ code: 1000, reason: 'done' });

  const without = await cli(['send', server.url, ...args, '-m', '{"id":"a"}', '-m', '{"nr":2}']);
  expect(without.code).toBe(1);
  expect(without.stderr).toContain('MILLRACE_SEND_FAILED: message 2 has nothing at the path of --id');
});

test('--wait prints what the server sends', async () => {
  const server = await wsServer((socket, message) => {
    socket.send(`re: ${message.toString()}`);
    if (message.toString() === 'last') socket.close(1000);
  });
  const { code, stdout } = await cli(['send', server.url, '-m', 'first', '-m', 'last', '--wait', '1h']);
  expect({ code, stdout }).toEqual({ code: 0, stdout: 're: first\nre: last\n' });
});

test('an interrupt closes the connection with 1000', async () => {
  const server = await wsServer();
  const run = startCli(['send', server.url, '-m', 'x', '--rate', '20', '--count', '1000000']);
  await server.count(2);
  run.child.kill('SIGINT');
  const { code, stderr } = await run.result;
  expect(code).toBe(1);
  expect(stderr).toMatch(/^interrupted\nsent \d+ messages/);
  expect(await server.closed()).toEqual({ code: 1000, reason: 'done' });
});

test('a server that does not answer the close may not have read everything', async () => {
  const server = await new FaultServer().up();
  const { code, stderr } = await cli(['send', server.url, '-m', 'x', '--close-timeout', '100ms']);
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^MILLRACE_NOT_CONNECTED: .*did not answer the close; the server may not have read the last messages\nsent 1 message,/,
  );
});

test('on a terminal a line shows the progress; elsewhere there is none', async () => {
  const server = await wsServer();
  const command = [process.execPath, entry, 'send', server.url, '-m', 'x', '--rate', '20', '--count', '15'];
  const script = new Tool(requireTool('script'), [
    '-qec',
    command.map((word) => `'${word}'`).join(' '),
    '/dev/null',
  ]);
  let terminal = '';
  script.child.stdout!.on('data', (chunk: Buffer) => (terminal += chunk.toString()));
  const [code]: unknown[] = await once(script.child, 'close');
  expect(code).toBe(0);
  expect(terminal).toMatch(/\r\u001b\[2K\d+ of 15 sent, \d+\/s\r\u001b\[2K/);
  // The line is gone, and the summary stands alone.
  expect(terminal).toMatch(/\r\u001b\[2Ksent 15 messages, 15 bytes, in [^\u001b]*\n$/);

  const { stderr } = await cli(command.slice(2));
  expect(stderr).toMatch(/^sent 15 messages, [^\r\n]*\n$/);
});

test.each<[string[], string]>([
  [[], "error: missing required argument 'url'"],
  [['ftp://host/x'], 'error: URL: not a WebSocket URL; expected one like ws://host:port/path or wss://…\n'],
  [['ws://host/x', 'a.txt', '-m', 'x'], 'error: expected either a file or --message, not both\n'],
  [
    ['host', '--count', '0'],
    "error: option '--count <n>' argument '0' is invalid. Expected a whole number of at least 1.",
  ],
  [
    ['host', '--rate', 'fast'],
    "error: option '--rate <n>' argument 'fast' is invalid. Expected a number above 0.",
  ],
  [['host', '--id', 'id'], 'error: --id and --ack belong together; give both or neither\n'],
  [['host', '--ack-timeout', '5s'], 'error: --ack-timeout needs --id and --ack\n'],
  [
    ['host', '--id', 'a..', '--ack', 'id'],
    'error: --id a..: not a path; expected one like id, data.id or items[0].id\n',
  ],
  [['host', '-H', 'hunter2'], "error: --header: expected 'Name: value'\n"],
  [['host', '-H', 'a b: hunter2'], 'error: --header a b: not a header name (RFC 9110 section 5.1)\n'],
  [['host', '-u', 'hunter2'], 'error: --user: expected user:password\n'],
  [['host', '-u', 'a:hunter2', '--bearer', 'hunter2'], 'error: option'],
  [['host', '--wait', 'long'], 'error: --wait long: not a duration; expected one like 250ms, 5s, 1m or 1h\n'],
  [
    ['host', '--ca-file', 'ca.pem'],
    'error: --ca-file, --cert-file, --key-file and --insecure have no effect with ws://; use wss://\n',
  ],
  [['ws:host/x'], 'error: URL: not a WebSocket URL; expected one like ws://host:port/path or wss://…\n'],
  [
    ['host', '-k'],
    'error: --ca-file, --cert-file, --key-file and --insecure have no effect with ws://; use wss://\n',
  ],
  [
    ['host', '--bearer', 'hunter2', '-H', 'authorization: hunter2'],
    'error: --header authorization: `auth` already sends it; remove one of the two\n',
  ],
  [
    ['a:hunter2@host', '--user', 'b:hunter2'],
    'error: --user or --bearer: the URL already has a user; remove one of the two\n',
  ],
  [
    ['host', '--timeout', 'soon', '--protocol', 'a b'],
    'error: --timeout: not a duration; expected one like 250ms, 5s, 1m or 1h\nerror: --protocol: not a subprotocol name (RFC 6455 section 4.1)\n',
  ],
])('send %j is a mistake on the command line', async (args, message) => {
  const { code, stdout, stderr } = await cli(['send', ...args]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr.slice(0, message.length)).toBe(message);
  expect(stderr).not.toContain('hunter2');
});

test('without a connection, the error is the only output', async () => {
  const port = await freePort();
  const refused = await cli(['send', `ws://127.0.0.1:${port}/`, '-m', 'x']);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/^MILLRACE_NOT_CONNECTED: cannot connect to .*ECONNREFUSED[^\n]*\n$/);
  const gaveUp = await cli(['send', `ws://127.0.0.1:${port}/`, '-m', 'x', '--reconnect', '--attempts', '2']);
  expect(gaveUp.code).toBe(1);
  expect(gaveUp.stderr).toMatch(/MILLRACE_RECONNECT_EXHAUSTED: gave up after 2 attempt/);
  expect(gaveUp.stderr).not.toMatch(/^sent /m);
  const server = await new FaultServer((peer) => void peer.socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')).up();
  const forbidden = await cli(['send', server.url, '-m', 'x']);
  expect(forbidden.stderr).toMatch(/403/);
  expect(forbidden.stderr).not.toMatch(/^sent /m);
});

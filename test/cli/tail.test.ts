import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { WebSocketServer, type WebSocket } from 'ws';
import { afterTest } from '../support/cleanup.ts';
import { cli, startCli } from '../support/cli.ts';
import { FaultServer, freePort } from '../support/peers.ts';
import { peakMemory } from '../support/process-memory.ts';
import { program } from '../support/programs.ts';
import { python, requireTool, Tool } from '../support/tools.ts';
import { standstill, until } from '../support/until.ts';
import { wsServer } from '../support/ws-server.ts';

const entry = program('millrace');
const fixture = (name: string): string => join(import.meta.dirname, '../control/fixtures', name);

/** A server that answers each message with these messages. */
function feed(messages: readonly (string | Buffer)[]) {
  return wsServer((socket) => {
    for (const message of messages) socket.send(message);
  });
}

const messages = [
  'text ä',
  Buffer.from([0, 255, 10]),
  '{"n": 12345678901234567890,\r\n "s": "a\\nb"}',
  'two\nlines',
  Buffer.from('{"binary":true}'),
];
const inBase64 = messages.map((message) => Buffer.from(message).toString('base64'));

test('line breaks at the end of a message are the end of its line', async () => {
  const server = await feed(['one\n', 'two\r\n', 'three']);
  const { stdout } = await cli(['tail', server.url, '--send', 'go', '--count', '3']);
  expect(stdout).toBe('one\ntwo\nthree\n');
});

test.each<[string[], string | Buffer]>([
  [[], `text ä\nAP8K\n{"n":12345678901234567890,"s":"a\\nb"}\n"two\\nlines"\n${inBase64[4]}\n`],
  [
    ['--codec', 'json'],
    '"text ä"\n"AP8K"\n{"n":12345678901234567890,"s":"a\\nb"}\n"two\\nlines"\n{"binary":true}\n',
  ],
  [['--codec', 'base64'], `${inBase64.join('\n')}\n`],
  [['--codec', 'text'], Buffer.concat(messages.flatMap((each) => [Buffer.from(each), Buffer.from('\n')]))],
  [['--codec', 'raw'], Buffer.concat(messages.map((each) => Buffer.from(each)))],
])('tail %j', async (args, expected) => {
  const server = await feed(messages);
  const run = startCli(['tail', server.url, '--send', 'go', '--count', '5', ...args]);
  const chunks: Buffer[] = [];
  run.child.stdout.on('data', (chunk: string) => chunks.push(Buffer.from(chunk, 'latin1')));
  run.child.stdout.setEncoding('latin1');
  const { code, stderr } = await run.result;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(Buffer.concat(chunks).toString('latin1')).toBe(Buffer.from(expected).toString('latin1'));
  expect(await server.closed()).toEqual({ code: 1000, reason: 'done' });
});

test.each<[string[], unknown[]]>([
  [
    [],
    [
      ['text ä', 'utf8'],
      ['AP8K', 'base64'],
      ['two\nlines', 'utf8'],
    ],
  ],
  [
    ['--codec', 'text'],
    [
      ['text ä', 'utf8'],
      ['AP8K', 'base64'],
      ['two\nlines', 'utf8'],
    ],
  ],
  [
    ['--codec', 'base64'],
    [
      ['dGV4dCDDpA==', 'base64'],
      ['AP8K', 'base64'],
      ['dHdvCmxpbmVz', 'base64'],
    ],
  ],
])('tail --metadata %j', async (args, payloads) => {
  const server = await feed([messages[0]!, messages[1]!, messages[3]!]);
  const url = server.url.replace('ws://', 'ws://me:hunter2@');
  const before = Date.now();
  const { stdout } = await cli(['tail', url, '--send', 'go', '--count', '3', '--metadata', ...args]);
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map(
      (line) => JSON.parse(line) as { payload: unknown; encoding: string; metadata: Record<string, unknown> },
    );
  expect(lines.map(({ payload, encoding }) => [payload, encoding])).toEqual(payloads);
  const [first, second] = lines.map(({ metadata }) => metadata);
  expect(first).toEqual({
    __meta_source: server.url.replace('ws://', 'ws://me:***@'),
    __meta_ingest_time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/) as string,
    __meta_ext: {
      session_id: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      remote_address: '127.0.0.1',
      path: '/feed',
      protocol: '',
      message_type: 'text',
      sequence: '1',
    },
  });
  const time = Date.parse(String(first!['__meta_ingest_time']));
  expect(time).toBeGreaterThanOrEqual(before);
  expect(time).toBeLessThanOrEqual(Date.now());
  expect(second!['__meta_ext']).toMatchObject({ message_type: 'binary', sequence: '2' });
});

test('tail --metadata --codec json keeps JSON as it came', async () => {
  const server = await feed([messages[2]!, 'no JSON']);
  const { stdout } = await cli([
    'tail',
    server.url,
    '--send',
    'go',
    '--count',
    '2',
    '--metadata',
    '--codec',
    'json',
  ]);
  const [first, second] = stdout.split('\n');
  expect(first).toMatch(
    /^\{"payload":\{"n":12345678901234567890,"s":"a\\nb"\},"encoding":"json","metadata":\{/,
  );
  expect(second).toMatch(/^\{"payload":"no JSON","encoding":"utf8",/);
});

test('a connection that is lost is made again, subscribes again, and Ctrl-C closes it with 1000', async () => {
  const script = `
import asyncio, sys
async def handler(ws):
    print("open", ws.request.path, ws.request.headers["X-Key"], await ws.recv(), await ws.recv())
    await ws.send("hello from " + sys.argv[2])
    try:
        await ws.recv()
    except websockets.ConnectionClosed as closed:
        print("closed", closed.code)
async def main():
    async with websockets.serve(handler, "127.0.0.1", int(sys.argv[1])) as server:
        print("port", server.sockets[0].getsockname()[1])
        await asyncio.Future()
asyncio.run(main())
`;
  const first = python(script, '0', 'first');
  const port = (await first.line(/^port /)).slice('port '.length);
  const run = startCli([
    'tail',
    `127.0.0.1:${port}/x`,
    '-H',
    'X-Key: k',
    '--send',
    'login',
    '--send',
    '{"sub":1}',
  ]);
  await run.seen(/^hello from first$/m);
  first.child.kill('SIGKILL');
  await run.seen(/the connection to ws:\/\/127\.0\.0\.1:\d+\/x broke \(1006\); retrying in \d+\.\d s\n/);
  const second = python(script, port, 'second');
  await run.seen(/^hello from second$/m);
  await run.seen(/^connected to ws:\/\/127\.0\.0\.1:\d+\/x$/m);
  run.child.kill('SIGINT');
  expect(await run.result).toMatchObject({ code: 0, stdout: 'hello from first\nhello from second\n' });
  await second.line(/^closed 1000$/);
  for (const server of [first, second]) expect(server.lines).toContain('open /x k login {"sub":1}');
});

test.each([
  [1000, 0, ''],
  [
    1011,
    1,
    'MILLRACE_NOT_CONNECTED: ws:\\/\\/127\\.0\\.0\\.1:\\d+\\/feed closed the connection with 1011: over\n',
  ],
])('with --no-reconnect a close with %i ends it with %i', async (closeCode, exitCode, message) => {
  const server = await wsServer((socket) => {
    socket.send('last');
    socket.close(closeCode, 'over');
  });
  const { code, stdout, stderr } = await cli(['tail', server.url, '--no-reconnect', '--send', 'go']);
  expect({ code, stdout }).toEqual({ code: exitCode, stdout: 'last\n' });
  expect(stderr).toMatch(new RegExp(`^${message}$`));
});

test('the first connection must succeed, unless --reconnect is given', async () => {
  const port = await freePort();
  const url = `ws://me:hunter2@127.0.0.1:${port}/?token=hunter2`;
  const { code, stdout, stderr } = await cli(['tail', url]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(
    /^MILLRACE_NOT_CONNECTED: cannot connect to ws:\/\/me:\*\*\*@.*\?token=\*\*\*: .*ECONNREFUSED/,
  );
  expect(stderr).not.toContain('hunter2');

  const run = startCli(['tail', url, '--reconnect', '--count', '1', '--send', 'go']);
  await run.seen(/ECONNREFUSED.*; retrying in/);
  await wsServer((socket) => socket.send('there'), port);
  expect(await run.result).toMatchObject({ code: 0, stdout: 'there\n' });
});

test('an interrupt ends it while it tries to connect, too', async () => {
  const run = startCli(['tail', `127.0.0.1:${await freePort()}`, '--reconnect']);
  await run.seen(/retrying/);
  run.child.kill('SIGTERM');
  expect(await run.result).toMatchObject({ code: 0, stdout: '' });
});

test('a reader that goes away ends it quietly', async () => {
  const sockets: WebSocket[] = [];
  const server = await wsServer((socket) => sockets.push(socket));
  const run = startCli(['tail', server.url, '--send', 'go']);
  await until('the subscription', () => sockets[0]);
  sockets[0]!.send('one');
  await run.seen(/^one$/m);
  run.child.stdout.destroy();
  // A process learns that a pipe has no reader only when it writes.
  sockets[0]!.send('two');
  expect(await run.result).toMatchObject({ code: 0, stderr: '' });
  expect(await server.closed()).toEqual({ code: 1000, reason: 'done' });
});

test('a full disk is an error', async () => {
  const server = await feed(['one']);
  const command = [process.execPath, entry, 'tail', server.url, '--send', 'go'];
  const shell = new Tool('/bin/sh', ['-c', `${command.join(' ')} 2>&1 >/dev/full; echo "code $?"`]);
  await shell.line(/^code 1$/);
  expect(shell.lines[0]).toMatch(/^MILLRACE_FILE_UNAVAILABLE: cannot write to standard output: .*ENOSPC/);
});

test(
  'a stdout that takes nothing makes the server wait, in bounded memory, and nothing is lost',
  { timeout: 90_000 },
  async () => {
    const count = 256 * 1024;
    let sent = 0;
    const server = await wsServer((socket) => {
      const more = (): void => {
        while (sent < count && socket.readyState === socket.OPEN && socket.bufferedAmount < 64 * 1024) {
          socket.send(`${sent++}`.padEnd(1023, '.'), more);
        }
      };
      more();
    });
    const run = startCli(['tail', server.url, '--send', 'go', '--count', String(count)]);
    run.child.stdout.pause();
    await until('the first message', () => sent > 0);
    const last = await standstill('the server to send no more', () => sent);
    expect(last).toBeLessThan(count / 2);
    // A process that only prints its version takes 80 MB.
    expect(peakMemory(run.child.pid!)).toBeLessThan(224 * 1024 * 1024);
    run.child.stdout.resume();
    const { code, stdout } = await run.result;
    const lines = stdout.split('\n');
    expect({ code, lines: lines.length, last: lines.pop() }).toEqual({ code: 0, lines: count + 1, last: '' });
    expect(lines.every((line, n) => Number.parseInt(line, 10) === n)).toBe(true);
  },
);

test('an interrupt ends it though nobody reads its output', async () => {
  const server = await wsServer((socket) => {
    const more = (error?: Error | null): void => {
      if (error === undefined || error === null) socket.send(Buffer.alloc(64 * 1024), more);
    };
    more();
  });
  const run = startCli(['tail', server.url, '--send', 'go', '--codec', 'raw']);
  run.child.stdout.pause();
  const { socket } = await server.connection();
  await until('the server to wait', () => socket.bufferedAmount > 0 && run.child.stdout.readableLength > 0);
  run.child.kill('SIGINT');
  expect((await server.closed()).code).toBe(1000);
  run.child.stdout.resume();
  expect(await run.result).toMatchObject({ code: 0, stderr: '' });
});

test('https:// is wss://, and --ca-file and --insecure say which certificates are good', async () => {
  const https = createServer({
    key: readFileSync(fixture('server-key.pem')),
    cert: readFileSync(fixture('server.pem')),
  });
  new WebSocketServer({ server: https }).on('connection', (socket) => socket.send('secret'));
  https.listen(0, '127.0.0.1');
  afterTest(() => https.close().closeAllConnections());
  await once(https, 'listening');
  const url = `https://localhost:${(https.address() as AddressInfo).port}/x`;
  for (const args of [['--ca-file', fixture('ca.pem')], ['--insecure']]) {
    expect(await cli(['tail', url, '--count', '1', ...args])).toEqual({
      code: 0,
      stdout: 'secret\n',
      stderr: '',
    });
  }
  const { code, stderr } = await cli(['tail', url, '--count', '1']);
  expect(code).toBe(1);
  expect(stderr).toContain('is not trusted');
  expect(stderr).toContain('in `--ca-file`');
});

test('a server that breaks the protocol gets a close that says so, and it reconnects', async () => {
  const server = await new FaultServer((peer) => {
    // A frame with a reserved bit set.
    peer.accept({ then: Buffer.from([0xf1, 0x00]) });
  }).up();
  const run = startCli(['tail', server.url]);
  const peer = await server.peer(0);
  expect(await peer.closeCode()).toBe(1002);
  peer.socket.end();
  await run.seen(/closed the connection to ws:\S+ with 1002: .*; retrying/);
  run.child.kill('SIGINT');
  expect((await run.result).code).toBe(0);
});

test('on a terminal that shows no data, a line shows the progress', async () => {
  let socket: WebSocket | undefined;
  const server = await wsServer((each) => (socket = each));
  const command = `'${process.execPath}' '${entry}' tail '${server.url}' --send go --count 2 > /dev/null`;
  const script = new Tool(requireTool('script'), ['-qec', command, '/dev/null']);
  let terminal = '';
  script.child.stdout!.on('data', (chunk: Buffer) => (terminal += chunk.toString()));
  await until('the subscription', () => socket);
  socket!.send('one');
  await until('the line', () => terminal.includes('1 received, '), { state: () => terminal });
  socket!.send('two');
  const [code]: unknown[] = await once(script.child, 'close');
  expect(code).toBe(0);
  expect(terminal).toMatch(/\r\u001b\[2K1 received, \d+\/s\r\u001b\[2K$/);
});

test.each<[string[], string]>([
  [[], "error: missing required argument 'url'"],
  [['host', '--codec', 'xml'], "error: option '--codec <codec>' argument 'xml' is invalid."],
  [
    ['host', '--codec', 'raw', '--metadata'],
    'error: --codec raw has no lines for --metadata; use --codec base64\n',
  ],
  [['host', '--send', '{{nope}}'], 'error: --send: a {{…}} of an unknown name'],
  [['ws://host/#x'], 'error: URL: a WebSocket URL has no fragment'],
])('tail %j is a mistake on the command line', async (args, message) => {
  const { code, stdout, stderr } = await cli(['tail', ...args]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr.slice(0, message.length)).toBe(message);
});

test('--help of both shows examples', async () => {
  for (const command of ['send', 'tail']) {
    const { code, stdout } = await cli([command, '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain(`$ millrace ${command} `);
    expect(stdout).toContain('Exit codes: 0');
  }
});

test('with --attempts it gives up after so many failures in a row', async () => {
  const port = await freePort();
  const never = await cli(['tail', `ws://127.0.0.1:${port}/`, '--reconnect', '--attempts', '2']);
  expect(never.code).toBe(1);
  expect(never.stderr.match(/retrying in/g)).toHaveLength(1);
  expect(never.stderr).toMatch(/^MILLRACE_RECONNECT_EXHAUSTED: gave up after 2 attempts: .*ECONNREFUSED/m);
});

test('also when a connection that there was is lost', async () => {
  const server = await new FaultServer((peer) => {
    peer.accept();
    void server.down();
  }).up();
  const { code, stderr } = await cli(['tail', server.url, '--attempts', '3']);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^MILLRACE_RECONNECT_EXHAUSTED: gave up after 3 attempts: /m);
});

test('--attempts without attempts is a mistake', async () => {
  for (const args of [
    ['tail', 'localhost:1/', '--no-reconnect', '--attempts', '2'],
    ['send', 'localhost:1/', '-m', 'x', '--attempts', '2'],
  ]) {
    const { code, stderr } = await cli(args);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: --attempts /);
  }
});

import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { afterTest } from '../support/cleanup.ts';
import { cli, cliProcess, startCli } from '../support/cli.ts';
import { closeFrame } from '../support/frames.ts';
import { FaultServer, rawUpgrade } from '../support/peers.ts';
import { program } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';
import { wsServer } from '../support/ws-server.ts';

const dir = tempDir();
const stubEntry = program('stubs');
const noHealth = 'health_check: { enabled: false }\n';

function streams(name: string, text: string): string {
  return dir.file(name, `${noHealth}streams:\n${text}`);
}

const hello = streams('hello.yaml', "  - input: { type: memory, messages: ['hello', 'world'] }\n");

test.each([[['run', hello]], [['-c', hello]], [['--config', hello]], [['run', '-c', hello]]])(
  '%j runs the file to its end; data goes to stdout, the log to stderr',
  async (args) => {
    const { code, stdout, stderr } = await cli(args);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'hello\nworld\n' });
    expect(stderr).toContain('stream ended');
    expect(stderr).not.toContain('Warning');
  },
);

test('nothing starts while the file has a mistake', async () => {
  const text = "  - input: { type: memory, messages: ['hello'] }\n  - input: { type: memory, mesages: [] }\n";
  const { code, stdout, stderr } = await cli(['run', streams('half.yaml', text)]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(
    /half\.yaml:4:28: streams\[1\]\.input\.mesages: unknown field; did you mean messages\?/,
  );
});

test.each(['SIGTERM', 'SIGINT'] as const)('%s drains and ends with 0', async (signal) => {
  const file = streams('endless.yaml', '  - input: { type: generate, context: tick, interval: 10ms }\n');
  const run = startCli(['run', file]);
  await run.seen(/tick\n/);
  run.child.kill(signal);
  const { code, stderr } = await run.result;
  expect(code).toBe(0);
  expect(stderr).toContain(`${signal}: draining`);
});

/** Signals again until that has been noticed: at first it may still count as the signal before. */
async function signalAgain(run: ReturnType<typeof startCli>): Promise<void> {
  let noticed = false;
  const seen = run.seen(/second signal \(/).then(() => {
    noticed = true;
  });
  await until('the second signal to be noticed', () => noticed || (run.child.kill('SIGTERM'), false));
  await seen;
}

/** Sends a signal twice. @returns the end of the process, and the milliseconds between the two as it saw them */
async function signalTwice(file: string) {
  const run = startCli(['run', file]);
  await run.seen(/listening on ws:/);
  // The drain waits for this client’s close frame. Without it the process might be gone when the second signal comes.
  const client = await rawUpgrade(/"url":"(ws:[^"]+)"/.exec(run.stderr())![1]!);
  run.child.kill('SIGINT');
  await run.seen(/SIGINT: draining/);
  run.child.kill('SIGINT');
  client.socket.end(closeFrame(1001));
  const { code, stderr } = await run.result;
  const time = (what: RegExp): number | undefined => {
    const line = stderr.split('\n').find((each) => what.test(each));
    return line === undefined ? undefined : (JSON.parse(line) as { time: number }).time;
  };
  const first = time(/SIGINT: draining/)!;
  return { code, stderr, apart: (time(/second signal/) ?? first) - first };
}

test('a signal that comes twice, as npm passes Ctrl-C on, is one', async () => {
  const input = '  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0 }\n';
  const file = dir.file('twice.yaml', `${noHealth}logging: { format: json }\nstreams:\n${input}`);
  // On a busy machine the second may come so late that it is another one.
  let ended = await signalTwice(file);
  while (ended.apart >= 490) ended = await signalTwice(file);
  const { code, stderr } = ended;
  expect({ code, gaveUp: stderr.includes('MILLRACE_SHUTDOWN_INCOMPLETE') }).toEqual({
    code: 0,
    gaveUp: false,
  });
});

test('a second signal ends at once and reports the rest', async () => {
  const file = streams(
    'stuck.yaml',
    '  - id: held\n    input: { type: once }\n    output: { type: stuck }\n',
  );
  const run = startCli(['run', file], { entry: stubEntry });
  await run.seen(/write is stuck/);
  run.child.kill('SIGTERM');
  await run.seen(/SIGTERM: draining/);
  await signalAgain(run);
  const { code, stderr } = await run.result;
  expect(code).toBe(1);
  expect(stderr).toContain('MILLRACE_SHUTDOWN_INCOMPLETE');
  expect(stderr).toMatch(/ended with messages that were not confirmed: held: 1 message/);
});

test('a stream that fails makes the exit code 1 and leaves the others running', async () => {
  const file = streams(
    'fail.yaml',
    '  - input: { type: once }\n    output: { type: broken }\n  - id: other\n    input: { type: once }\n    output: { type: stuck }\n',
  );
  const run = startCli(['run', file], { entry: stubEntry });
  await run.seen(/the key is broken/);
  await run.seen(/write is stuck/);
  run.child.kill('SIGTERM');
  await run.seen(/SIGTERM: draining/);
  await signalAgain(run);
  expect((await run.result).code).toBe(1);
  const alone = await cliProcess(
    ['run', streams('alone.yaml', '  - input: { type: once }\n    output: { type: broken }\n')],
    {
      entry: stubEntry,
    },
  );
  expect(alone.code).toBe(1);
});

test('a failed stream, and the process, can be watched over HTTP while the others run', async () => {
  const text =
    'health_check: { address: "127.0.0.1:0" }\nstreams:\n  - { id: lost, input: { type: once }, output: { type: broken } }\n  - { id: well, input: { type: once }, output: { type: stuck } }\n';
  const run = startCli(['run', dir.file('watched.yaml', text)], { entry: stubEntry });
  afterTest(() => void run.child.kill('SIGKILL'));
  await run.seen(/write is stuck/);
  await run.seen(/stream failed/);
  const [, base] = /health on (http:\/\/\S+)\/readiness/.exec(run.stderr())!;
  const health = await fetch(`${base}/health`);
  expect(health.status).toBe(503);
  expect(await health.json()).toMatchObject({
    status: 'failed',
    streams: [
      { id: 'lost', state: 'failed' },
      { id: 'well', state: 'running', reasons: [] },
    ],
  });
  expect(await (await fetch(`${base}/readiness`)).text()).toContain(
    'the stream has failed: the key is broken (since 2',
  );
  const metrics = await (await fetch(`${base}/metrics`)).text();
  expect(metrics).toContain('millrace_stream_state{stream="lost",state="failed"} 1\n');
  expect(metrics).toContain('millrace_stream_state{stream="well",state="running"} 1\n');
  expect(metrics).toContain('millrace_stream_ready{stream="lost"} 0\n');
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  expect(metrics).toContain(`millrace_build_info{version="${version}",node="${process.versions.node}"} 1\n`);
  expect(metrics).toMatch(/^process_resident_memory_bytes [1-9]/m);
  expect(metrics).toMatch(/^process_open_fds [1-9]/m);
  expect(metrics).toMatch(/^nodejs_eventloop_lag_p99_seconds 0\.\d/m);
});

test('the log is JSON where the configuration says so', async () => {
  const text = `logging: { format: json }\n${noHealth}streams:\n  - input: { type: memory, messages: [x] }\n    output: { type: drop }\n`;
  const { stdout, stderr } = await cli(['run', dir.file('json.yaml', text)]);
  expect(stdout).toBe('');
  const lines = stderr
    .trimEnd()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  expect(lines).toContainEqual(expect.objectContaining({ level: 30, msg: 'stream ended' }));
});

test('warnings of experimental features are not shown, others are', async () => {
  const { stderr } = await cliProcess(['list'], { entry: stubEntry });
  expect(stderr).toContain('OtherWarning: something else');
  expect(stderr).not.toContain('ExperimentalWarning');
});

test('a health address that is in use is reported with its code and tried again, and stops no stream', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server);
  const text = `health_check: { address: "127.0.0.1:${port}" }\nstreams:\n  - input: { type: generate, context: a, interval: 1h }\n`;
  const run = startCli(['run', dir.file('taken.yaml', text)]);
  await run.seen(/^a$/m);
  expect(run.stderr()).toMatch(
    /no health and no metrics for now: health_check\.address: cannot listen on [^ ]+ the address is in use .*MILLRACE_LISTEN_FAILED/,
  );
  server.close();
  await run.seen(/health on http:/);
  expect(
    (await fetch(`http://127.0.0.1:${port}/readiness`, { headers: { connection: 'close' } })).status,
  ).toBe(200);
  run.child.kill('SIGTERM');
  expect((await run.result).code).toBe(0);
});

test('a health address that stays in use does not hold up the end', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const text = `health_check: { address: "127.0.0.1:${portOf(server)}" }\nstreams:\n  - input: { type: memory, messages: [a] }\n`;
  const { code, stdout } = await cli(['run', dir.file('taken-for-good.yaml', text)]);
  server.close();
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'a\n' });
});

test('check --dial reports on each input and output', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server);
  server.close();
  await once(server, 'close');
  const file = streams(
    'dial.yaml',
    `  - id: a\n    input: { type: memory, messages: [x] }\n    error_output: { type: drop }\n  - id: b\n    input: { type: websocket, url: "ws://127.0.0.1:${port}" }\n`,
  );
  const { code, stdout, stderr } = await cli(['check', '--dial', file]);
  expect(code).toBe(1);
  expect(stdout.trimEnd().split('\n').toSorted()).toEqual(
    [
      `${file}: OK, 2 streams`,
      'a: error_output drop: connected',
      'a: input memory: connected',
      'a: output stdout: connected',
      'b: output stdout: connected',
    ].toSorted(),
  );
  expect(stderr).toMatch(/^b: input websocket: .*ECONNREFUSED/m);

  const fine = await cli(['check', '--dial', hello]);
  expect(fine).toMatchObject({ code: 0, stderr: '' });
  expect(fine.stdout).toContain('stream-0: input memory: connected\n');
});

test('check --dial ends with a close frame, for inputs and outputs', async () => {
  const server = await wsServer();
  const busy = setInterval(() => {
    for (const { socket } of server.connections) for (let n = 0; n < 100; n++) socket.send('x'.repeat(1000));
  }, 1);
  afterTest(() => clearInterval(busy));
  const file = streams(
    'leave.yaml',
    `  - { input: { type: websocket, url: "${server.url}" }, in_flight: { messages: 10 } }
  - { input: { type: websocket, url: ["${server.url}?a", "${server.url}?b"], redundancy: 2, dedupe: { key: id } } }
  - { input: { type: memory, messages: [x] }, output: { type: websocket, url: "${server.url}" } }
`,
  );
  const { code, stderr } = await cli(['check', '--dial', file]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(server.connections).toHaveLength(6);
  for (const index of server.connections.keys())
    expect(await server.closed(index)).toEqual({ code: 1000, reason: 'done' });
});

test('check --dial does not wait long for a server that does not answer the close', async () => {
  const server = await new FaultServer().up();
  const file = streams('deaf.yaml', `  - { input: { type: websocket, url: "${server.url}" } }\n`);
  const { code } = await cli(['check', '--dial', file]);
  expect(code).toBe(0);
  expect(await (await server.peer(0)).closeCode()).toBe(1000);
});

test('check --dial does not wait for ever', async () => {
  const file = streams(
    'silent.yaml',
    '  - id: a\n    input: { type: silent }\n    output: { type: stuck }\n',
  );
  const { code, stderr } = await cliProcess(['check', '--dial', '--timeout', '300ms', file], {
    entry: stubEntry,
  });
  expect(code).toBe(1);
  expect(stderr).toContain('a: input silent: no answer within 300ms');
});

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening');
  return address.port;
}

test('the words of a peer cannot look like a line of the log, nor steer the terminal', async () => {
  const feed = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  afterTest(() => feed.close());
  await once(feed, 'listening');
  feed.on('connection', (socket) => socket.close(4000, '\u001b[31mover\r\n[00:00:00.000] INFO: all is well'));
  const { port } = feed.address() as AddressInfo;
  const url = `ws://127.0.0.1:${port}`;
  const stop = 'reconnect: { stop_on: { close_codes: [4000] } }';
  const { code, stderr } = await cli([
    'run',
    streams('rude.yaml', `  - input: { type: websocket, url: "${url}", ${stop} }\n`),
  ]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/connection closed with 4000 \[31mover \[00:00:00\.000\] INFO: all is well/);
  const tail = await cli(['tail', '--no-reconnect', url]);
  expect(tail.stderr).toBe(
    `MILLRACE_NOT_CONNECTED: ${url} closed the connection with 4000: [31mover [00:00:00.000] INFO: all is well\n`,
  );
  expect(stderr + tail.stderr).not.toMatch(/^\[00:00|\u001b|\r/m);
});

test('a query runs in UTC, whatever TZ is', async () => {
  const file = dir.file(
    'zone.yaml',
    `health_check: { enabled: false }
streams:
  - input: { type: memory, messages: ['{"micros":1764518000000000}'], codec: { type: json } }
    pipeline: { processors: [{ type: sql, query: 'SELECT hour(make_timestamptz(micros)) AS hour FROM flow' }] }
`,
  );
  // 2025-11-30T15:53:20Z
  expect((await cliProcess(['run', file], { env: { TZ: 'UTC' } })).stdout).toBe('{"hour":15}\n');
  expect((await cliProcess(['run', file], { env: { TZ: 'Asia/Tokyo' } })).stdout).toBe('{"hour":15}\n');
});

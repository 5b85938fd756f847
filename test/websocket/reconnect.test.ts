import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { closeFrame, frame } from '../support/frames.ts';
import { FaultServer, freePort, rawUpgrade } from '../support/peers.ts';
import { until } from '../support/until.ts';

const client = (url: string, reconnect = '{ initial: 1ms, max: 20ms }'): string => `
streams:
  - input: { type: websocket, url: "${url}", reconnect: ${reconnect} }
    output: { type: collect }
`;

test('a server that is down at the start is tried until it comes up', async () => {
  const server = new FaultServer((peer) => void peer.accept({ then: frame('text', 'here I am') }));
  server.port = await freePort();
  const run = await startEngine(client(server.url));
  const attempts = () => run.metric('millrace_reconnects_total', 'stage="input"');
  await until('five attempts', async () => (await attempts()) >= 5);
  await server.up();
  expect(await run.output().count(1)).toEqual(['here I am']);
  await run.logged(/^input failed to connect: .*ECONNREFUSED/);
});

test('a server that restarts again and again loses nobody', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(client(server.url));
  const expected: string[] = [];
  for (let restart = 0; restart < 6; restart++) {
    if (restart > 0) await server.up();
    const peer = await server.peer(restart);
    for (let index = 0; index < 10; index++) {
      expected.push(`${restart}.${index}`);
      peer.socket.write(frame('text', `${restart}.${index}`));
    }
    expect(await run.output().count(expected.length)).toEqual(expected);
    await server.down();
  }
  await until(
    'six reconnects',
    async () => (await run.metric('millrace_reconnects_total', 'stage="input"')) >= 6,
  );
  expect(await run.metric('millrace_connections_opened_total', 'stage="input"')).toBe(6);
  const sessions = new Set(run.output().messages.map(({ ext }) => ext['session_id']));
  expect(sessions.size).toBe(6);
  expect(run.output().messages.map(({ ext }) => Number(ext['sequence']))).toEqual(
    Array.from({ length: 60 }, (_, index) => 1 + (index % 10)),
  );
});

test('one lost connection is one reconnect, one error and one line of the log', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(client(server.url));
  const first = await server.peer(0);
  await run.connected();
  first.socket.end();
  await server.peer(1);
  await run.metricIs(1, 'millrace_reconnects_total', 'stage="input"');
  await run.metricIs(1, 'millrace_errors_total', 'stage="input"', 'MILLRACE_NOT_CONNECTED');
  const lines = run.log.filter(({ level, msg }) => level >= 40 && msg.startsWith('input '));
  expect(lines).toHaveLength(1);
  expect(lines[0]!.msg).toMatch(/^input lost its connection: the connection to ws:\/\/[^ ]+ broke \(1006\)$/);
  expect(lines[0]!['retry_in_ms']).toEqual(expect.any(Number));
});

test('a server that dies in the middle of a frame: whole messages come out, then those of the next connection', async () => {
  const whole = frame('text', 'whole');
  const half = frame('text', 'never whole').subarray(0, 6);
  const server = await new FaultServer((peer) => peer.accept().socket.end(Buffer.concat([whole, half]))).up();
  const run = await startEngine(client(server.url));
  await run.output().count(1);
  server.behaviour = (peer) => void peer.accept({ then: frame('text', 'next') });
  await until('the next', () => run.output().texts.includes('next'));
  expect(new Set(run.output().texts)).toEqual(new Set(['whole', 'next']));
});

test('the server’s close code and reason are in the log', async () => {
  const server = await new FaultServer((peer) => {
    peer.accept({ then: Buffer.concat([frame('text', 'bye'), closeFrame(1012, 'restarting')]) });
  }).up();
  const run = await startEngine(client(server.url));
  const line = await run.logged(/^input lost its connection/);
  expect(line.msg).toMatch(/ws:\/\/[^ ]+ closed the connection with 1012: restarting$/);
  await until(
    'its count',
    async () => (await run.metric('millrace_connections_closed_total', 'code="1012"')) >= 1,
  );
  expect(run.output().texts[0]).toBe('bye');
});

test('a close by Millrace is logged as ours', async () => {
  const server = await new FaultServer(
    (peer) => void peer.accept({ then: frame('text', 'x', { declared: 2 ** 31 }) }),
  ).up();
  const run = await startEngine(client(server.url));
  const peer = await server.peer(0);
  expect(await peer.closeCode()).toBe(1009);
  peer.socket.end();
  const line = await run.logged(/^input lost its connection/);
  expect(line.msg).toMatch(/closed the connection to ws:\/\/[^ ]+ with 1009: Max payload size exceeded$/);
});

test('pauses are drawn at random below a limit that doubles up to `max`', async () => {
  const run = await startEngine(client(`ws://127.0.0.1:${await freePort()}`, '{ initial: 4ms, max: 32ms }'));
  await until('30 attempts', () => run.log.filter(({ msg }) => msg.startsWith('input failed')).length >= 30);
  const pauses = run.log
    .filter(({ msg }) => msg.startsWith('input failed'))
    .map((line) => Number(line['retry_in_ms']));
  for (const [index, pause] of pauses.entries())
    expect(pause).toBeLessThanOrEqual(Math.min(32, 4 * 2 ** index));
  expect(Math.max(...pauses)).toBeGreaterThan(8);
  expect(new Set(pauses).size).toBeGreaterThan(5);
});

test('when `reconnect.max_attempts` have failed in a row, the stream fails; the other streams go on', async () => {
  const run = await startEngine(`
streams:
  - id: doomed
    input:
      type: websocket
      url: "ws://127.0.0.1:${await freePort()}"
      reconnect: { initial: 1ms, max: 1ms, max_attempts: 3 }
    output: { type: collect, name: doomed }
  - id: healthy
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0 }
    output: { type: collect }
`);
  const line = await run.logged(/^stream failed/);
  expect(line).toMatchObject({ stream: 'doomed', code: 'MILLRACE_RECONNECT_EXHAUSTED' });
  expect(line.msg).toMatch(/gave up after 3 attempts: cannot connect to .*ECONNREFUSED/);
  const peer = await rawUpgrade(await run.url('healthy'));
  peer.socket.write(frame('text', 'all is well', { mask: true }));
  expect(await run.output().count(1)).toEqual(['all is well']);
  const { status, text } = await run.http('/readiness');
  expect(status).toBe(503);
  expect(JSON.parse(text).streams).toMatchObject([
    { id: 'doomed', state: 'failed' },
    { id: 'healthy', ready: true },
  ]);
  peer.socket.end(closeFrame(1000, '', { mask: true }));
  expect(await run.stop()).toEqual({ failed: ['doomed'], left: [] });
});

test('a stop does not wait for the pause before the next attempt, nor for a handshake', async () => {
  const mute = await new FaultServer(() => {}).up();
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "ws://127.0.0.1:${await freePort()}", reconnect: { initial: 1h, max: 1h } }
    output: { type: collect }
  - input: { type: websocket, url: "${mute.url}", timeout: 1h }
    output: { type: collect }
`);
  await run.logged(/^input failed to connect/);
  const peer = await mute.peer(0);
  expect(await run.stop()).toEqual({ failed: [], left: [] });
  await peer.gone();
});

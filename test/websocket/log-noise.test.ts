import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startEngine, type LogLine, type Run } from '../support/engine.ts';
import { FaultServer, connectClient, send } from '../support/peers.ts';
import { closeFrame } from '../support/frames.ts';
import { until } from '../support/until.ts';

const server = (fields = '', more = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json }, ${fields} }
    output: { type: collect }
${more}
`;

/** As they are written with the default level. */
const shown = (run: Run, message: RegExp): LogLine[] =>
  run.log.filter(({ level, msg }) => level >= 30 && message.test(msg));

const inFull = 10;

test('rejected messages without error_output: the first in full, then one line with their number and sender', async () => {
  const run = await startEngine(server());
  const flooder = await connectClient(await run.url());
  const garbage = '{'.repeat(2000);
  await send(flooder, ...Array<string>(200).fill(garbage));
  const other = await connectClient(await run.url());
  await send(other, '{"n":1}');
  await run.output().count(1);
  await run.metricIs(200, 'millrace_dead_letters_total', 'stage="codec"');
  const lines = shown(run, /^message rejected: /);
  expect(lines).toHaveLength(inFull);
  for (const line of lines) {
    expect(line).toMatchObject({
      level: 40,
      code: 'MILLRACE_CODEC_INVALID_JSON',
      remote_address: '127.0.0.1',
    });
    expect(line['payload']).toBe(`${'{'.repeat(1024)}… (2000 bytes)`);
  }
  // Not only at the end: an operator sees it while it goes on.
  const sum = await run.logged(
    /^190 more in 10 s, from 127\.0\.0\.1 \(190\), the last one: message rejected: /,
  );
  expect(sum).toMatchObject({
    level: 40,
    stage: 'codec',
    code: 'MILLRACE_CODEC_INVALID_JSON',
    repeated: 190,
    stream: 'stream-0',
  });
  // It goes on, and then there is no line in full again until it has been quiet.
  await send(flooder, ...Array<string>(20).fill(garbage));
  await run.metricIs(220, 'millrace_dead_letters_total', 'stage="codec"');
  expect(shown(run, /^message rejected: /)).toHaveLength(inFull);
  expect(JSON.stringify(shown(run, /./)).length).toBeLessThan(20_000);
}, 60_000);

test('lines that were held back are logged at shutdown, by subject and address', async () => {
  const auth = `auth: { type: basic, users: { ada: a-long-enough-password } }`;
  const run = await startEngine(server(auth));
  const authorization = `Basic ${Buffer.from('ada:a-long-enough-password').toString('base64')}`;
  const client = await connectClient(await run.url(), { headers: { authorization } });
  await send(client, ...Array<string>(25).fill('{'));
  await run.metricIs(25, 'millrace_dead_letters_total');
  expect(shown(run, /more in 10 s/)).toEqual([]);
  await run.stop();
  const [sum] = shown(run, /more in 10 s/);
  expect(sum!.msg).toMatch(
    /^15 more in 10 s, from ada at 127\.0\.0\.1 \(15\), the last one: message rejected: /,
  );
});

test('close codes that clients choose make no series of their own, and no warnings', async () => {
  const run = await startEngine(server());
  const url = await run.url();
  for (let code = 3000; code < 5000; code += 50) {
    const { socket, closed } = await connectClient(url);
    socket.close(code, 'my reason');
    await closed;
  }
  await run.metricIs(20, 'millrace_connections_closed_total', 'code="3000-3999"');
  await run.metricIs(20, 'millrace_connections_closed_total', 'code="4000-4999"');
  const { text } = await run.http('/metrics');
  expect(text.match(/^millrace_connections_closed_total\{.*$/gm)).toHaveLength(2);
  // The first in full, with the code as it was; the others as one line.
  const lines = shown(run, /^connection closed with 3/);
  expect(lines).toHaveLength(inFull);
  expect(lines[1]).toMatchObject({ level: 30, code: 3050, reason: 'my reason', remote_address: '127.0.0.1' });
  await run.stop();
  expect(
    shown(run, /^10 more in 10 s, from 127\.0\.0\.1 \(10\), the last one: connection closed with 3950/),
  ).toHaveLength(1);
  expect(run.log.filter(({ level }) => level >= 40)).toEqual([]);
});

/** Each causes one line at will. `line` begins it. */
const provocations: {
  what: string;
  fields?: string;
  line: RegExp;
  act: (url: string) => Promise<unknown>;
}[] = [
  {
    what: 'handshakes with wrong credentials',
    fields: 'auth: { type: bearer, tokens: [a-token-that-is-right] }, limits: { failed_logins: 1000 },',
    line: /^connection refused with 401: /,
    act: (url) =>
      connectClient(url, { headers: { authorization: 'Bearer a-wrong-token-for-it' } }).catch(() => {}),
  },
  {
    what: 'pages of a foreign origin',
    line: /^connection refused with 403: /,
    act: (url) => connectClient(url, { origin: 'https://foreign.example' }).catch(() => {}),
  },
  {
    what: 'requests to a wrong path',
    line: /^(refused a request|connection refused) with 404/,
    act: async (url) =>
      await fetch(url.replace('ws:', 'http:') + 'nothing', { headers: { connection: 'close' } }),
  },
  {
    what: 'messages that are too large',
    fields: 'max_message_size: 100,',
    line: /^connection closed with 1009/,
    act: async (url) => {
      const { socket, closed } = await connectClient(url);
      socket.send('x'.repeat(101));
      await closed;
    },
  },
  {
    what: 'connections that are cut',
    line: /^connection closed with 1006/,
    act: async (url) => {
      const { socket, closed } = await connectClient(url);
      socket.terminate();
      await closed;
    },
  },
];

test.each(provocations)('$what: a few lines, and one that sums up', async ({ fields = '', line, act }) => {
  const run = await startEngine(server(fields));
  const url = await run.url();
  const times = 40;
  for (let n = 0; n < times; n++) await act(url);
  // At level debug there is each of them.
  await until('each to be noticed', () => run.log.filter(({ msg }) => line.test(msg)).length === times);
  expect(shown(run, line)).toHaveLength(inFull);
  await run.stop();
  const sums = shown(run, /^\d+ more in 10 s/).filter(({ msg }) =>
    line.test(msg.split(', the last one: ')[1]!),
  );
  expect(sums.reduce((sum, { repeated }) => sum + Number(repeated), 0)).toBe(times - inFull);
  for (const { msg } of sums) expect(msg).toContain('from 127.0.0.1 (');
});

test('handshakes of TLS that fail are summed up as well', async () => {
  const fixture = (name: string): string =>
    fileURLToPath(new URL(`../control/fixtures/${name}.pem`, import.meta.url));
  const tls = `tls: { cert_file: "${fixture('server')}", key_file: "${fixture('server-key')}" },`;
  const run = await startEngine(server(tls));
  const port = await run.port();
  for (let n = 0; n < 40; n++) {
    await new Promise<void>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.end('GET / HTTP/1.1\r\n\r\n'));
      socket.on('error', () => {}).on('close', () => resolve());
      socket.resume();
    });
  }
  await run.metricIs(40, 'millrace_connections_refused_total', 'status="tls"');
  expect(shown(run, /^a TLS handshake failed/)).toHaveLength(inFull);
});

test('lines about a server that lets no connection stay are summed up as well', async () => {
  const feed = await new FaultServer((peer) => {
    peer.accept({ then: closeFrame(4000, 'go away') });
    peer.socket.end();
  }).up();
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "${feed.url}", reconnect: { initial: 1ms, max: 1ms } }
    output: { type: collect }
`);
  await until('many connections', () => feed.peers.length >= 100, { timeout: 60_000 });
  await run.abort();
  const lines = run.log.filter(({ level }) => level >= 30);
  expect(lines.length).toBeLessThan(60);
  expect(shown(run, /more in 10 s.*the last one: input lost its connection/).length).toBeGreaterThan(0);
}, 60_000);

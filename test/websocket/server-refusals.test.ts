import { connect } from 'node:net';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { exchange, upgradeRequest } from '../control/raw.ts';
import { startServer } from '../support/handshakes.ts';
import { startEngine } from '../support/engine.ts';
import { freePort } from '../support/peers.ts';
import { until } from '../support/until.ts';

const plain = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`;

test.each([
  ['a wrong path', upgradeRequest('/other'), 404, 'nothing is served at /other'],
  ['a wrong path, without an upgrade', plain('/other'), 404, 'nothing is served at /other'],
  ['a plain request', plain('/ws'), 426, 'a plain HTTP request'],
  [
    'another upgrade',
    'GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket2, websocket/13\r\n\r\n',
    426,
    'a plain HTTP request',
  ],
  [
    'two hosts',
    upgradeRequest('/ws').replace('Host: test', 'Host: test\r\nHost: other'),
    400,
    'The request has several Host headers',
  ],
  ['no HTTP', 'hello\r\n\r\n', 400, 'The request is not valid HTTP'],
  ['large headers', upgradeRequest('/ws', `X: ${'x'.repeat(20_000)}\r\n`), 431, 'The headers are too large'],
])(
  '%s is refused, logged with its reason, and counted for the stream',
  async (_, request, status, reason) => {
    const run = await startServer('path: /ws');
    expect(await exchange(await run.port(), request)).toContain(`HTTP/1.1 ${status} `);
    const line = await run.logged(/^connection refused with /);
    expect(line).toMatchObject({
      stream: 'stream-0',
      stage: 'input',
      status,
      reason,
      remote_address: '127.0.0.1',
    });
    await run.metricIs(1, 'millrace_connections_refused_total', 'stream="stream-0"', `status="${status}"`);
  },
);

test('a request that does not come is counted for the stream as well', async () => {
  const run = await startServer('path: /ws, limits: { handshake_timeout: 1ms }');
  const socket = connect({ port: await run.port(), host: '127.0.0.1' });
  socket.write('GET /ws HTTP/1.1\r\nHost');
  socket.resume();
  await once(socket, 'close');
  const line = await run.logged(/^connection refused with 408/);
  expect(line).toMatchObject({ stream: 'stream-0', reason: 'The request did not come in time' });
});

test('on a shared port, a refusal is counted for its stream if that is known', async () => {
  const port = await freePort();
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: ${port}, path: /a }
    output: { type: collect }
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: ${port}, path: /b }
    output: { type: collect }
`);
  await Promise.all([run.connected('stream-0'), run.connected('stream-1')]);
  await exchange(port, plain('/b'));
  await run.metricIs(1, 'millrace_connections_refused_total', 'stream="stream-1"', 'status="426"');
  await exchange(port, plain('/c'));
  await run.metricIs(
    1,
    'millrace_connections_refused_total',
    'stream=""',
    'stage="listener"',
    'status="404"',
  );
  const line = await until('the line', () => run.log.find(({ msg }) => msg.startsWith('refused a request')));
  expect(line).toMatchObject({
    msg: 'refused a request with 404: nothing is served at /c; served here: /a, /b',
    path: '/c',
  });
  expect(await run.metric('millrace_connections_refused_total', 'stream="stream-0"')).toBe(0);
});

test('the address in the line is the client’s, whichever proxies it came through', async () => {
  const run = await startServer('path: /ws, trusted_proxies: [127.0.0.1]');
  await exchange(
    await run.port(),
    upgradeRequest('/x', 'X-Forwarded-For: 192.0.2.7\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'),
  );
  expect(await run.logged(/^connection refused with 404/)).toMatchObject({ remote_address: '192.0.2.7' });
});

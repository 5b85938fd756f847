import { Registry, Counter } from 'prom-client';
import { afterEach, expect, test } from 'vitest';
import type { Endpoint } from '../../src/component/listeners.ts';
import { serveHealth, type HealthOptions } from '../../src/control/health-server.ts';
import type { StreamHealth } from '../../src/control/health.ts';
import { SharedListeners } from '../../src/control/listeners.ts';
import { exchange, rawClient, upgradeRequest } from './raw.ts';

const running: StreamHealth = {
  id: 'orders',
  state: 'running',
  ready: true,
  reasons: [],
  last_message_age_seconds: 1.5,
};
const starting: StreamHealth = {
  id: 'trades',
  state: 'starting',
  ready: false,
  reasons: ['input websocket is not connected: connection refused'],
  last_message_age_seconds: null,
};

const plan: HealthOptions['plan'] = {
  address: '127.0.0.1:0',
  health_path: '/health',
  readiness_path: '/readiness',
  liveness_path: '/liveness',
  metrics_path: '/metrics',
};

const ignore = (): void => {};

const open: Endpoint[] = [];
afterEach(async () => {
  for (const endpoint of open.splice(0)) await endpoint.close();
});

async function serve(options: Partial<HealthOptions> = {}): Promise<number> {
  const defaults = {
    listeners: new SharedListeners(),
    plan,
    health: () => [running],
    metrics: new Registry(),
  };
  const endpoint = await serveHealth({ ...defaults, ...options });
  open.push(endpoint);
  return endpoint.port;
}

async function get(port: number, path: string, init?: RequestInit) {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, init);
  return { status: response.status, headers: response.headers, text: await response.text() };
}

test('/health says ok and the state of each stream', async () => {
  const port = await serve({ health: () => [running, starting] });
  const { status, headers, text } = await get(port, '/health');
  expect(status).toBe(200);
  expect(headers.get('content-type')).toMatch(/^application\/json/);
  expect(headers.get('cache-control')).toBe('no-store');
  expect(JSON.parse(text)).toEqual({
    status: 'ok',
    streams: [
      { id: 'orders', state: 'running', reasons: [] },
      { id: 'trades', state: 'starting', reasons: starting.reasons },
    ],
  });
});

test.each([
  ['degraded', 200, { ...running, ready: false, reasons: ['output file cannot write: no room'] }],
  ['ok', 200, { ...running, state: 'draining', ready: false, reasons: ['the stream is draining'] }],
  ['failed', 503, { ...running, state: 'failed', ready: false, reasons: ['the stream has failed: no'] }],
] as const)('/health says %s with %i', async (status, code, stream) => {
  const answer = await get(await serve({ health: () => [running, stream] }), '/health');
  expect(answer.status).toBe(code);
  expect(JSON.parse(answer.text)).toMatchObject({ status, streams: [{}, { reasons: stream.reasons }] });
});

test('/readiness is 200 only while every stream is ready, and else says why', async () => {
  let health = [running, starting];
  const port = await serve({ health: () => health });
  const before = await get(port, '/readiness');
  expect(before.status).toBe(503);
  expect(before.headers.get('cache-control')).toBe('no-store');
  expect(JSON.parse(before.text)).toEqual({ status: 'not_ready', streams: [running, starting] });
  health = [running];
  const after = await get(port, '/readiness?verbose');
  expect(after.status).toBe(200);
  expect(JSON.parse(after.text)).toEqual({ status: 'ready', streams: [running] });
});

test('/liveness is 200 whatever the streams do', async () => {
  const port = await serve({ health: () => [starting] });
  expect(await get(port, '/liveness')).toMatchObject({ status: 200, text: '{"status":"alive"}' });
});

test('/metrics is the registry in Prometheus text', async () => {
  const metrics = new Registry();
  new Counter({ name: 'millrace_test_total', help: 'Test.', registers: [metrics] }).inc(3);
  const { status, headers, text } = await get(await serve({ metrics }), '/metrics');
  expect(status).toBe(200);
  expect(headers.get('content-type')).toBe(metrics.contentType);
  expect(text).toContain('# TYPE millrace_test_total counter\nmillrace_test_total 3\n');
});

test('HEAD is answered without a body', async () => {
  const port = await serve({ health: () => [starting] });
  expect(await get(port, '/health', { method: 'HEAD' })).toMatchObject({ status: 200, text: '' });
  expect(await get(port, '/readiness', { method: 'HEAD' })).toMatchObject({ status: 503, text: '' });
  expect(await get(port, '/metrics', { method: 'HEAD' })).toMatchObject({ status: 200, text: '' });
});

test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'PURGE', 'TRACE'])(
  '%s gets a 405',
  async (method) => {
    const port = await serve();
    const answer = await exchange(
      port,
      `${method} /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-odd\r\nContent-Length: 2\r\n\r\n{{`,
    );
    expect(answer).toMatch(/^HTTP\/1.1 405 /);
    expect(answer).toMatch(/\r\nallow: GET, HEAD\r\n/i);
  },
);

test('paths are as configured, taken literally, and nothing else is served', async () => {
  const paths = { health_path: '/a:b', readiness_path: '/r/', liveness_path: '/l-1', metrics_path: '/x/y' };
  const port = await serve({ plan: { ...plan, ...paths } });
  for (const path of Object.values(paths)) expect((await get(port, path)).status, path).toBe(200);
  for (const path of ['/health', '/a', '/ax', '/r', '/'])
    expect((await get(port, path)).status, path).toBe(404);
});

test('shares its port with two WebSocket paths, and frees it when closed', async () => {
  const listeners = new SharedListeners();
  const first = await listeners.upgrade({ host: '127.0.0.1', port: 0, path: '/a', handler: ignore });
  const { port } = first;
  const second = await listeners.upgrade({ host: '127.0.0.1', port, path: '/b', handler: ignore });
  const health = await serveHealth({
    listeners,
    plan: { ...plan, address: `127.0.0.1:${port}` },
    health: () => [running],
    metrics: new Registry(),
  });
  expect((await get(port, '/health')).status).toBe(200);
  expect((await get(port, '/a')).status).toBe(426);
  expect((await get(port, '/b')).status).toBe(426);
  expect(await exchange(port, upgradeRequest('/health'))).toMatch(/ 404 /);
  await health.close();
  expect((await get(port, '/health')).status).toBe(404);
  await first.close();
  await second.close();
  await expect(rawClient(port)).rejects.toThrow(/ECONNREFUSED/);
});

test('IPv6', async () => {
  const port = await serve({ plan: { ...plan, address: '[::1]:0' } });
  const answer = await exchange(
    port,
    'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
    '::1',
  );
  expect(answer).toMatch(/ 200 OK.*"status":"ok"/s);
});

test('addresses and paths that cannot be served are refused', async () => {
  await expect(serve({ plan: { ...plan, address: '4747' } })).rejects.toThrow(
    /"4747" is not an address.*host:port/,
  );
  const twice = { ...plan, liveness_path: '/health' };
  await expect(serve({ plan: twice })).rejects.toMatchObject({ code: 'MILLRACE_LISTEN_CONFLICT' });
  const port = await serve();
  const listeners = new SharedListeners();
  const again = { ...plan, address: `127.0.0.1:${port}` };
  await expect(serve({ listeners, plan: again })).rejects.toMatchObject({ code: 'MILLRACE_LISTEN_FAILED' });
});

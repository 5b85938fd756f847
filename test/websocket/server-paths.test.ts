import { expect, test } from 'vitest';
import { configMistakes, startEngine } from '../support/engine.ts';
import { connectClient, freePort, send } from '../support/peers.ts';
import { exchange, upgradeRequest } from '../control/raw.ts';

const input = (port: number, path: string, more = ''): string => `
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: ${port}, path: "${path}" ${more} }
    output: { type: collect, name: "${path}" }`;

test('a parameter of the path is metadata, for processors too', async () => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: "/rooms/:room/devices/:id", codec: { type: json } }
    pipeline:
      processors:
        - type: sql
          query: "SELECT t, __meta_ext['param.room'] AS room, __meta_ext['param.id'] AS id, __meta_ext['path'] AS path FROM flow"
    output: { type: collect }
`);
  const port = await run.port();
  const client = await connectClient(`ws://127.0.0.1:${port}/rooms/b%C3%BCro%2F2/devices/7?x=1`);
  await send(client, '{"t":1}');
  await run.output().count(1);
  expect(run.output().values).toEqual([
    { t: 1, room: 'büro/2', id: '7', path: '/rooms/b%C3%BCro%2F2/devices/7' },
  ]);
});

test('several inputs of one port: each client reaches the most specific path, and the others get 404 or 400', async () => {
  const port = await freePort();
  const paths = ['/devices/:id', '/devices/all', '/:kind/status', '/devices/:id/log'];
  const run = await startEngine(`streams: ${paths.map((path) => input(port, path)).join('')}`);
  await Promise.all(paths.map((_, index) => run.connected(`stream-${index}`)));
  const cases = [
    ['/devices/7', '/devices/:id'],
    ['/devices/all', '/devices/all'],
    ['/devices/status', '/devices/:id'],
    ['/sensors/status', '/:kind/status'],
    ['/devices/all/log', '/devices/:id/log'],
  ] as const;
  for (const [path, to] of cases) {
    const client = await connectClient(`ws://127.0.0.1:${port}${path}`);
    await send(client, path);
    await run.output(to).count(1);
    expect(run.output(to).texts.pop()).toBe(path);
    run.output(to).messages.length = 0;
  }
  for (const path of ['/devices', '/devices/', '/devices/7/', '/x/y', '/devices/7/log/x']) {
    expect(await exchange(port, upgradeRequest(path)), path).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/);
  }
  expect(await exchange(port, upgradeRequest('/devices/%E0%A4'))).toMatch(
    /^HTTP\/1\.1 400 Bad Request\r\n.*The path is not percent-encoded UTF-8\.\n$/s,
  );
  expect(await exchange(port, 'GET /devices/% HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n')).toMatch(
    /^HTTP\/1\.1 400 /,
  );
});

test.each([
  ['the same path', '/a', '/a', 'the path /a on 127.0.0.1:PORT is taken by another component; give'],
  [
    'the same pattern',
    '/a/:x',
    '/a/:y',
    'is taken by another component, as /a/:x, which takes the same requests',
  ],
])('two inputs that want %s are a mistake before anything starts', async (_, first, second, message) => {
  const port = await freePort();
  const start = startEngine(`streams: ${input(port, first)} ${input(port, second)}`);
  await expect(start).rejects.toThrow(message.replace('PORT', String(port)));
});

test('inputs of `multiple_inputs` that want the same path are a mistake, too', async () => {
  const child = `{ type: websocket, mode: server, host: 127.0.0.1, port: ${await freePort()} }`;
  const start = startEngine(`
streams:
  - input: { type: multiple_inputs, inputs: [ ${child}, ${child} ] }
    output: { type: collect }
`);
  await expect(start).rejects.toThrow(/^the path \/ on .* is taken by another component/);
});

test.each([
  ['handshake_timeout: 5s', ''],
  ['header_size: 8KiB', 'header_size: 4KiB'],
])('one port has one %s', async (first, second) => {
  const port = await freePort();
  const limits = (value: string): string => (value === '' ? '' : `, limits: { ${value} }`);
  const run = await startEngine(
    `streams: ${input(port, '/a', limits(first))} ${input(port, '/b', limits(second))}`,
  );
  expect((await run.logged(/^stream failed/)).msg).toMatch(
    /is shared with a component that has another limits\.handshake_timeout or limits\.header_size; give both the same/,
  );
  expect((await run.logged(/^stream failed/)).code).toBe('MILLRACE_LISTEN_CONFLICT');
});

test('a value that is not a path is a mistake at load', () => {
  const mistakes = (path: string): string[] => configMistakes(`streams: ${input(1, path)}`);
  expect(mistakes('devices')).toEqual([expect.stringContaining('starts with /')]);
  expect(mistakes('/a/:')).toEqual([expect.stringContaining('not a parameter')]);
  expect(mistakes('/a/:7')).toEqual([expect.stringContaining('not a parameter')]);
  expect(mistakes('/:a/:a')).toEqual([expect.stringContaining('each parameter can be named only once')]);
  expect(mistakes('/café')).toEqual([expect.stringContaining('do the same here, as in /caf%C3%A9')]);
  expect(mistakes('/a b')).toEqual([expect.stringContaining('has no ?, # or space')]);
  const inUrl = configMistakes(
    '- input: { type: websocket, mode: server, url: "ws://127.0.0.1:1/a/:7" }\n  output: { type: collect }\n',
  );
  expect(inUrl).toEqual([
    '[0].input.url: its path: not a parameter: :7; expected a name, as in /devices/:id',
  ]);
});

test('a path in another script is written as clients send it', async () => {
  const run = await startEngine(`streams: ${input(0, '/caf%C3%A9')}`);
  const client = await connectClient(`ws://127.0.0.1:${await run.port()}/café`);
  await send(client, 'un');
  expect(await run.output('/caf%C3%A9').count(1)).toEqual(['un']);
});

test('a value that cannot be a header is a mistake at load', () => {
  const mistakes = (more: string): string[] => configMistakes(`streams: ${input(1, '/', `, ${more}`)}`);
  expect(mistakes('metadata: { headers: [user-agent, "X Name"] }')).toEqual([
    expect.stringMatching(/metadata\.headers\[1\]: .*not a header name/),
  ]);
  expect(mistakes('auth: { type: api_key, keys: [k3y-5], header: "X-Key:" }')).toEqual([
    expect.stringMatching(/auth\.header: .*not a header name/),
  ]);
});

test('headers and parameters with names that every object has are like any other', async () => {
  const run = await startEngine(`
streams:
  - input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      path: "/:__proto__"
      metadata: { headers: [constructor, __proto__, x-own], query: [constructor, __proto__] }
    output: { type: collect }
`);
  const url = `ws://127.0.0.1:${await run.port()}/value?__proto__=query`;
  await send(await connectClient(url, { headers: { 'X-Own': 'mine' } }), 'hello');
  await run.output().count(1);
  const { ext } = run.output().messages[0]!;
  expect(Object.entries(ext).filter(([name]) => /^(param|header|query)\./.test(name))).toEqual([
    ['param.__proto__', 'value'],
    ['header.x-own', 'mine'],
    ['query.__proto__', 'query'],
  ]);
});

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { registry } from '../../src/components/index.ts';
import { parseConfig } from '../../src/config/load.ts';
import { Engine } from '../../src/runtime/engine.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { afterTest } from '../support/cleanup.ts';
import { configMistakes, startEngine, type Run } from '../support/engine.ts';
import { HttpServer, type Answer } from '../support/http-server.ts';
import { TokenEndpoint } from '../support/token-endpoint.ts';
import { connectClient, send } from '../support/peers.ts';
import { startNginx } from '../support/nginx.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testWith } from '../support/tools.ts';
import { standstill, until } from '../support/until.ts';

const fixture = (name: string): string =>
  new URL(`../control/fixtures/${name}.pem`, import.meta.url).pathname;
const pem = (name: string): string => readFileSync(fixture(name), 'utf8');

const dir = tempDir();

const unzipped = (server: HttpServer): string[] =>
  server.requests.flatMap(({ body }) => gunzipSync(body).toString().split('\n').slice(0, -1));

const codec = 'codec: { type: json }';

/** A stream that writes these messages, given as JSON, to an `http` output with these fields. */
async function write(
  messages: readonly string[],
  fields: string,
  { env = {}, input = codec }: { env?: Record<string, string>; input?: string } = {},
): Promise<Run> {
  return await startEngine(
    `
streams:
  - id: s
    input: { type: memory, messages: ${JSON.stringify(messages)}, ${input} }
    output:
      type: http
      ${fields.trim().split('\n').join('\n      ')}
    error_output: { type: collect, name: rejected }
`,
    env,
  );
}

const status =
  (code: number, text = '', headers: Record<string, string> = {}): Answer =>
  (_, response) =>
    void response.writeHead(code, { 'content-type': 'text/plain', ...headers }).end(text);

interface Letter {
  readonly payload: string;
  readonly error: { readonly code: string; readonly message: string };
}

const lettersOf = (run: Run): Letter[] => run.output('rejected').values as Letter[];

/** Resolves when readiness has a reason like this. */
async function reason(run: Run, like: RegExp): Promise<void> {
  let last = '';
  await until(
    `the reason ${String(like)}`,
    async () => {
      const { text } = await run.http('/readiness');
      const { streams } = JSON.parse(text) as { streams: { reasons: string[] }[] };
      last = streams[0]?.reasons[0] ?? '';
      return like.test(last);
    },
    { state: () => last },
  );
}

describe('requests', () => {
  test('each message is the body of one, in order, with a type and a key of its own', async () => {
    const server = await HttpServer.start();
    const messages = ['{"n":1.10,"s":"ü"}', '[2]', '"\\u0000"'];
    const run = await write(messages, `url: ${server.url}/in?a=1\nheaders: { X-Own: "yes" }`);
    await run.ended;
    expect(server.bodies).toEqual(messages);
    const [first] = server.requests;
    expect(first).toMatchObject({ method: 'POST', target: '/in?a=1' });
    expect(first!.headers).toMatchObject({
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(messages[0]!)),
      'x-own': 'yes',
    });
    expect(new Set(server.requests.map(({ headers }) => headers['idempotency-key'])).size).toBe(3);
    // One more was opened to see whether the server is there.
    expect(server.connections).toBe(2);
  });

  test('array and ndjson put together what came together, within bounds', async () => {
    const server = await HttpServer.start();
    const messages = ['{"n":1}', '{ "n" : 2 }', '{"n":3}'];
    await (
      await write(messages, `url: ${server.url}\nbatch: array\nmax_messages: 2`)
    ).ended;
    expect(server.bodies.map((body) => body.trim())).toEqual(['[{"n":1},{ "n" : 2 }]', '[{"n":3}]']);
    expect(server.requests[0]!.headers['content-type']).toBe('application/json');

    server.requests.length = 0;
    await (
      await write(messages, `url: ${server.url}\nbatch: ndjson\ncompression: gzip`)
    ).ended;
    expect(gunzipSync(server.requests[0]!.body).toString()).toBe('{"n":1}\n{ "n" : 2 }\n{"n":3}\n');
    expect(server.requests[0]!.headers).toMatchObject({
      'content-type': 'application/x-ndjson',
      'content-encoding': 'gzip',
    });

    server.requests.length = 0;
    await (
      await write(messages, `url: ${server.url}\nbatch: ndjson\nmax_body_size: 20`)
    ).ended;
    expect(server.bodies).toEqual(['{"n":1}\n{ "n" : 2 }\n', '{"n":3}\n']);
  });

  test('URL and headers are filled in from each message, and no value leaves its place', async () => {
    const server = await HttpServer.start();
    const messages = ['a', '../b?c=1#d', '..', 'ü', 'line\nbreak'].map((id) => JSON.stringify({ id }));
    const run = await write(messages, `url: '${server.url}/d/{{json:id}}/x'`);
    await run.ended;
    expect(server.requests.map(({ target }) => target)).toEqual([
      '/d/a/x',
      '/d/..%2Fb%3Fc%3D1%23d/x',
      '/d/%C3%BC/x',
      '/d/line%0Abreak/x',
    ]);
    expect(lettersOf(run)).toMatchObject([
      { payload: '{"id":".."}', error: { code: 'MILLRACE_OUTPUT_REFUSED' } },
    ]);

    server.requests.length = 0;
    const second = await write(messages, `url: ${server.url}\nheaders: { X-Id: "{{json:id}}" }`);
    await second.ended;
    // Node reads header values as Latin-1.
    expect(server.requests.map(({ headers }) => headers['x-id'])).toEqual(['a', '../b?c=1#d', '..', 'ü']);
    expect(lettersOf(second).map(({ payload }) => payload)).toEqual([messages[4]]);
  });

  test('messages with another URL are not in one request', async () => {
    const server = await HttpServer.start();
    const messages = ['a', 'a', 'b', 'a'].map((to, n) => JSON.stringify({ to, n }));
    await (
      await write(messages, `url: '${server.url}/{{json:to}}'\nbatch: ndjson`)
    ).ended;
    expect(
      server.requests.map(({ target, body }) => [target, body.toString().split('\n').length - 1]),
    ).toEqual([
      ['/a', 2],
      ['/b', 1],
      ['/a', 1],
    ]);
  });

  test('a body of one’s own is filled in, and stays the JSON that it is', async () => {
    const server = await HttpServer.start();
    const messages = ['{"t":"a\\"b","l":1.10}', '{"t":"c"}', '{"t":"d","l":["x"]}'];
    const run = await write(
      messages,
      `url: ${server.url}\nbody: '{"text":"{{json:t}}!","level":{{json:l}}}'`,
    );
    await run.ended;
    expect(server.bodies).toEqual(['{"text":"a\\"b!","level":1.10}', '{"text":"d!","level":["x"]}']);
    expect(lettersOf(run).map(({ payload }) => payload)).toEqual([messages[1]]);
  });

  test('payloads without a codec go as they are; PUT and GET are methods', async () => {
    const server = await HttpServer.start();
    await (
      await write(['plain'], `url: ${server.url}\nmethod: PUT`, { input: 'name: x' })
    ).ended;
    expect(server.requests[0]).toMatchObject({ method: 'PUT' });
    expect(server.requests[0]!.headers['content-type']).toBe('application/octet-stream');
    await (
      await write(['{"q":"a b"}'], `url: '${server.url}/?q={{json:q}}'\nmethod: GET`)
    ).ended;
    expect(server.requests[1]).toMatchObject({ method: 'GET', target: '/?q=a%20b' });
    expect(server.requests[1]!.headers).not.toHaveProperty('content-type');
    expect(server.requests[1]!.body).toHaveLength(0);
  });

  test('several may be under way at a time', async () => {
    const server = await HttpServer.start(() => {});
    const run = await write(['1', '2', '3', '4'], `url: ${server.url}\nmax_in_flight: 3`);
    expect(await standstill('requests', () => server.requests.length || undefined)).toBe(3);
    server.answer = status(200);
    server.cut();
    await run.ended;
    expect(new Set(server.bodies).size).toBe(4);
  });
});

describe('answers', () => {
  test('a message that the server refuses is a dead letter alone, with what the server said, cut and masked', async () => {
    const server = await HttpServer.start((request, response) => {
      const isBad = request.body.includes('bad');
      status(isBad ? 422 : 200, `no ${request.headers['x-key'] as string} ${'x'.repeat(2000)}`)(
        request,
        response,
        0,
      );
    });
    const run = await write(['"1"', '"bad"', '"2"'], `url: ${server.url}/in\nheaders: { X-Key: "\${KEY}" }`, {
      env: { KEY: 'a-very-secret-key' },
    });
    await run.ended;
    expect(server.bodies).toEqual(['"1"', '"bad"', '"2"']);
    const [letter] = lettersOf(run);
    expect(letter!.payload).toBe('"bad"');
    expect(letter!.error.code).toBe('MILLRACE_HTTP_REFUSED');
    expect(letter!.error.message).toMatch(
      /^POST http:\/\/127\.0\.0\.1:\d+\/in was answered 422 Unprocessable Entity: no \*\*\* x{50,}$/,
    );
    expect(letter!.error.message.length).toBeLessThan(500);
    expect(JSON.stringify(run.log)).not.toContain('a-very-secret-key');
  });

  test('of a batch that the server refuses, the messages at fault are found, and the others written', async () => {
    const server = await HttpServer.start((request, response) => {
      status(request.body.includes('bad') ? 400 : 200)(request, response, 0);
    });
    const messages = ['"1"', '"2"', '"bad 3"', '"4"', '"5"', '"bad 6"', '"7"'];
    const run = await write(messages, `url: ${server.url}\nbatch: ndjson`);
    await run.ended;
    const written = server.bodies.filter((body) => !body.includes('bad')).join('');
    expect(written).toBe('"1"\n"2"\n"4"\n"5"\n"7"\n');
    expect(lettersOf(run).map(({ payload }) => payload)).toEqual(['"bad 3"', '"bad 6"']);
  });

  test.each([401, 403, 404, 405, 408, 429, 500, 503])(
    'after %i the output sends again under the same key, and readiness says why meanwhile',
    async (code) => {
      const server = await HttpServer.start(status(code, 'not now'));
      const run = await write(['"a"', '"b"'], `url: ${server.url}/in\nretry: { initial: 1ms, max: 1ms }`);
      await until('it to be tried again', () => server.requests.length > 2);
      await reason(
        run,
        new RegExp(`output http .*POST http://127.0.0.1:\\d+/in was answered ${code} .*: not now`),
      );
      server.answer = status(200);
      await run.ended;
      const bodies = server.bodies;
      expect(bodies.slice(-2)).toEqual(['"a"', '"b"']);
      expect(bodies.slice(0, -1).every((body) => body === '"a"')).toBe(true);
      const keys = new Set(server.requests.map(({ headers }) => headers['idempotency-key']));
      expect(keys.size).toBe(2);
    },
  );

  test.each([429, 503])('Retry-After of %i is waited for', async (code) => {
    const server = await HttpServer.start(status(code, '', { 'retry-after': '3000' }));
    const run = await write(['"a"'], `url: ${server.url}\nretry: { initial: 1ms, max: 1ms }`);
    await reason(run, /was answered/);
    expect(await standstill('requests', () => server.requests.length || undefined)).toBe(1);
    await run.abort();
  });

  test('an output that has confirmed a part of a batch sends only the rest again', async () => {
    const server = await HttpServer.start((request, response, number) => {
      status(number === 2 ? 500 : 200)(request, response, number);
    });
    const run = await write(['1', '2', '3'], `url: ${server.url}\nretry: { initial: 1ms }`);
    await run.ended;
    expect(server.bodies).toEqual(['1', '2', '2', '3']);
  });

  test('redirects on the same host are followed with method and body, others are not', async () => {
    const other = await HttpServer.start();
    const server = await HttpServer.start((request, response) => {
      if (request.target === '/in') status(307, '', { location: '/moved?x=1' })(request, response, 0);
      else if (request.target === '/away')
        status(308, '', { location: `${other.url}/x` })(request, response, 0);
      else status(200)(request, response, 0);
    });
    await (
      await write(['"a"'], `url: ${server.url}/in\nmethod: PUT`)
    ).ended;
    expect(server.requests[1]).toMatchObject({ method: 'PUT', target: '/moved?x=1' });
    expect(server.bodies[1]).toBe('"a"');
    const run = await write(['"b"'], `url: ${server.url}/away`);
    await reason(run, /a redirect to http:\/\/127\.0\.0\.1:\d+\/x, another host, which is not followed/);
    expect(other.requests).toEqual([]);
    await run.abort();
  });
});

describe('a server that fails', () => {
  test('nothing is lost when it goes in the middle of a request and comes back', async () => {
    const server = await HttpServer.start((_, response, number) => {
      if (number === 2) server.cut();
      else response.writeHead(200).end();
    });
    const run = await write(['1', '2', '3'], `url: ${server.url}\nretry: { initial: 1ms, max: 5ms }`);
    await run.ended;
    expect(server.bodies).toEqual(['1', '2', '2', '3']);
  });

  test('messages wait while it is away, and readiness says so', async () => {
    const server = await HttpServer.start();
    await server.stop();
    const run = await write(['1'], `url: ${server.url}/in\nretry: { initial: 1ms, max: 5ms }`);
    await reason(
      run,
      /^output http is not connected: cannot connect to http:\/\/127\.0\.0\.1:\d+\/in: connect ECONNREFUSED/,
    );
    await server.restart();
    await run.ended;
    expect(server.bodies).toEqual(['1']);
  });

  test('a request that is not answered in time is repeated; one under way does not hold the end', async () => {
    const server = await HttpServer.start(() => {});
    const run = await write(['1'], `url: ${server.url}\ntimeout_ms: 50\nretry: { initial: 1ms, max: 1ms }`);
    await until('it to be tried again', () => server.requests.length > 1);
    await reason(run, /no answer within 0\.05 s/);
    await run.abort();
    const held = await write(['1'], `url: ${server.url}\ntimeout: 1h`);
    const before = server.requests.length;
    await until('the request', () => server.requests.length > before);
    await held.abort();
  });
});

describe('credentials and TLS', () => {
  test.each([
    [
      'basic',
      'auth: { type: basic, username: kim, password: "${S}" }',
      `Basic ${Buffer.from('kim:s3cret').toString('base64')}`,
    ],
    ['bearer', 'auth: { type: bearer, token: "${S}" }', 'Bearer s3cret'],
    ['the URL’s', 'url: URL', `Basic ${Buffer.from('kim:s3cret').toString('base64')}`],
  ])('%s', async (_, auth, header) => {
    const server = await HttpServer.start();
    const own = server.url.replace('//', '//kim:s3cret@');
    const fields = auth === 'url: URL' ? `url: ${own}` : `url: ${server.url}\n${auth}`;
    await (
      await write(['1'], fields, { env: { S: 's3cret' } })
    ).ended;
    expect(server.requests[0]!.headers.authorization).toBe(header);
  });

  test('a token of OAuth2 is fetched, and fetched anew after 401', async () => {
    const tokens = await new TokenEndpoint().up();
    const server = await HttpServer.start((request, response) => {
      status(request.headers.authorization === 'Bearer token-2' ? 200 : 401)(request, response, 0);
    });
    const auth = `auth: { type: oauth2, token_url: '${tokens.url}', client_id: me, client_secret: secret-of-me }`;
    await (
      await write(['1', '2'], `url: ${server.url}\n${auth}\nretry: { initial: 1ms }`)
    ).ended;
    expect(server.bodies).toEqual(['1', '1', '2']);
  });

  test('TLS needs an authority that is trusted, and can show a certificate', async () => {
    const server = await HttpServer.start(undefined, {
      key: pem('server-key'),
      cert: pem('server'),
      ca: pem('ca'),
      requestCert: true,
    });
    const run = await write(['1'], `url: ${server.url}`);
    await reason(run, /the authority of the server’s certificate is not trusted.*tls\.ca_file/);
    await run.abort();
    const files = `ca_file: ${fixture('ca')}, cert_file: ${fixture('client')}, key_file: ${fixture('client-key')}`;
    await (
      await write(['1'], `url: ${server.url}\ntls: { server_name: localhost, ${files} }`)
    ).ended;
    expect(server.bodies).toEqual(['1']);
  });
});

testWith('nginx')(
  'behind nginx: a body that it finds too large is refused alone, and 502 is waited for',
  async () => {
    const server = await HttpServer.start();
    const port = await startNginx(server.port);
    const large = JSON.stringify('x'.repeat(1_200_000));
    const run = await write(['"1"', large, '"2"'], `url: http://127.0.0.1:${port}/in\nbatch: ndjson`);
    await run.ended;
    expect(server.bodies.join('')).toBe('"1"\n"2"\n');
    expect(lettersOf(run)[0]!.error.message).toMatch(/was answered 413/);

    await server.stop();
    const waiting = await write(
      ['"3"'],
      `url: http://127.0.0.1:${port}/in\nretry: { initial: 1ms, max: 5ms }`,
    );
    await reason(waiting, /was answered 502/);
    await server.restart();
    await waiting.ended;
    expect(server.bodies.at(-1)).toBe('"3"');
  },
);

test('the example writes to both servers, and keeps what one of them refuses', async () => {
  const api = await HttpServer.start((request, response) => {
    response.writeHead(request.target.endsWith('/2') ? 409 : 201).end();
  });
  const archive = await HttpServer.start();
  const text = readFileSync(new URL('../../examples/connectors/http.yaml', import.meta.url), 'utf8')
    .replace('port: 8080', 'port: 0')
    .replace('./data/', `${dir.path}/`);
  const run = await startEngine(text, { API: `${api.url}/orders`, ARCHIVE: `${archive.url}/lines` });
  const client = await connectClient(await run.url('orders'));
  const orders = [1, 2, 3].map((id) => JSON.stringify({ id, item: 'tea' }));
  await send(client, ...orders);
  await until('both servers', () => api.requests.length === 3 && unzipped(archive).length === 3);
  await run.stop();
  expect(api.requests.map(({ method, target }) => `${method} ${target}`)).toEqual(
    [1, 2, 3].map((id) => `PUT /orders/${id}`),
  );
  expect(unzipped(archive)).toEqual(orders);
  const refused = JSON.parse(readFileSync(`${dir.path}/refused.jsonl`, 'utf8')) as Letter;
  expect(refused).toMatchObject({ payload: orders[1], error: { code: 'MILLRACE_HTTP_REFUSED' } });
});

test('ArkFlow’s fields are accepted unchanged', async () => {
  const server = await HttpServer.start();
  const run = await write(
    ['{"text":"hello","n":1}'],
    `
url: ${server.url}
method: POST
timeout_ms: 5000
retry_count: 3
headers: { X-A: b }
body_field: text
auth: { type: bearer, token: abc }`,
  );
  await run.ended;
  expect(server.bodies).toEqual(['hello']);
  expect(server.requests[0]!.headers).toMatchObject({ 'x-a': 'b', authorization: 'Bearer abc' });
});

test.each([
  ['url: ftp://example.com', 'url: the value (not shown) is not an HTTP URL'],
  ["url: 'http://{{json:host}}/'", 'url: the value (not shown) is not an HTTP URL'],
  ['url: http://a\nbatch: array\nbody: x', 'body: needs `batch: each`'],
  ['url: http://a\nmethod: GET\nbatch: ndjson', 'batch: a GET has no body'],
  [
    'url: http://a\nheaders: { Content-Length: "1" }',
    'headers.Content-Length: this header belongs to the connection',
  ],
  ['url: http://a\nmax_messages: 3', 'max_messages: needs `batch: array` or `ndjson`'],
  ['url: http://a\nbody: \'{"a":{{json:}}}\'', 'body: '],
])('a mistake is told: %s', (fields, mistake) => {
  const text = fields.split('\n').join('\n      ');
  const mistakes = configMistakes(
    `streams:\n  - input: { type: memory, messages: [a] }\n    output:\n      type: http\n      ${text}\n`,
  );
  expect(mistakes).toEqual([expect.stringContaining(`streams[0].output.${mistake}`)]);
});

test('requests go through a proxy, with the credentials of its URL', async () => {
  const server = await HttpServer.start();
  const asked: (string | undefined)[][] = [];
  const proxy = createServer();
  proxy.on('connect', ({ url, headers }, socket: Socket) => {
    asked.push([url, headers['proxy-authorization']]);
    const target = connect(server.port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      target.pipe(socket).pipe(target);
    });
    for (const each of [socket, target]) each.on('error', () => {});
    afterTest(() => target.destroy());
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  afterTest(() => proxy.close());
  const { port } = proxy.address() as AddressInfo;
  const run = await write(
    ['1', '2'],
    `url: http://api.example:81/in\nproxy: http://kim:s3cret@127.0.0.1:${port}`,
  );
  await run.ended;
  expect(server.bodies).toEqual(['1', '2']);
  expect(server.requests[0]!.headers.host).toBe('api.example:81');
  const basic = `Basic ${Buffer.from('kim:s3cret').toString('base64')}`;
  expect(asked).toEqual([
    ['api.example:81', basic],
    ['api.example:81', basic],
  ]);
});

test('check --dial connects without a request', async () => {
  const server = await HttpServer.start();
  const dial = (url: string): Promise<(string | undefined)[]> =>
    dialOf(`output: { type: http, url: '${url}' }`);
  const dialOf = async (output: string): Promise<(string | undefined)[]> => {
    const plan = parseConfig(`streams: [{ input: { type: memory, messages: [a] }, ${output} }]`, {
      registry,
    });
    const engine = new Engine(plan, { registry, logger: createLogger({ level: 'silent', format: 'plain' }) });
    const reports = await engine.dial(AbortSignal.timeout(20_000));
    return reports.filter(({ stage }) => stage === 'output').map(({ error }) => error?.message);
  };
  expect(await dial(`${server.url}/{{json:x}}`)).toEqual([undefined]);
  const other = await HttpServer.start();
  await other.stop();
  const both = `outputs: [{ type: http, name: a, url: '${server.url}' }, { type: http, name: b, url: '${other.url}' }]`;
  expect(await dialOf(both)).toEqual([
    expect.stringMatching(/^fan_out\.b: cannot connect to http:\/\/127\.0\.0\.1:\d+: connect ECONNREFUSED/),
  ]);
  await server.stop();
  expect(await dial(server.url)).toEqual([expect.stringContaining('ECONNREFUSED')]);
  expect(server.requests).toEqual([]);
});

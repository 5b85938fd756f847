import { rmSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { configMistakes, startEngine, type Run } from '../support/engine.ts';
import { closeFrame, frame } from '../support/frames.ts';
import { FaultServer, freePort } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { TokenEndpoint, giveJson, giveToken } from '../support/token-endpoint.ts';
import { python } from '../support/tools.ts';
import { until } from '../support/until.ts';

const quick = 'reconnect: { initial: 1ms, max: 5ms }';
const input = (fields: string): string => `
streams:
  - input: { type: websocket, ${fields}, ${quick} }
    output: { type: collect }
`;
const oauth2 = (endpoint: TokenEndpoint, more = ''): string =>
  `auth: { type: oauth2, token_url: "${endpoint.url}", client_id: app-1, client_secret: "s3cr3t-of-app" ${more} }`;
const refuse = (status: string, why = '') =>
  `HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(why)}\r\n\r\n${why}`;
const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

/** Everything that anybody may read of a run. */
async function everything(run: Run): Promise<string> {
  const { messages } = run.output();
  return (
    JSON.stringify(run.log) +
    JSON.stringify(messages.map(({ source, ext }) => [source, ext])) +
    (await run.http('/metrics')).text +
    (await run.http('/readiness')).text
  );
}

describe('basic', () => {
  test('a foreign server with basic authentication lets it in', async () => {
    const server = python(`
import asyncio
async def handler(ws):
    await ws.send("welcome " + ws.username)
    await ws.wait_closed()
async def main():
    gate = websockets.basic_auth(realm="feed", credentials=("ann", "pass: word"))
    async with websockets.serve(handler, "127.0.0.1", 0, process_request=gate) as server:
        print("port", server.sockets[0].getsockname()[1])
        await asyncio.Future()
asyncio.run(main())
`);
    const port = (await server.line(/^port /)).slice('port '.length);
    const url = `url: "ws://127.0.0.1:${port}"`;
    const wrong = await startEngine(input(`${url}, auth: { type: basic, username: ann, password: no }`));
    await wrong.logged(
      /^input failed to connect: .* the server answered 401 Unauthorized: Invalid credentials$/,
    );
    const run = await startEngine(
      input(`${url}, auth: { type: basic, username: ann, password: "pass: word" }`),
    );
    expect(await run.output().count(1)).toEqual(['welcome ann']);
  });

  test('the password’s file is read at each attempt, without its line break', async () => {
    const dir = tempDir();
    const file = dir.file('password', 'old-password\n');
    const server = await new FaultServer((peer) => {
      if (peer.header('authorization') === basic('ann', 'new-password'))
        peer.accept({ then: frame('text', 'in') });
      else peer.socket.end(refuse('401 Unauthorized'));
    }).up();
    const run = await startEngine(
      input(`url: "${server.url}", auth: { type: basic, username: ann, password_file: "${file}" }`),
    );
    const first = await server.peer(0);
    expect(first.header('authorization')).toBe(basic('ann', 'old-password'));
    writeFileSync(file, 'new-password\r\n');
    expect(await run.output().count(1)).toEqual(['in']);
    expect(await everything(run)).not.toMatch(/old-password|new-password/);
  });
});

describe('bearer', () => {
  test('is sent at each attempt, with an output’s handshake as well', async () => {
    const server = await new FaultServer().up();
    await startEngine(`
streams:
  - input: { type: generate, count: 1, context: hi }
    output: { type: websocket, url: "${server.url}", auth: { type: bearer, token: "t0ken-of-ours" }, ${quick} }
`);
    const peer = await server.peer(0);
    expect(peer.header('authorization')).toBe('Bearer t0ken-of-ours');
  });

  test('a token file that is missing, then empty, then with a line break inside, is reported and tried again', async () => {
    const dir = tempDir();
    const file = dir.file('token', 'x');
    rmSync(file);
    const server = await new FaultServer((peer) => void peer.accept({ then: frame('text', 'in') })).up();
    const run = await startEngine(
      input(`url: "${server.url}", auth: { type: bearer, token_file: "${file}" }`),
    );
    await run.logged(/^input failed to connect: cannot read `auth\.token_file`: ENOENT/);
    writeFileSync(file, '\n');
    await run.logged(
      /^input failed to connect: cannot use `auth\.token_file`: .* is blank; expected a secret$/,
    );
    writeFileSync(file, 's3cret\r\nX-Admin: true');
    await run.logged(
      /^input failed to connect: cannot use `auth\.token_file`: .* has a line break in it; expected one secret/,
    );
    expect(server.peers).toHaveLength(0);
    writeFileSync(file, 's3cret\n');
    await run.output().count(1);
    expect(server.peers[0]!.header('authorization')).toBe('Bearer s3cret');
    expect(await everything(run)).not.toContain('s3cret');
  });

  test('`{{token}}` is its token, beside the header', async () => {
    const server = await new FaultServer().up();
    await startEngine(
      input(
        `url: "${server.url}", auth: { type: bearer, token: "a b/c" }, query: { access: "{{token}}" }, on_open: [ { send: { auth: "{{token}}" } } ]`,
      ),
    );
    const peer = await server.peer(0);
    expect(await peer.count(1)).toEqual(['{"auth":"a b/c"}']);
    expect(peer.target).toBe('/feed?access=a%20b%2Fc');
    expect(peer.header('authorization')).toBe('Bearer a b/c');
  });
});

describe('oauth2', () => {
  test('asks for a token as RFC 6749 says, and sends it', async () => {
    const endpoint = await new TokenEndpoint().up();
    const server = await new FaultServer((peer) => void peer.accept({ then: frame('text', 'in') })).up();
    const run = await startEngine(
      input(
        `url: "${server.url}", auth: { type: oauth2, token_url: "${endpoint.url}?tenant=7", client_id: "app-1_~.x", client_secret: "a+b/c: ä", scopes: [read, "feed:all"], parameters: { audience: "https://api.example/" } }`,
      ),
    );
    await run.output().count(1);
    const [request] = endpoint.requests;
    expect(Object.fromEntries(request!.form)).toEqual({
      grant_type: 'client_credentials',
      scope: 'read feed:all',
      audience: 'https://api.example/',
    });
    // RFC 6749 section 2.3.1: each is form-encoded first.
    expect(request!.authorization).toBe(basic('app-1_~.x', 'a%2Bb%2Fc%3A+%C3%A4'));
    expect(server.peers[0]!.header('authorization')).toBe('Bearer token-1');
  });

  test('with `auth_method: client_secret_post` the id and the secret are in the body', async () => {
    const endpoint = await new TokenEndpoint().up();
    const server = await new FaultServer((peer) => void peer.accept({ then: frame('text', 'in') })).up();
    const dir = tempDir();
    const file = dir.file('secret', 'from-a-file\n');
    const run = await startEngine(
      input(
        `url: "${server.url}", auth: { type: oauth2, token_url: "${endpoint.url}", client_id: app, client_secret_file: "${file}", auth_method: client_secret_post }`,
      ),
    );
    await run.output().count(1);
    const [request] = endpoint.requests;
    expect(request!.authorization).toBeUndefined();
    expect(request!.form.get('client_id')).toBe('app');
    expect(request!.form.get('client_secret')).toBe('from-a-file');
  });

  test('one token serves until it is about to expire; `refresh_before` says when that is', async () => {
    const endpoint = await new TokenEndpoint().up();
    const server = await new FaultServer((peer) => peer.accept().socket.end()).up();
    const run = await startEngine(input(`url: "${server.url}", ${oauth2(endpoint)}`));
    await server.peer(4);
    expect(endpoint.requests).toHaveLength(1);
    await run.stop();
    // It is good for an hour, which is less than two.
    const eager = await startEngine(
      input(`url: "${server.url}", ${oauth2(endpoint, ', refresh_before: 2h')}`),
    );
    // The last connection of the first run may be seen only now.
    const tokens = (): (string | undefined)[] =>
      server.peers.map((peer) => peer.header('authorization')).filter((token) => token !== 'Bearer token-1');
    await until('three connections of the second run', () => tokens().length >= 3);
    await eager.stop();
    expect(tokens().slice(0, 3)).toEqual(['Bearer token-2', 'Bearer token-3', 'Bearer token-4']);
  });

  test('the connections of one input share a token, also while it is fetched', async () => {
    const endpoint = await new TokenEndpoint().up();
    const server = await new FaultServer().up();
    await startEngine(
      input(
        `url: [ "${server.url}/a", "${server.url}/b" ], redundancy: 2, dedupe: { key: id }, ${oauth2(endpoint)}`,
      ),
    );
    await server.peer(3);
    expect(new Set(server.peers.map((peer) => peer.header('authorization')))).toEqual(
      new Set(['Bearer token-1']),
    );
    expect(endpoint.requests).toHaveLength(1);
  });

  test.each(['401 Unauthorized', '403 Forbidden'])(
    'after %s it is discarded and fetched again',
    async (status) => {
      const endpoint = await new TokenEndpoint().up();
      const server = await new FaultServer((peer) => {
        if (peer.header('authorization') === 'Bearer token-1') peer.socket.end(refuse(status));
        else peer.accept({ then: frame('text', 'in') });
      }).up();
      const run = await startEngine(input(`url: "${server.url}", ${oauth2(endpoint)}`));
      await run.output().count(1);
      expect(server.peers.map((peer) => peer.header('authorization'))).toEqual([
        'Bearer token-1',
        'Bearer token-2',
      ]);
      await run.logged(new RegExp(`the server answered ${status}$`));
      expect(await everything(run)).not.toMatch(/token-1|token-2|s3cr3t/);
    },
  );

  test.each([1008, 3000, 4401])('after close code %i it is thrown away and fetched again', async (code) => {
    const endpoint = await new TokenEndpoint().up();
    const server = await new FaultServer((peer) => {
      const stale = peer.header('authorization') === 'Bearer token-1';
      peer.accept({ then: stale ? closeFrame(code) : frame('text', 'in') });
    }).up();
    const run = await startEngine(input(`url: "${server.url}", ${oauth2(endpoint)}`));
    await run.output().count(1);
    expect(endpoint.requests).toHaveLength(2);
  });

  test('after another close code it is kept', async () => {
    const endpoint = await new TokenEndpoint().up();
    const server = await new FaultServer((peer) => {
      peer.accept({ then: server.peers.length < 4 ? closeFrame(1012) : frame('text', 'in') });
    }).up();
    const run = await startEngine(input(`url: "${server.url}", ${oauth2(endpoint)}`));
    await run.output().count(1);
    expect(endpoint.requests).toHaveLength(1);
  });

  test('after another status it is kept', async () => {
    const endpoint = await new TokenEndpoint().up();
    const server = await new FaultServer((peer) => {
      if (server.peers.length < 4) peer.socket.end(refuse('500 Oh'));
      else peer.accept({ then: frame('text', 'in') });
    }).up();
    const run = await startEngine(input(`url: "${server.url}", ${oauth2(endpoint)}`));
    await run.output().count(1);
    expect(endpoint.requests).toHaveLength(1);
  });

  test('a token that `on_open` sends and the server rejects is fetched again', async () => {
    const endpoint = await new TokenEndpoint().up();
    const server = await new FaultServer((peer) => {
      peer.accept();
      void peer.count(1).then(
        ([text]) => {
          const ok = text === '{"token":"token-2"}';
          peer.socket.write(frame('text', ok ? '{"ok":true}' : `{"error":"bad token token-1"}`));
          if (ok) peer.socket.write(frame('text', 'data'));
        },
        () => {},
      );
    }).up();
    const run = await startEngine(
      input(
        `url: "${server.url}", ${oauth2(endpoint)}, on_open: [ { send: { token: "{{token}}" } }, { expect: { ok: true }, reject: [error] } ]`,
      ),
    );
    expect(await run.output().count(1)).toEqual(['data']);
    const line = await run.logged(/^input failed to connect/);
    expect(line.msg).toMatch(
      /`on_open\[1\]`: the server sent a message that `reject` names: \{"error":"bad token \*\*\*"\}$/,
    );
  });

  test.each<[string, TokenEndpoint['answer'], RegExp]>([
    [
      'refuses',
      (response) =>
        giveJson(response, 401, { error: 'invalid_client', error_description: 'no s3cr3t-of-app here' }),
      /it answered 401 Unauthorized: invalid_client, no \*\*\* here$/,
    ],
    [
      'repeats the credentials',
      (response, { authorization }) =>
        giveJson(response, 400, { error: 'invalid_client', error_description: `no ${authorization} here` }),
      /it answered 400 Bad Request: invalid_client, no Basic \*\*\* here$/,
    ],
    [
      'repeats them in a long text',
      (response) =>
        giveJson(response, 400, {
          error: 'invalid_client',
          error_description: `${'x'.repeat(190)} s3cr3t-of-app`,
        }),
      /invalid_client, x{190} \*\*\*$/,
    ],
    [
      'fails',
      (response) => void response.writeHead(500).end('<html>'),
      /it answered 500 Internal Server Error$/,
    ],
    [
      'redirects',
      (response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
      /it answered 302 Found$/,
    ],
    ['answers with no JSON', (response) => void response.end('<html>hello'), /application\/json|as JSON/],
    [
      'answers with no token',
      (response) => giveJson(response, 200, { token_type: 'bearer' }),
      /access_token/,
    ],
    [
      'gives a token of another type',
      (response) => giveJson(response, 200, { access_token: 'leak-me', token_type: 'mac' }),
      /token_type/,
    ],
    [
      'never stops',
      (response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        const more = (): void =>
          void response.write(Buffer.alloc(64 * 1024, 0x20), (error) => error ?? more());
        more();
      },
      /its answer is longer than 262144 bytes$/,
    ],
    ['hangs up', (response) => void response.destroy(), /socket hang up/],
    ['never answers', () => {}, /no answer within 0\.3 s$/],
    [
      'stops in the middle',
      (response) => void response.writeHead(200).write('{'),
      /no answer within 0\.3 s$/,
    ],
  ])(
    'a token endpoint that %s: the log says so without the secret, and it is tried again',
    async (_, answer, said) => {
      const endpoint = await new TokenEndpoint().up();
      const good = endpoint.answer;
      endpoint.answer = answer;
      const server = await new FaultServer((peer) => void peer.accept({ then: frame('text', 'in') })).up();
      // A server that answers has time for it on a busy machine, too.
      const timeout = said.source.startsWith('no answer') ? '300ms' : '30s';
      const run = await startEngine(input(`url: "${server.url}", timeout: ${timeout}, ${oauth2(endpoint)}`));
      const line = await run.logged(/^input failed to connect/);
      expect(line.msg).toContain(`cannot get a token from ${endpoint.url}: `);
      expect(line.msg).toMatch(said);
      expect(server.peers).toHaveLength(0);
      endpoint.answer = good;
      await run.output().count(1);
      expect(await everything(run)).not.toMatch(/s3cr3t|leak-me|czNjcjN0/);
    },
  );

  test('a token endpoint that asks to wait is waited for', async () => {
    const endpoint = await new TokenEndpoint().up();
    endpoint.answer = (response) => void response.writeHead(429, { 'retry-after': '600' }).end();
    const run = await startEngine(input(`url: "ws://127.0.0.1:1/", ${oauth2(endpoint)}`));
    const line = await run.logged(/it answered 429 Too Many Requests$/);
    expect(line['retry_in_ms']).toBe(600_000);
  });

  test('a token endpoint that is down is logged; a stop does not wait for one that hangs', async () => {
    const port = await freePort();
    const down = await startEngine(
      input(
        `url: "ws://127.0.0.1:1/", auth: { type: oauth2, token_url: "http://127.0.0.1:${port}/t", client_id: a, client_secret: b }`,
      ),
    );
    await down.logged(/cannot get a token from http:\/\/127\.0\.0\.1:\d+\/t: connect ECONNREFUSED/);
    const endpoint = await new TokenEndpoint().up();
    let gone = false;
    endpoint.answer = (response) => void response.once('close', () => (gone = true));
    const run = await startEngine(input(`url: "ws://127.0.0.1:1/", timeout: 1h, ${oauth2(endpoint)}`));
    await until('the request', () => endpoint.requests.length === 1);
    expect(await run.stop()).toEqual({ failed: [], left: [] });
    await until('the end of the request', () => gone);
  });

  test('a token that expires before its use is used once, and fetched again', async () => {
    const endpoint = await new TokenEndpoint().up();
    endpoint.answer = (response, _, number) => giveToken(response, `short-${number}`, 1);
    const server = await new FaultServer((peer) => peer.accept().socket.end()).up();
    await startEngine(input(`url: "${server.url}", ${oauth2(endpoint)}`));
    await server.peer(2);
    expect(server.peers.slice(0, 3).map((peer) => peer.header('authorization'))).toEqual([
      'Bearer short-1',
      'Bearer short-2',
      'Bearer short-3',
    ]);
  });
});

test.each([
  [
    'auth: { type: bearer, token: x }, headers: { authorization: "Bearer y" }',
    'headers.authorization: `auth` already sends it; remove one of the two',
  ],
  ['auth: { type: basic, username: "a:b", password: x }', 'a user name cannot hold a colon'],
  ['auth: { type: basic, username: a }', 'expected one of password, password_file'],
  ['auth: { type: bearer, token: x, token_file: y }', 'expected one of token, token_file'],
  ['auth: { type: oauth2, client_id: a, client_secret: b }', 'auth.token_url: is missing; expected a string'],
  [
    'auth: { type: oauth2, token_url: "ftp://x", client_id: a, client_secret: b }',
    'is not a URL; expected one like https://host/path',
  ],
  ['auth: { type: jwt, algorithms: [HS256], secret: x }', 'only for `mode: server`'],
  ['query: { t: "{{token}}" }', 'query.t: the token needs `auth` with `type: bearer` or `oauth2`'],
  [
    'auth: { type: basic, username: a, password: b }, on_open: [ { send: { a: [ "{{token}}" ] } } ]',
    'on_open[0].send.a[0]: the token needs `auth`',
  ],
  ['headers: { X: "{{cursor:-0}}" }', 'headers.X: the cursor needs `resume`'],
])('%s is a mistake', (fields, mistake) => {
  expect(configMistakes(input(`url: "ws://h/", ${fields}`)).join('\n')).toContain(mistake);
});

test.each([
  ['token_url: "https://ann:pw@h/token"', 'auth.token_url: cannot hold a user or password'],
  ['parameters: { grant_type: password }', 'auth.parameters.grant_type: is already sent'],
  ['scopes: [read], parameters: { scope: all }', 'auth.parameters.scope: is already sent'],
  [
    'auth_method: client_secret_post, parameters: { client_id: other }',
    'auth.parameters.client_id: is already sent',
  ],
])('oauth2 with %s is a mistake: it would not be sent', (fields, mistake) => {
  const oauth2 = (more: string): string =>
    `url: "ws://h/", auth: { type: oauth2, client_id: a, client_secret: b, ${more} }`;
  const url = fields.startsWith('token_url') ? '' : 'token_url: "https://h/token", ';
  expect(configMistakes(input(oauth2(url + fields))).join('\n')).toContain(mistake);
  // These are the endpoint's own matter.
  const fine = 'token_url: "https://h/token", parameters: { scope: all, client_id: a, audience: b }';
  expect(configMistakes(input(oauth2(fine)))).toEqual([]);
});

test('a user in the URL beside `auth` is a mistake, for an output too', () => {
  const fields = 'url: "ws://ann:pw@h/", auth: { type: bearer, token: x }';
  const mistake = 'auth: the URL already has a user; remove one of the two';
  expect(configMistakes(input(fields)).join('\n')).toContain(mistake);
  const output = `streams: [ { input: { type: generate, context: x }, output: { type: websocket, ${fields} } } ]`;
  expect(configMistakes(output).join('\n')).toContain(mistake);
});

test('a user in the URL beside an Authorization header is a mistake: one would not be sent', () => {
  const fields = 'headers: { authorization: Bearer x }';
  const mistake = 'headers.authorization: the URL already has a user; remove one of the two';
  expect(configMistakes(input(`url: "ws://ann:pw@h/", ${fields}`)).join('\n')).toContain(mistake);
  expect(configMistakes(input(`url: "ws://h/", ${fields}`))).toEqual([]);
});

describe('a server that repeats the credentials it got', () => {
  const pair = basic('ann', 'hunter2').slice('Basic '.length);

  test.each<[what: string, url: string, fields: string, secrets: string[]]>([
    ['basic', '/', 'auth: { type: basic, username: ann, password: hunter2 }', [pair, 'hunter2']],
    ['the user of the URL', '/', '', [pair, 'hunter2']],
    ['a bearer token', '/', 'auth: { type: bearer, token: s3cret }', ['s3cret']],
    ['a header', '/', 'headers: { Authorization: Bearer s3cret }', ['s3cret']],
    ['a cookie', '/', 'headers: { Cookie: "theme=dark; sid=abcdef" }', ['abcdef', 'sid=abcdef']],
    ['`query`', '/', 'query: { apikey: s3cret }', ['s3cret']],
    ['the URL’s query', '/?token=s3cret', '', ['s3cret']],
    ['an environment variable', '/?k={{env:KEY}}', '', ['env-s3cret']],
    ['a subprotocol', '/', 'protocols: [ key.psecret1234 ]', ['psecret1234', 'key.psecret1234']],
  ])(
    '%s: they are masked in the log, from its HTTP answer or its close frame',
    async (what, path, fields, secrets) => {
      const says = `not ${secrets.join(' or ')}!`;
      const server = new FaultServer((peer) => {
        if (server.peers.length === 1) peer.socket.end(refuse(`401 ${says}`, `for ${secrets[0]}`));
        else {
          const offered = peer.header('sec-websocket-protocol');
          const then = closeFrame(4001, says);
          peer.accept(offered === undefined ? { then } : { protocol: offered, then });
        }
      });
      await server.up();
      const user = what === 'the user of the URL' ? 'ann:hunter2@' : '';
      const url = server.url.replace('127', `${user}127`).replace('/feed', path);
      const run = await startEngine(input(`url: "${url}", ${fields}`.replace(/, $/, '')), {
        KEY: 'env-s3cret',
      });
      await run.logged(/the server answered 401 not \*\*\*.*!: for \*\*\*/);
      await run.logged(/closed the connection with 4001: not \*\*\*/);
      const shown = await everything(run);
      for (const secret of secrets) expect(shown).not.toContain(secret);
    },
  );
});

import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { configMistakes, startEngine, type Run } from '../support/engine.ts';
import { basic, bearer, extOf, handshake, startServer, statusOf } from '../support/handshakes.ts';
import { connectPage, openPage } from '../support/pages.ts';
import { tempDir } from '../support/temp-dir.ts';
import { python } from '../support/tools.ts';
import { until } from '../support/until.ts';

const dir = tempDir();

/** Everything that anybody can read of a run. */
async function readable(run: Run): Promise<string> {
  return JSON.stringify(run.log) + (await run.http('/metrics')).text + (await run.http('/health')).text;
}

describe('`auth: basic`', () => {
  test('takes the users of the configuration and of a file, and gives each message its subject', async () => {
    const file = dir.file('users', '\uFEFF# staff\r\nbob:p:w with spaces \r\n\r\ncarol:grün\n');
    const run = await startServer(`auth: { type: basic, users: { alice: s3cret }, users_file: "${file}" }`);
    const url = await run.url();
    expect(await extOf(run, url, basic('alice', 's3cret'))).toMatchObject({ subject: 'alice' });
    expect(await extOf(run, url, basic('bob', 'p:w with spaces '))).toMatchObject({ subject: 'bob' });
    expect(await extOf(run, url, basic('carol', 'grün'))).toMatchObject({ subject: 'carol' });
  });

  test('answers 401 before the upgrade, the same for every mistake', async () => {
    const run = await startServer(
      `auth: { type: basic, users: { alice: s3cret, bob: other } }, limits: { failed_logins: 100 }`,
    );
    const url = await run.url();
    const wrong: Record<string, string>[] = [
      {},
      basic('alice', 'wrong'),
      basic('nobody', 's3cret'),
      basic('alice', 'other'),
      basic('alice:s3cret', ''),
      basic('', ''),
      { Authorization: 'Basic' },
      { Authorization: 'Basic !!!' },
      { Authorization: `Digest ${Buffer.from('alice:s3cret').toString('base64')}` },
      bearer('s3cret'),
    ];
    const answers = new Set<string>();
    for (const headers of wrong) {
      const { peer, head } = await handshake(url, headers);
      await peer.gone();
      answers.add(head);
    }
    expect([...answers]).toEqual([
      [
        'HTTP/1.1 401 Unauthorized',
        'Connection: close',
        'Content-Type: text/plain; charset=utf-8',
        'X-Content-Type-Options: nosniff',
        'Content-Length: 18',
        'WWW-Authenticate: Basic realm="millrace", charset="UTF-8"',
      ].join('\r\n'),
    ]);
    expect(await run.metric('millrace_connections_refused_total', 'status="401"', 'stage="input"')).toBe(10);
    expect(await run.metric('millrace_connections_opened_total')).toBe(0);
  });

  test('Python’s websockets sends the credentials of its URL', async () => {
    const run = await startServer('auth: { type: basic, users: { sensor-7: "p-w:!" } }');
    const script = `
import asyncio, sys
async def main():
    try:
        async with websockets.connect(sys.argv[1]) as ws:
            await ws.send("hello")
            print("sent")
    except websockets.InvalidStatus as error:
        print("refused", error.response.status_code)
asyncio.run(main())
`;
    const url = await run.url();
    await python(script, url.replace('ws://', 'ws://sensor-7:p-w:!@')).line(/^sent$/);
    await run.output().count(1);
    expect(run.output().messages[0]!.ext).toMatchObject({ subject: 'sensor-7' });
    await python(script, url.replace('ws://', 'ws://sensor-7:wrong@')).line(/^refused 401$/);
  });

  test('the client mode of another input, with its own `auth: basic`, gets in', async () => {
    const run = await startServer('auth: { type: basic, users: { feed: "pä:w" } }, welcome: hello');
    const client = await startEngine(`
streams:
  - input: { type: websocket, url: "${await run.url()}", auth: { type: basic, username: feed, password: "pä:w" } }
    output: { type: collect }
`);
    expect(await client.output().count(1)).toEqual(['hello']);
  });
});

describe('`auth: bearer`', () => {
  test('takes tokens alone or with a subject, of the configuration and of a file', async () => {
    const file = dir.file('tokens', '# tokens\nfile-token  device 9 \nplain-token\n');
    const run = await startServer(
      `auth: { type: bearer, tokens: ["t0ken", "named gateway-1"], tokens_file: "${file}", query: access_token }`,
    );
    const url = await run.url();
    expect(await extOf(run, url, bearer('named'))).toMatchObject({ subject: 'gateway-1' });
    expect(await extOf(run, url, { authorization: 'bearer  t0ken ' })).not.toHaveProperty('subject');
    expect(await extOf(run, url, bearer('file-token'))).toMatchObject({ subject: 'device 9' });
    expect(await extOf(run, `${url}?access_token=plain-token`)).not.toHaveProperty('subject');
    const { status, head } = await handshake(url, bearer('gateway-1'));
    expect(status).toBe(401);
    expect(head).toContain('\r\nWWW-Authenticate: Bearer realm="millrace"');
  });

  test('the query parameter counts only where `query` names it, and the header goes first', async () => {
    const off = await startServer('auth: { type: bearer, tokens: [t0ken] }');
    expect(await statusOf(`${await off.url()}?access_token=t0ken`)).toBe(401);
    const on = await startServer('auth: { type: bearer, tokens: [t0ken], query: token }');
    const url = await on.url();
    expect(await statusOf(`${url}?token=t0ken`, bearer('wrong'))).toBe(401);
    expect(await statusOf(`${url}?token=`)).toBe(401);
    expect(await statusOf(`${url}?token=wrong&token=t0ken`)).toBe(401);
    expect(await statusOf(`${url}?a=b&token=t0ken`)).toBe(101);
  });

  test('Python’s websockets sends it as a header', async () => {
    const run = await startServer('auth: { type: bearer, tokens: ["t0ken py"] }');
    python(
      `
import asyncio, sys
async def main():
    async with websockets.connect(sys.argv[1], additional_headers={"Authorization": "Bearer t0ken"}) as ws:
        await ws.send("hello")
asyncio.run(main())
`,
      await run.url(),
    );
    await run.output().count(1);
    expect(run.output().messages[0]!.ext).toMatchObject({ subject: 'py' });
  });
});

test('no secret is in a log line, a metric, an answer or `__meta_ext`, whether it was right or wrong', async () => {
  const run = await startServer(
    'path: /in, auth: { type: bearer, tokens: [Right5ecret], query: token }, metadata: { query: [room] }',
  );
  const url = `${await run.url()}?room=lab`;
  const ext = await extOf(run, `${url}&token=Right5ecret`);
  expect(ext).toMatchObject({ 'query.room': 'lab', path: '/in' });
  const wrong = [
    await handshake(`${url}&token=Wrong5ecret`),
    await handshake(url, bearer('Wrong5ecret')),
    await handshake(`${url.replace('/in', '/elsewhere')}&token=Wrong5ecret`),
  ];
  expect(wrong.map(({ status }) => status)).toEqual([401, 401, 404]);
  const shown = (await readable(run)) + JSON.stringify(ext) + wrong.map(({ head }) => head).join('');
  expect(shown).not.toContain('5ecret');
});

test('a page in Chromium shows a user and a password, or a token, in its URL', async () => {
  const pages = "allowed_origins: ['*']";
  // Chromium asks without credentials first, and shows them when it sees the challenge; that is no failure.
  const byUser = await startServer(
    `auth: { type: basic, users: { alice: s3cret } }, limits: { failed_logins: 1 }, ${pages}`,
  );
  const byToken = await startServer(`auth: { type: bearer, tokens: ["a+b/c= bob"], query: token }, ${pages}`);
  const { page } = await openPage();
  const asUser = (await byUser.url()).replace('ws://', 'ws://alice:s3cret@');
  const withToken = `${await byToken.url()}?token=`;
  expect(await connectPage(page, asUser)).toBe('');
  expect(await connectPage(page, asUser.replace('s3cret', 'wrong'))).toBeUndefined();
  expect(await connectPage(page, `${withToken}a%2Bb/c=`)).toBe('');
  expect(await connectPage(page, `${withToken}a%2Bb`)).toBeUndefined();
  for (const [run, subject] of [[byUser, 'alice'] as const, [byToken, 'bob'] as const]) {
    expect(await run.output().count(1)).toEqual(['from the page']);
    expect(run.output().messages[0]!.ext['subject']).toBe(subject);
  }
});

describe('files of secrets', () => {
  const limits = 'limits: { failed_logins: 1000000 }';
  const becomes = (url: string, token: string, status: number): Promise<true> =>
    until(
      `${token} to get ${status}`,
      async () => (await statusOf(url, bearer(token))) === status || undefined,
    );

  test('are read again when they are written to, replaced or pointed elsewhere', async () => {
    const path = dir.file('reloaded', 'first\n');
    const run = await startServer(
      `auth: { type: bearer, tokens: [fixed], tokens_file: "${path}" }, ${limits}`,
    );
    const url = await run.url();
    expect(await statusOf(url, bearer('first'))).toBe(101);
    const open = await handshake(url, bearer('first'));
    writeFileSync(path, 'secnd\n');
    await becomes(url, 'secnd', 101);
    expect(await statusOf(url, bearer('first'))).toBe(401);
    renameSync(dir.file('reloaded.new', 'third\n'), path);
    await becomes(url, 'third', 101);
    expect(await statusOf(url, bearer('secnd'))).toBe(401);
    expect(await statusOf(url, bearer('fixed'))).toBe(101);
    await run.logged(/^loaded the changed .*reloaded$/);
    // Open connections stay open.
    expect(open.peer.socket.destroyed).toBe(false);
    expect(open.peer.frames).toEqual([]);
  });

  test('that vanish or have a mistake leave the old secrets, with a warning; empty ones leave none', async () => {
    const path = dir.file('fragile', 'kept\n');
    const run = await startServer(`auth: { type: bearer, tokens_file: "${path}" }, ${limits}`);
    const url = await run.url();
    rmSync(path);
    const gone = await run.logged(/cannot read .*fragile: ENOENT/);
    expect(gone).toMatchObject({ level: 40, code: 'MILLRACE_AUTH_UNAVAILABLE' });
    expect(gone.msg).toMatch(/its earlier content stays in force$/);
    expect(await statusOf(url, bearer('kept'))).toBe(101);
    writeFileSync(path, 'double one\ndouble two\n');
    expect((await run.logged(/line 2: this token already has another subject/)).msg).not.toContain('double');
    expect(await statusOf(url, bearer('kept'))).toBe(101);
    expect(await statusOf(url, bearer('double'))).toBe(401);
    writeFileSync(path, '');
    await becomes(url, 'kept', 401);
    writeFileSync(path, 'again\n');
    await becomes(url, 'again', 101);
    expect(await run.metric('millrace_errors_total', 'code="MILLRACE_AUTH_UNAVAILABLE"')).toBe(2);
  });

  test('that cannot be read at the start are reported, and nobody gets in until they can', async () => {
    const run = await startServer(`auth: { type: bearer, tokens_file: "${dir.path}/late" }`);
    const line = await run.logged(/^input failed to connect/);
    expect(line.msg).toMatch(/cannot read .*\/late: ENOENT/);
    expect(line.code).toBe('MILLRACE_AUTH_UNAVAILABLE');
    expect(run.log.some(({ msg }) => msg.startsWith('listening'))).toBe(false);
    dir.file('late', 'token\n');
    expect(await statusOf(await run.url(), bearer('token'))).toBe(101);
  });

  test.each([
    ['basic', 'users_file', 'alice\n', 'line 1: expected user:password'],
    ['basic', 'users_file', 'alice:\n', 'line 1: expected user:password'],
    ['basic', 'users_file', 'a:first\n\na:second\n', 'line 3: this user already has a password'],
    [
      'basic',
      'users_file',
      'alice:$2y$05$abcdefgh\n',
      'line 1: a hash, as htpasswd writes it; expected the password itself',
    ],
    ['bearer', 'tokens_file', 'same a\nsame b\n', 'line 2: this token already has another subject'],
  ])('with a mistake fail the stream at the start: %s, %s, %j', async (type, field, content, message) => {
    const path = dir.file('mistaken', content);
    const run = await startServer(`auth: { type: ${type}, ${field}: "${path}" }`);
    expect(await run.ended).toMatchObject({ failed: ['stream-0'] });
    expect((await run.logged(/^stream failed/)).msg).toBe(`stream failed: ${path}: ${message}`);
  });
});

describe('`limits.failed_logins`', () => {
  test('after so many failures a wrong one gets 429; a right one gets in all the same, others do not notice', async () => {
    const run = await startServer(
      'auth: { type: basic, users: { a: pass } }, limits: { failed_logins: 3 }, trusted_proxies: [127.0.0.1]',
    );
    const url = await run.url();
    const from = (address: string, password: string): Promise<number> =>
      statusOf(url, { ...basic('a', password), 'X-Forwarded-For': address });
    for (let failure = 0; failure < 3; failure++) expect(await from('192.0.2.1', 'x')).toBe(401);
    expect(await from('192.0.2.1', 'x')).toBe(429);
    const { status, peer } = await handshake(url, { ...basic('a', 'x'), 'X-Forwarded-For': '192.0.2.1' });
    expect(status).toBe(429);
    expect(Number(peer.header('retry-after'))).toBeGreaterThan(0);
    expect(Number(peer.header('retry-after'))).toBeLessThanOrEqual(60);
    // Another client behind the same address, which has never been there.
    expect(await from('192.0.2.1', 'pass')).toBe(101);
    expect(await from('192.0.2.1', 'x')).toBe(429);
    expect(await from('192.0.2.2', 'x')).toBe(401);
    const line = run.log.find(({ msg }) => msg.startsWith('connection refused with 429: '));
    expect(line).toMatchObject({ remote_address: '192.0.2.1', reason: 'too many failures to authenticate' });
  });

  test('a client without credentials is asked for them, also at an address where others have failed', async () => {
    const run = await startServer('auth: { type: basic, users: { a: pass } }, limits: { failed_logins: 1 }');
    const url = await run.url();
    expect(await statusOf(url, basic('a', 'x'))).toBe(401);
    expect(await statusOf(url, basic('a', 'x'))).toBe(429);
    expect(await statusOf(url)).toBe(401);
  });

  test('endless guessing finds nothing; a client that was let in before gets in', async () => {
    const run = await startServer(
      'auth: { type: bearer, tokens: [used-t0ken, new-t0ken] }, limits: { failed_logins: 1 }, trusted_proxies: [127.0.0.1]',
    );
    const url = await run.url();
    const from = (address: string, token: string): Promise<number> =>
      statusOf(url, { ...bearer(token), 'X-Forwarded-For': address });
    expect(await from('192.0.2.1', 'used-t0ken')).toBe(101);
    expect(await from('192.0.2.9', 'new-t0ken')).toBe(101);
    expect(await from('192.0.2.1', 'guess')).toBe(401);
    for (let round = 0; round < 20; round++) {
      const guesses = Array.from({ length: 50 }, (_, index) => from('192.0.2.1', `guess-${round}-${index}`));
      expect(new Set(await Promise.all(guesses))).toEqual(new Set([429]));
      // One among them is right.
      expect(await from('192.0.2.1', 'used-t0ken')).toBe(101);
    }
    expect(await from('192.0.2.1', 'new-t0ken')).toBe(429);
    expect(await from('192.0.2.1', 'used-t0ken')).toBe(101);
    expect(await from('192.0.2.2', 'new-t0ken')).toBe(101);
    expect(await from('192.0.2.1', 'new-t0ken')).toBe(429);
  });

  test('a request without credentials is not a guess: some clients wait to be asked', async () => {
    for (const auth of [
      '{ type: basic, users: { a: pass } }',
      `{ type: jwt, algorithms: [HS256], secret: ${'x'.repeat(32)} }`,
    ]) {
      const run = await startServer(`auth: ${auth}, limits: { failed_logins: 2 }`);
      const url = await run.url();
      for (let attempt = 0; attempt < 4; attempt++) expect(await statusOf(url)).toBe(401);
      expect(await run.metric('millrace_connections_refused_total', 'status="429"')).toBe(0);
    }
  });

  test('an IPv6 host is its /64', async () => {
    const run = await startServer(
      'auth: { type: basic, users: { a: pass } }, limits: { failed_logins: 2 }, trusted_proxies: [127.0.0.1]',
    );
    const url = await run.url();
    const from = (address: string): Promise<number> =>
      statusOf(url, { ...basic('a', 'x'), 'X-Forwarded-For': address });
    expect(await from('2001:db8:0:1::1')).toBe(401);
    expect(await from('2001:DB8::1:aaaa:bbbb:cccc:dddd')).toBe(401);
    expect(await from('2001:db8:0:1:ffff::')).toBe(429);
    expect(await from('2001:db8:0:2::1')).toBe(401);
  });

  test('the table of addresses is bounded: the oldest is forgotten', async () => {
    const { FailedLogins } = await import('../../src/net/auth/failed-logins.ts');
    const table = new FailedLogins(1);
    for (let host = 0; host < 25_000; host++)
      table.add(`10.${host >> 16}.${(host >> 8) & 255}.${host & 255}`);
    expect(table.size).toBe(10_000);
    expect(table.retryAfter('10.0.0.0')).toBe(0);
    expect(table.retryAfter('10.0.97.167')).toBeGreaterThan(0);
  });
});

test('refusals are logged at the usual level, but not each: anybody can send requests', async () => {
  const run = await startServer('auth: { type: basic, users: { a: pass } }, limits: { failed_logins: 1000 }');
  const url = await run.url();
  await Promise.all(Array.from({ length: 30 }, () => statusOf(url, basic('a', 'wrong'))));
  const lines = run.log.filter(({ msg }) => msg.startsWith('connection refused with 401: '));
  expect(lines).toHaveLength(30);
  expect(lines[0]).toMatchObject({ level: 30, reason: 'wrong credentials', remote_address: '127.0.0.1' });
  expect(lines.some(({ level }) => level === 20)).toBe(true);
});

test('a drain comes before anything else: 503, not 401', async () => {
  const run = await startServer('auth: { type: basic, users: { a: pass } }, drain: { timeout: 30s }');
  const url = await run.url();
  const { peer } = await handshake(url, basic('a', 'pass'));
  run.drain();
  // The peer does not answer, so that the drain goes on.
  expect(await peer.closeCode()).toBe(1001);
  expect(await statusOf(url)).toBe(503);
});

describe('mistakes in the configuration', () => {
  const mistakes = (fields: string): string[] =>
    configMistakes(`- input: { type: websocket, mode: server, port: 1, ${fields} }\n`);
  const key = 'x'.repeat(32);

  test.each([
    ['auth: { type: basic }', 'auth: expected users or users_file'],
    ['auth: { type: basic, users: {} }', 'auth.users: no user; expected at least one'],
    [
      'auth: { type: basic, username: a, users: { a: pass } }',
      'auth.username: only for `mode: client`; this is `mode: server`',
    ],
    ['auth: { type: basic, users: { "a:b": c } }', 'auth.users["a:b"]: a user name cannot hold a colon'],
    ['auth: { type: bearer }', 'auth: expected tokens or tokens_file'],
    ['auth: { type: bearer, tokens: [] }', 'auth.tokens: is empty; expected at least 1 item'],
    ['auth: { type: bearer, tokens: ["\t"] }', 'auth.tokens[0]: is blank; expected a secret'],
    ['auth: { type: bearer, tokens: [tok-1 a, tok-1 b] }', 'auth.tokens[1]: already has another subject'],
    [
      'auth: { type: bearer, token: tok-1, tokens: [tok-1] }',
      'auth.token: only for `mode: client`; this is `mode: server`',
    ],
    ['auth: { type: oauth2 }', 'auth.type: only for `mode: client`; this is `mode: server`'],
    ['auth: { type: api_key }', 'auth: expected keys or keys_file'],
    [
      'auth: { type: api_key, keys: [k3y-5], subprotocol: "a b" }',
      'auth.subprotocol: "a b" is not the beginning of a subprotocol name (RFC 6455 section 4.1)',
    ],
    [
      'auth: { type: api_key, keys: [k3y-5], subprotocol: key. }, protocols: [v1, key.v1]',
      'protocols[1]: begins like a key (`auth.subprotocol`), so it would never be selected',
    ],
    ['auth: { type: mtls }', 'auth: mtls needs `tls.ca_file`, the authority of the clients’ certificates'],
    [`auth: { type: jwt, secret: "${key}" }`, 'auth.algorithms: is missing; expected a list'],
    ['auth: { type: jwt, algorithms: [ES256] }', 'auth: expected one of secret, key_file, jwks_url'],
    [
      `auth: { type: jwt, algorithms: [HS256], secret: "${key}", key_file: k }`,
      'auth: expected one of secret, key_file, jwks_url',
    ],
    ['auth: { type: jwt, algorithms: [HS256], key_file: k }', 'auth.algorithms: HS256 needs `secret`'],
    [
      'auth: { type: jwt, algorithms: [RS256, HS256], jwks_url: "https://h/k" }',
      'auth.algorithms: HS256 needs `secret`',
    ],
    [
      `auth: { type: jwt, algorithms: [HS256, RS256], secret: "${key}" }`,
      'auth.algorithms: `secret` is for HS algorithms only; the others need key_file or jwks_url',
    ],
    [
      `auth: { type: jwt, algorithms: [HS512], secret: "${key}" }`,
      'auth.secret: the value (not shown) is too short for HS512; expected at least that many bits (RFC 7518 section 3.2)',
    ],
    [
      'auth: { type: jwt, algorithms: [HS256], secret: too-few }',
      'auth.secret: the value (not shown) is too short; expected at least 32 characters (RFC 7518 section 3.2)',
    ],
    [
      'auth: { type: jwt, algorithms: [ES256], jwks_url: "https://u:p@h/k" }',
      'auth.jwks_url: cannot hold a user or password',
    ],
    [
      'auth: { type: jwt, algorithms: [ES256], jwks_url: "file:///k" }',
      'auth.jwks_url: "file:///k" is not a URL; expected one like https://host/path',
    ],
    [
      'auth: { type: bearer, tokens: [t], query: token }, metadata: { query: [room, token] }',
      'metadata.query[1]: holds the credentials, which are not kept; remove it',
    ],
    [
      'auth: { type: basic, users: { a: pass } }, metadata: { headers: [Authorization] }',
      'metadata.headers[0]: holds the credentials, which are not kept; remove it',
    ],
    [
      'auth: { type: api_key, keys: [k3y-5], header: X-Key }, metadata: { headers: [x-key] }',
      'metadata.headers[0]: holds the credentials, which are not kept; remove it',
    ],
    [
      'auth: { type: api_key, keys: [k3y-5], subprotocol: key. }, metadata: { headers: [Sec-WebSocket-Protocol] }',
      'metadata.headers[0]: holds the credentials, which are not kept; remove it',
    ],
  ])('%s', (fields, message) => {
    expect(mistakes(fields)).toContain(`[0].input.${message}`);
  });

  test('none: the algorithm `none`', () => {
    expect(mistakes('auth: { type: jwt, algorithms: [none], key_file: k }').join()).toMatch(
      /auth\.algorithms\[0\]/,
    );
  });

  test('correct configurations have no mistake', () => {
    expect(mistakes('auth: { type: bearer, tokens: [t0ken a, t0ken a, other a] }')).toEqual([]);
    expect(
      mistakes('auth: { type: jwt, algorithms: [ES256, EdDSA], jwks_url: "https://h/k", query: t }'),
    ).toEqual([]);
    expect(mistakes('auth: { type: api_key, keys: [k3y-5], subprotocol: key. }, protocols: [v1]')).toEqual(
      [],
    );
  });
});

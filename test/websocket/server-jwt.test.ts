import { execFileSync } from 'node:child_process';
import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { renameSync } from 'node:fs';
import { exportJWK, SignJWT, type JWTPayload } from 'jose';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import type { Run } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { bearer, extOf, handshake, startServer, statusOf, type Answer } from '../support/handshakes.ts';
import { tempDir } from '../support/temp-dir.ts';
import { requireTool } from '../support/tools.ts';
import { until } from '../support/until.ts';

const dir = tempDir();
const SECRET = 'a shared secret that is long enough for HS512: 64 bytes, no fewer';
const limits = 'limits: { failed_logins: 1000000 }';

afterEach(() => void vi.useRealTimers());

/** Moves the clock, and nothing else. */
function later(milliseconds: number): void {
  const now = Date.now() + milliseconds;
  vi.useFakeTimers({ toFake: ['Date'], now });
}

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ed = generateKeyPairSync('ed25519');
const pem = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString();

interface TokenOptions {
  readonly alg?: string;
  readonly kid?: string;
  /** Seconds from now, or undefined for a token that does not expire. */
  readonly lifetime?: number | undefined;
}

function sign(key: KeyObject | string, claims: JWTPayload = {}, options: TokenOptions = {}): Promise<string> {
  const { alg = 'HS256', kid } = options;
  const lifetime = 'lifetime' in options ? options.lifetime : 3600;
  const exp = lifetime === undefined ? {} : { exp: Date.now() / 1000 + lifetime };
  return new SignJWT({ ...exp, ...claims })
    .setProtectedHeader({ alg, ...(kid !== undefined && { kid }) })
    .sign(typeof key === 'string' ? Buffer.from(key) : key);
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** An issuer's endpoint. It answers with what it has now; while it is held, its answers wait. */
class Issuer {
  keys: object[] = [];
  status = 200;
  requests = 0;
  port = 0;
  #held: ServerResponse[] | undefined;
  readonly #server = createServer((_, response) => {
    this.requests++;
    if (this.#held === undefined) this.#answer(response);
    else this.#held.push(response);
  });

  async up(): Promise<this> {
    this.#server.listen(this.port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.port = (this.#server.address() as AddressInfo).port;
    afterTest(() => void this.down());
    return this;
  }

  async down(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  hold(): void {
    this.#held = [];
  }

  release(): void {
    for (const response of this.#held ?? []) this.#answer(response);
    this.#held = undefined;
  }

  async publish(key: KeyObject, fields: object): Promise<void> {
    this.keys.push({ ...(await exportJWK(key)), ...fields });
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/keys`;
  }

  #answer(response: ServerResponse): void {
    response.writeHead(this.status, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ keys: this.keys }));
  }
}

/** Sends a handshake and, in the same packet, `then`; nobody waits for the answer. */
async function pendingHandshake(url: string, token: string, then: Uint8Array): Promise<Socket> {
  const { hostname, port, host } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  afterTest(() => socket.destroy());
  await once(socket, 'connect');
  const head = `GET / HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer ${token}\r\n\r\n`;
  socket.on('error', () => {}).resume();
  socket.write(Buffer.concat([Buffer.from(head), then]));
  return socket;
}

const shared = (fields = ''): Promise<Run> =>
  startServer(`auth: { type: jwt, algorithms: [HS256], secret: "${SECRET}", ${fields} }, ${limits}`);

describe('claims', () => {
  test('`sub` is the subject; `claims` are kept: texts, numbers and lists as such', async () => {
    const run = await shared('claims: [tenant, roles, n, nothing, constructor]');
    const token = await sign(SECRET, {
      sub: 'device-1',
      tenant: 'grün',
      roles: ['a', 'b'],
      n: 7,
      other: 'x',
    });
    const ext = await extOf(run, await run.url(), bearer(token));
    expect(ext).toMatchObject({
      subject: 'device-1',
      'claim.tenant': 'grün',
      'claim.roles': ['a', 'b'],
      'claim.n': 7,
    });
    expect(Object.keys(ext).filter((name) => name.startsWith('claim.'))).toHaveLength(3);
    expect(JSON.stringify([run.log, ext])).not.toContain(token.slice(-20));
    const anonymous = await extOf(run, await run.url(), bearer(await sign(SECRET)));
    expect(anonymous).not.toHaveProperty('subject');
  });

  test('`iss` and `aud` must be as configured', async () => {
    const run = await shared('issuer: "https://id.example.com", audience: feed');
    const url = await run.url();
    const good = { iss: 'https://id.example.com', aud: 'feed' };
    const status = async (claims: JWTPayload): Promise<number> =>
      await statusOf(url, bearer(await sign(SECRET, claims)));
    expect(await status(good)).toBe(101);
    expect(await status({ ...good, aud: ['other', 'feed'] })).toBe(101);
    expect(await status({ ...good, aud: 'other' })).toBe(401);
    expect(await status({ ...good, iss: 'https://id.example.com/' })).toBe(401);
    expect(await status({ aud: 'feed' })).toBe(401);
    expect(await status({ iss: good.iss })).toBe(401);
    const causes = run.log
      .filter(({ msg }) => msg.startsWith('connection refused with 401: '))
      .map((line) => line['reason']);
    expect(causes).toContain('unexpected "aud" claim value');
  });

  test('`exp` and `nbf` are checked, within `clock_tolerance`', async () => {
    const strict = await shared();
    const lenient = await shared('clock_tolerance: 60s');
    const status = async (run: Run, claims: JWTPayload): Promise<number> =>
      await statusOf(await run.url(), bearer(await sign(SECRET, claims)));
    const now = Date.now() / 1000;
    expect(await status(strict, { exp: now - 30 })).toBe(401);
    expect(await status(lenient, { exp: now - 30 })).toBe(101);
    expect(await status(lenient, { exp: now - 90 })).toBe(401);
    expect(await status(strict, { nbf: now + 40 })).toBe(401);
    expect(await status(lenient, { nbf: now + 40 })).toBe(101);
    expect(await status(strict, { nbf: now - 10 })).toBe(101);
    expect(await status(strict, { exp: 'tomorrow' as unknown as number })).toBe(401);
  });

  test('an expired token that is genuine is not a guess: it does not count in `limits.failed_logins`', async () => {
    const run = await startServer(
      `auth: { type: jwt, algorithms: [HS256], secret: "${SECRET}" }, limits: { failed_logins: 2 }`,
    );
    const url = await run.url();
    const expired = bearer(await sign(SECRET, {}, { lifetime: -60 }));
    for (let attempt = 0; attempt < 5; attempt++) expect(await statusOf(url, expired)).toBe(401);
    const forged = bearer(await sign(SECRET.replace('a', 'b'), {}, { lifetime: -60 }));
    expect([await statusOf(url, forged), await statusOf(url, forged)]).toEqual([401, 401]);
    expect([await statusOf(url, forged), await statusOf(url, expired)]).toEqual([429, 401]);
    expect(await statusOf(url, bearer(await sign(SECRET)))).toBe(101);
  });
});

describe('signatures', () => {
  test('of other signers: Node’s HMAC and openssl', async () => {
    const hmac = await shared();
    const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: 'by hand' })}`;
    const mac = createHmac('sha256', SECRET).update(body).digest('base64url');
    expect(await extOf(hmac, await hmac.url(), bearer(`${body}.${mac}`))).toMatchObject({
      subject: 'by hand',
    });

    const openssl = requireTool('openssl');
    execFileSync(openssl, ['genrsa', '-out', `${dir.path}/o.key`, '2048'], { stdio: 'ignore' });
    execFileSync(openssl, ['rsa', '-in', `${dir.path}/o.key`, '-pubout', '-out', `${dir.path}/o.pem`], {
      stdio: 'ignore',
    });
    const run = await startServer(`auth: { type: jwt, algorithms: [RS256], key_file: "${dir.path}/o.pem" }`);
    const input = `${part({ alg: 'RS256' })}.${part({ sub: 'openssl' })}`;
    const signature = execFileSync(openssl, ['dgst', '-sha256', '-sign', `${dir.path}/o.key`], { input });
    const token = `${input}.${signature.toString('base64url')}`;
    expect(await extOf(run, await run.url(), bearer(token))).toMatchObject({ subject: 'openssl' });
  });

  test.each([
    ['HS384', undefined],
    ['HS512', undefined],
    ['RS256', rsa],
    ['RS384', rsa],
    ['RS512', rsa],
    ['PS256', rsa],
    ['PS384', rsa],
    ['PS512', rsa],
    ['ES256', p256],
    ['ES384', generateKeyPairSync('ec', { namedCurve: 'P-384' })],
    ['ES512', generateKeyPairSync('ec', { namedCurve: 'P-521' })],
    ['EdDSA', ed],
    ['Ed25519', ed],
  ])('%s', async (alg, pair) => {
    const key =
      pair === undefined
        ? `secret: "${SECRET}"`
        : `key_file: "${dir.file(`${alg}.pem`, pem(pair.publicKey))}"`;
    const run = await startServer(`auth: { type: jwt, algorithms: [${alg}], ${key} }`);
    const url = await run.url();
    const token = await sign(pair?.privateKey ?? SECRET, {}, { alg });
    expect(await statusOf(url, bearer(token))).toBe(101);
    // One bit of the signature, in a character all of whose bits count.
    const at = token.lastIndexOf('.') + 5;
    const flipped = token[at] === 'A' ? 'B' : 'A';
    expect(await statusOf(url, bearer(token.slice(0, at) + flipped + token.slice(at + 1)))).toBe(401);
  });

  test('refuses `none`, other algorithms, a public key taken for a shared one, and anything that is not a token', async () => {
    const publicPem = pem(rsa.publicKey);
    const run = await startServer(
      `auth: { type: jwt, algorithms: [RS256], key_file: "${dir.file('confused.pem', publicPem)}" }, ${limits}`,
    );
    const url = await run.url();
    const claims = part({ sub: 'mallory', exp: Math.floor(Date.now() / 1000) + 3600 });
    const hs = `${part({ alg: 'HS256' })}.${claims}`;
    const mac = (key: string): string => createHmac('sha256', key).update(hs).digest('base64url');
    const genuine = await sign(rsa.privateKey, { sub: 'me' }, { alg: 'RS256' });
    const [header, , signature] = genuine.split('.');
    const embedded = { alg: 'RS256', jwk: await exportJWK(p256.publicKey), kid: '../../etc/passwd' };
    const refused = [
      `${part({ alg: 'none' })}.${claims}.`,
      `${part({ alg: 'None' })}.${claims}.`,
      `${part({ alg: 'NONE' })}.${claims}.${signature}`,
      `${hs}.${mac(publicPem)}`,
      `${hs}.${mac(publicPem.trim())}`,
      await sign(rsa.privateKey, {}, { alg: 'PS256' }),
      `${header}.${claims}.${signature}`,
      `${part(embedded)}.${claims}.${signature}`,
      `${part({ alg: 'RS256', crit: ['x'], x: 1 })}.${claims}.${signature}`,
      `${header}.${claims}.`,
      `${header}.${claims}`,
      'a.b.c',
      '....',
      'e30.e30.e30',
      part(['RS256']),
    ];
    for (const token of refused) expect([token, await statusOf(url, bearer(token))]).toEqual([token, 401]);
    expect(await statusOf(url, bearer(genuine))).toBe(101);
  });
});

describe('`key_file`', () => {
  test('may hold several keys, and is read again when it changes', async () => {
    const [old, next] = [p256, generateKeyPairSync('ec', { namedCurve: 'P-256' })];
    const path = dir.file('issuer.pem', pem(old.publicKey) + pem(next.publicKey));
    const run = await startServer(`auth: { type: jwt, algorithms: [ES256], key_file: "${path}" }, ${limits}`);
    const url = await run.url();
    const status = async (pair: { privateKey: KeyObject }): Promise<number> =>
      await statusOf(url, bearer(await sign(pair.privateKey, {}, { alg: 'ES256' })));
    expect([await status(old), await status(next)]).toEqual([101, 101]);
    renameSync(dir.file('issuer.new', pem(next.publicKey)), path);
    await until('the old key to be refused', async () => (await status(old)) === 401);
    expect(await status(next)).toBe(101);
  });

  test.each([
    ['no key', 'hello', 'holds no public key in PEM'],
    [
      'the private key',
      rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      'holds a private key; expected the public one',
    ],
    ['a key of another kind', pem(rsa.publicKey), 'holds a key of type rsa, which is not for ES256'],
    [
      'a key of another curve',
      pem(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey),
      'holds a key of type ec secp384r1, which is not for ES256',
    ],
  ])('with %s fails the stream, and says so', async (_, content, message) => {
    const path = dir.file('wrong.pem', content);
    const run = await startServer(`auth: { type: jwt, algorithms: [ES256], key_file: "${path}" }`);
    expect(await run.ended).toMatchObject({ failed: ['stream-0'] });
    expect((await run.logged(/^stream failed/)).msg).toBe(`stream failed: ${path}: ${message}`);
  });

  test('with an RSA key that is too short fails the stream', async () => {
    const path = dir.file('short.pem', pem(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey));
    const run = await startServer(`auth: { type: jwt, algorithms: [RS256], key_file: "${path}" }`);
    expect((await run.logged(/^stream failed/)).msg).toContain('too short; expected at least 2048 bits');
  });
});

describe('`jwks_url`', () => {
  const start = (issuer: Issuer, algorithms = 'ES256, RS256'): Promise<Run> =>
    startServer(
      `auth: { type: jwt, algorithms: [${algorithms}], jwks_url: "${issuer.url}", query: token }, ${limits}`,
    );
  const es256 = (kid?: string, pair = p256): Promise<string> =>
    sign(pair.privateKey, { sub: kid ?? 'none' }, { alg: 'ES256', ...(kid !== undefined && { kid }) });

  test('keys are fetched once, and looked up again for an unknown one, which anybody can send, but seldom', async () => {
    const issuer = await new Issuer().up();
    await issuer.publish(p256.publicKey, { kid: 'one', alg: 'ES256', use: 'sig' });
    const run = await start(issuer);
    const url = await run.url();
    expect(await extOf(run, url, bearer(await es256('one')))).toMatchObject({ subject: 'one' });
    expect(await statusOf(`${url}?token=${await es256('one')}`)).toBe(101);
    expect(issuer.requests).toBe(1);
    const next = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    await issuer.publish(next.publicKey, { kid: 'two', alg: 'ES256', use: 'sig' });
    expect(await statusOf(url, bearer(await es256('two', next)))).toBe(503);
    expect(issuer.requests).toBe(1);
    later(11_000);
    expect(await statusOf(url, bearer(await es256('two', next)))).toBe(101);
    expect(await statusOf(url, bearer(await es256('one', next)))).toBe(401);
    expect(issuer.requests).toBe(2);
    later(22_000);
    expect(await statusOf(url, bearer(await es256('three', next)))).toBe(401);
    expect(issuer.requests).toBe(3);
    later(601_000);
    expect(await statusOf(url, bearer(await es256('one')))).toBe(101);
    expect(issuer.requests).toBe(4);
  });

  test('when the issuer takes a new key, its tokens get 503 until that is known, and nobody is locked out', async () => {
    const issuer = await new Issuer().up();
    await issuer.publish(p256.publicKey, { kid: 'old' });
    const run = await startServer(
      `auth: { type: jwt, algorithms: [ES256], jwks_url: "${issuer.url}" }, limits: { failed_logins: 2 }`,
    );
    const url = await run.url();
    const old = bearer(await es256('old'));
    expect(await statusOf(url, old)).toBe(101);
    const next = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    await issuer.publish(next.publicKey, { kid: 'new' });
    const fresh = bearer(await es256('new', next));
    for (let client = 0; client < 5; client++) {
      const { status, peer } = await handshake(url, fresh);
      expect(status).toBe(503);
      expect(Number(peer.header('retry-after'))).toBeGreaterThan(0);
      expect(Number(peer.header('retry-after'))).toBeLessThanOrEqual(10);
      expect(await statusOf(url, old)).toBe(101);
    }
    await run.logged(/^connection refused with 503: a key that is not yet among those at /);
    expect(issuer.requests).toBe(1);
    later(11_000);
    expect([await statusOf(url, fresh), await statusOf(url, old)]).toEqual([101, 101]);
    expect(issuer.requests).toBe(2);
  });

  test('also where keys have no names', async () => {
    const issuer = await new Issuer().up();
    await issuer.publish(p256.publicKey, {});
    const run = await startServer(
      `auth: { type: jwt, algorithms: [ES256], jwks_url: "${issuer.url}" }, limits: { failed_logins: 1 }`,
    );
    const url = await run.url();
    expect(await statusOf(url, bearer(await es256()))).toBe(101);
    const next = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    issuer.keys = [];
    await issuer.publish(next.publicKey, {});
    const fresh = bearer(await es256(undefined, next));
    expect([await statusOf(url, fresh), await statusOf(url, fresh)]).toEqual([503, 503]);
    expect(await statusOf(url, bearer(await es256()))).toBe(101);
    later(11_000);
    expect(await statusOf(url, fresh)).toBe(101);
    expect(issuer.requests).toBe(2);
  });

  test('a client that invents key names causes no more fetches, and locks nobody out', async () => {
    const issuer = await new Issuer().up();
    await issuer.publish(p256.publicKey, { kid: 'one' });
    const run = await startServer(
      `auth: { type: jwt, algorithms: [ES256], jwks_url: "${issuer.url}" }, limits: { failed_logins: 2 }`,
    );
    const url = await run.url();
    const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    for (let round = 1; round <= 4; round++) {
      const statuses = await Promise.all(
        Array.from({ length: 25 }, async (_, n) =>
          statusOf(url, bearer(await es256(n % 2 === 0 ? `${round}-${n}` : undefined, stranger))),
        ),
      );
      expect(statuses).not.toContain(101);
      expect(await statusOf(url, bearer(await es256('one')))).toBe(101);
      expect(issuer.requests).toBeLessThanOrEqual(round);
      later(11_000 * round);
    }
  });

  test('for an address that has failed too often, a few tokens are checked at a time', async () => {
    const issuer = await new Issuer().up();
    await issuer.publish(p256.publicKey, { kid: 'one' });
    const run = await startServer(
      `auth: { type: jwt, algorithms: [ES256], jwks_url: "${issuer.url}" }, limits: { failed_logins: 1 }`,
    );
    const url = await run.url();
    const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const wrong = bearer(await es256('one', stranger));
    expect([await statusOf(url, wrong), await statusOf(url, wrong)]).toEqual([401, 429]);
    issuer.hold();
    later(11_000);
    const statuses: number[] = [];
    const unknownKey = bearer(await es256('two', stranger));
    const waiting = Array.from({ length: 40 }, async () => statuses.push(await statusOf(url, unknownKey)));
    await until('those that are too many to be told', () => statuses.length === 24);
    expect(new Set(statuses)).toEqual(new Set([429]));
    issuer.release();
    await Promise.all(waiting);
    expect(statuses).not.toContain(101);
    expect(await statusOf(url, bearer(await es256('one')))).toBe(101);
  });

  test('a genuine token for somebody else is not a guess', async () => {
    const issuer = await new Issuer().up();
    await issuer.publish(p256.publicKey, { kid: 'one' });
    const run = await startServer(
      `auth: { type: jwt, algorithms: [ES256], jwks_url: "${issuer.url}", audience: us }, limits: { failed_logins: 1 }`,
    );
    const url = await run.url();
    const others = bearer(await sign(p256.privateKey, { aud: 'them' }, { alg: 'ES256', kid: 'one' }));
    expect([await statusOf(url, others), await statusOf(url, others)]).toEqual([401, 401]);
    const early = { aud: 'us', nbf: Date.now() / 1000 + 600 };
    expect(
      await statusOf(url, bearer(await sign(p256.privateKey, early, { alg: 'ES256', kid: 'one' }))),
    ).toBe(401);
    const wrong = bearer(await es256('one', generateKeyPairSync('ec', { namedCurve: 'P-256' })));
    expect([await statusOf(url, wrong), await statusOf(url, wrong)]).toEqual([401, 429]);
  });

  test('a token that names no key is tried with each that fits', async () => {
    const issuer = await new Issuer().up();
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    await issuer.publish(other.publicKey, { kid: 'other' });
    await issuer.publish(rsa.publicKey, { kid: 'rsa' });
    await issuer.publish(p256.publicKey, { kid: 'right' });
    const run = await start(issuer);
    expect(await statusOf(await run.url(), bearer(await es256()))).toBe(101);
    const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    later(11_000);
    expect(await statusOf(await run.url(), bearer(await es256(undefined, stranger)))).toBe(401);
    expect(issuer.requests).toBe(2);
  });

  test('a shared key among them is never used', async () => {
    const issuer = await new Issuer().up();
    issuer.keys.push({ kty: 'oct', kid: 'oct', k: Buffer.from(SECRET).toString('base64url') });
    const run = await start(issuer);
    const token = await sign(SECRET, {}, { kid: 'oct' });
    expect(await statusOf(await run.url(), bearer(token))).toBe(401);
  });

  test('while they cannot be fetched, clients get 503, with a log line; it recovers by itself', async () => {
    const issuer = await new Issuer().up();
    await issuer.publish(p256.publicKey, { kid: 'one' });
    await issuer.down();
    const run = await start(issuer);
    const line = await run.logged(/cannot fetch the keys at /);
    expect(line).toMatchObject({ level: 40, code: 'MILLRACE_AUTH_UNAVAILABLE' });
    expect(line.msg).toContain(`${issuer.url}: connect ECONNREFUSED`);
    const url = await run.url();
    const { status, peer } = await handshake(url, bearer(await es256('one')));
    expect(status).toBe(503);
    expect(peer.header('retry-after')).toBe('5');
    // A text that is not a token of the issuer needs no key.
    expect(await statusOf(url)).toBe(401);
    expect(await statusOf(url, bearer(await sign(SECRET)))).toBe(401);
    issuer.status = 500;
    await issuer.up();
    const asking = { timeout: 25_000 };
    const ask = async (): Promise<number> => await statusOf(url, bearer(await es256('one')));
    const told = (): boolean => run.log.some(({ msg }) => msg.includes('Expected 200 OK'));
    await until('the new reason', async () => (await ask()) === 503 && told(), asking);
    issuer.status = 200;
    await until('a client to get in', async () => (await ask()) === 101, asking);
  }, 60_000);

  test('keys that are known stay in use for an hour while the issuer is down', async () => {
    const issuer = await new Issuer().up();
    await issuer.publish(p256.publicKey, { kid: 'one' });
    const run = await start(issuer);
    const url = await run.url();
    expect(await statusOf(url, bearer(await es256('one')))).toBe(101);
    await issuer.down();
    later(1_200_000);
    expect(await statusOf(url, bearer(await es256('one')))).toBe(101);
    await run.logged(/cannot fetch the keys/);
    expect(await statusOf(url, bearer(await es256('two')))).toBe(503);
    later(3_600_000);
    expect(await statusOf(url, bearer(await es256('one')))).toBe(503);
    // One attempt, one line, however many ask.
    expect(run.log.filter(({ msg }) => msg.startsWith('cannot fetch the keys'))).toHaveLength(1);
  });

  test('data that clients send while they wait is not lost, and a client that leaves meanwhile leaves nothing behind', async () => {
    const issuer = await new Issuer().up();
    await issuer.publish(p256.publicKey, { kid: 'one' });
    issuer.hold();
    const run = await start(issuer);
    const url = await run.url();
    const text = (content: string): Buffer => frame('text', content, { mask: true });
    const pending = await pendingHandshake(url, await es256('one'), text('in the packet of the handshake'));
    const leaving = await pendingHandshake(url, await es256('one'), text('never'));
    await until('the keys to be asked for', () => issuer.requests === 1);
    pending.write(text('while it waits'));
    pending.write(text('x'.repeat(200_000)));
    leaving.resetAndDestroy();
    const refused = handshake(url);
    expect((await refused).status).toBe(401);
    issuer.release();
    expect(await run.output().count(3)).toEqual([
      'in the packet of the handshake',
      'while it waits',
      'x'.repeat(200_000),
    ]);
    expect(await run.metric('millrace_connections_open')).toBe(1);
    pending.destroy();
    await run.metricIs(0, 'millrace_connections_open');
  });

  test('a client that waits when a drain begins gets 503', async () => {
    const issuer = await new Issuer().up();
    await issuer.publish(p256.publicKey, { kid: 'one' });
    const run = await start(issuer);
    const url = await run.url();
    // It does not answer the close, so that the drain goes on.
    const { peer } = await handshake(url, bearer(await es256('one')));
    issuer.hold();
    later(31_000);
    const waiting = handshake(url, bearer(await es256('two')));
    await until('the keys to be asked for', () => issuer.requests === 2);
    run.drain();
    expect(await peer.closeCode()).toBe(1001);
    await issuer.publish(p256.publicKey, { kid: 'two' });
    issuer.release();
    const { status, head } = await waiting;
    expect([status, head]).toEqual([503, expect.not.stringContaining('Retry-After')]);
  });

  test('only so many clients wait for an issuer: more get 503 at once', async () => {
    const issuer = await new Issuer().up();
    issuer.hold();
    const run = await start(issuer);
    const [url, token] = [await run.url(), await es256('one')];
    const waiting = Array.from({ length: 1_100 }, () => pendingHandshake(url, token, Buffer.alloc(0)));
    await Promise.all(waiting);
    await run.logged(
      /^connection refused with 503: /,
      (line) => line['reason'] === 'too many clients at once',
    );
  });

  test('an issuer that never answers costs each client 503, not its socket for ever', async () => {
    const issuer = await new Issuer().up();
    issuer.hold();
    const run = await start(issuer);
    expect(await statusOf(await run.url(), bearer(await es256('one')))).toBe(503);
    await run.logged(/cannot fetch the keys at .*: no answer in 5 s/);
  }, 30_000);
});

describe('the end of a session', () => {
  /** A session whose token expires soon; the machine may be slow, so it tries again with more time. */
  async function openShortly(run: Run, tolerance = 0): Promise<Answer & { readonly exp: number }> {
    for (let lifetime = 1; ; lifetime *= 2) {
      const exp = Date.now() / 1000 + lifetime - tolerance;
      const answer = await handshake(await run.url(), bearer(await sign(SECRET, { exp })));
      if (answer.status === 101) return { ...answer, exp };
    }
  }

  test('it closes with 1008 when its token expires, and not before', async () => {
    const run = await shared();
    const { peer, exp } = await openShortly(run);
    peer.socket.write(frame('text', 'before', { mask: true }));
    expect(await run.output().count(1)).toEqual(['before']);
    expect(await peer.closeCode()).toBe(1008);
    expect(Date.now() / 1000).toBeGreaterThanOrEqual(exp);
    expect(peer.frames.at(-1)!.payload.subarray(2).toString()).toBe('credentials expired');
    peer.socket.destroy();
    const line = await run.logged(/^connection closed with 1008 credentials expired$/);
    expect(line).toMatchObject({ level: 40, remote_address: '127.0.0.1' });
  });

  test('within `clock_tolerance` it is later', async () => {
    const run = await shared('clock_tolerance: 2h');
    const { peer, exp } = await openShortly(run, 7200);
    expect(await peer.closeCode()).toBe(1008);
    expect(Date.now() / 1000).toBeGreaterThanOrEqual(exp + 7200);
  });

  test.each([
    ['in 60 days', 60 * 86_400],
    ['in a million years', 1e6 * 365 * 86_400],
    ['never', undefined],
  ])('a token that expires %s keeps its session open', async (_, lifetime) => {
    // A timer that is too long for Node fires at once, with a warning.
    const warnings: string[] = [];
    const warned = ({ name }: Error): void => void warnings.push(name);
    process.on('warning', warned);
    afterTest(() => process.off('warning', warned));
    const run = await shared();
    const { peer } = await handshake(await run.url(), bearer(await sign(SECRET, {}, { lifetime })));
    for (let sent = 1; sent <= 20; sent++) {
      peer.socket.write(frame('text', String(sent), { mask: true }));
      await run.output().count(sent);
    }
    expect(peer.frames).toEqual([]);
    expect(peer.socket.destroyed).toBe(false);
    expect(warnings).toEqual([]);
  });
});

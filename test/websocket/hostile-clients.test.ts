import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { exchange, rawClient } from '../control/raw.ts';
import { requireTool } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { MIB, serverYaml, victims, whileOthersWork, type Victim } from '../support/victim.ts';

const { start } = victims();
/** The same every time, so that a failure can be looked into. */
const SEED = 20_261_124;
const openFiles = (pid: string): number => readdirSync(`/proc/${pid}/fd`).length;
let victim: Victim;
let port: number;

beforeAll(async () => {
  victim = await start(serverYaml('path: "/", limits: { handshake_timeout: 500ms }'));
  port = await victim.port();
});

const KEY = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const UPGRADE = `Upgrade: websocket\r\nConnection: Upgrade\r\n${KEY}`;
const HOST = 'Host: test\r\n';

/** The status of the first answer to a request. Then the connection is cut. */
async function statusOf(request: string | Uint8Array): Promise<number> {
  const client = await rawClient(port);
  client.socket.write(typeof request === 'string' ? Buffer.from(request, 'latin1') : request);
  const answer = await client.until(/^HTTP\/1\.1 \d{3} [^\r]*\r\n/);
  client.socket.destroy();
  return Number(answer.slice(9, 12));
}

describe('a handshake that', () => {
  test.each<[string, number, string]>([
    ['has two Host headers', 400, `GET / HTTP/1.1\r\n${HOST}Host: other\r\n${UPGRADE}\r\n`],
    ['has a Content-Length', 400, `GET / HTTP/1.1\r\n${HOST}${UPGRADE}Content-Length: 5\r\n\r\nhello`],
    [
      'has a chunked body',
      400,
      `GET / HTTP/1.1\r\n${HOST}${UPGRADE}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    ],
    [
      'has a length and chunks too',
      400,
      `GET / HTTP/1.1\r\n${HOST}${UPGRADE}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    [
      'has a length written in two ways',
      400,
      `GET / HTTP/1.1\r\n${HOST}${UPGRADE}Content-Length: 0\r\nContent-Length: 5\r\n\r\n`,
    ],
    ['has a Content-Length of nothing', 101, `GET / HTTP/1.1\r\n${HOST}${UPGRADE}Content-Length: 0\r\n\r\n`],
    ['is of HTTP/1.0 (RFC 6455 section 4.2.1)', 400, `GET / HTTP/1.0\r\n${HOST}${UPGRADE}\r\n`],
    ['is of HTTP/1.0 without Host', 400, `GET / HTTP/1.0\r\n${UPGRADE}\r\n`],
    ['is of HTTP/2.0', 400, `GET / HTTP/2.0\r\n${HOST}${UPGRADE}\r\n`],
    ['is a POST', 400, `POST / HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`],
    ['has an absolute target', 101, `GET http://elsewhere/ HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`],
    ['has no target that is a path', 400, `GET elsewhere HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`],
    ['has a NUL in the path', 400, `GET /\0 HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`],
    ['has a bare line feed in the path', 400, `GET /\nX: y HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`],
    ['has a bare carriage return in a header', 400, `GET / HTTP/1.1\r\n${HOST}X: a\rY: b\r\n${UPGRADE}\r\n`],
    ['has a NUL in a header', 400, `GET / HTTP/1.1\r\n${HOST}X: a\0b\r\n${UPGRADE}\r\n`],
    ['has a folded header', 400, `GET / HTTP/1.1\r\n${HOST}X: a\r\n b\r\n${UPGRADE}\r\n`],
    ['has a space before the colon', 400, `GET / HTTP/1.1\r\n${HOST}X : a\r\n${UPGRADE}\r\n`],
    [
      'has two keys',
      400,
      `GET / HTTP/1.1\r\n${HOST}${UPGRADE}Sec-WebSocket-Key: b3RoZXIgc2FtcGxlIGs=\r\n\r\n`,
    ],
    ['has two versions', 426, `GET / HTTP/1.1\r\n${HOST}${UPGRADE}Sec-WebSocket-Version: 13\r\n\r\n`],
    ['has 2,000 headers', 431, `GET / HTTP/1.1\r\n${HOST}${UPGRADE}${'a: bcdef\r\n'.repeat(2000)}\r\n`],
    [
      'hides its own behind 3,000 short ones',
      431,
      `GET / HTTP/1.1\r\n${'a:\r\n'.repeat(3000)}${HOST}${UPGRADE}\r\n`,
    ],
    ['has one header of 1 MiB', 431, `GET / HTTP/1.1\r\n${HOST}${UPGRADE}X: ${'x'.repeat(MIB)}\r\n\r\n`],
    ['has a path of 64 KiB', 431, `GET /${'x'.repeat(65_536)} HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`],
    [
      'offers 3,000 subprotocols',
      101,
      `GET / HTTP/1.1\r\n${HOST}${UPGRADE}Sec-WebSocket-Protocol: ${Array.from({ length: 3000 }, (_, n) => n.toString(36)).join(',')}\r\n\r\n`,
    ],
    [
      'offers a subprotocol twice',
      400,
      `GET / HTTP/1.1\r\n${HOST}${UPGRADE}Sec-WebSocket-Protocol: a, a\r\n\r\n`,
    ],
    [
      'offers a thousand extensions that nobody knows',
      101,
      `GET / HTTP/1.1\r\n${HOST}${UPGRADE}Sec-WebSocket-Extensions: ${'x-webkit; a=1, '.repeat(900)}y\r\n\r\n`,
    ],
    ['is TLS', 400, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + 'x'.repeat(300) + '\r\n\r\n'],
    ['is an HTTP/2 preface', 400, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ])('%s is answered with %i', async (_, status, request) => {
    expect(await statusOf(request)).toBe(status);
    victim.expectAlive();
  });
});

test('headers a byte at a time, half a request or nothing at all get 408 at `handshake_timeout`; others work', async () => {
  await whileOthersWork(victim, async () => {
    const request = Buffer.from(`GET / HTTP/1.1\r\n${HOST}X: ${'x'.repeat(5000)}\r\n${UPGRADE}\r\n`);
    const slow = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const client = await rawClient(port);
        client.socket.setNoDelay();
        let at = 0;
        const drip = setInterval(() => client.socket.write(request.subarray(at, ++at)), 20);
        return await client.closed.finally(() => clearInterval(drip));
      }),
    );
    const rest = await Promise.all(['', 'GET / HTTP/1.1\r\nHost:', 'G'].map((sent) => exchange(port, sent)));
    for (const answer of [...slow, ...rest]) expect(answer).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
  });
});

test('more connections than file descriptors: open ones work, and all clients can return afterwards', async () => {
  const small = await start(serverYaml('limits: { handshake_timeout: 500ms }'));
  const target = await small.port();
  const before = small.sockets;
  const pid = String(small.child.pid);
  const limit = before + 60;
  execFileSync(requireTool('prlimit'), ['--pid', pid, `--nofile=${openFiles(pid) + 60}:`]);
  await whileOthersWork(small, async () => {
    const crowd = Array.from({ length: 300 }, () => {
      const socket = connect(target, '127.0.0.1');
      socket.on('error', () => {}).resume();
      return once(socket, 'close');
    });
    await until('the descriptors to be used up', () => small.sockets >= limit - 5);
    await Promise.all(crowd);
  });
  await until('the sockets to be closed', () => small.sockets === before, {
    state: () => `${small.sockets} are open, not ${before}`,
  });
  await whileOthersWork(small, () => Promise.resolve());
});

/** A handshake with some of its bytes wrong. */
const mutated = fc
  .tuple(
    fc.array(fc.constantFrom(...`GET / HTTP/1.1\r\n${HOST}${UPGRADE}`.split(/(?<=\r\n)/)), { maxLength: 12 }),
    fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 4 }),
    fc.oneof(fc.constant(''), fc.constant('\r\n'), fc.string({ unit: 'binary', maxLength: 200 })),
    fc.boolean(),
  )
  .map(([lines, changes, end, whole]) => {
    const start = whole ? `GET / HTTP/1.1\r\n${HOST}${UPGRADE}` : lines.join('');
    const bytes = Buffer.from(start + end);
    for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
    return bytes;
  });

test('three hundred handshakes gone wrong: all connections end, nothing is left open, others work', async () => {
  const sockets = victim.sockets;
  await whileOthersWork(victim, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(mutated, { minLength: 10, maxLength: 10 }), async (requests) => {
        await Promise.all(
          requests.map(async (request) => {
            const client = await rawClient(port);
            client.socket.write(request);
            client.socket.end();
            await client.closed;
          }),
        );
        victim.expectAlive();
      }),
      { numRuns: 30, seed: SEED, endOnFailure: true },
    );
  });
  await victim.metricIs(0, 'millrace_connections_open', 'stage="input"');
  await until('the sockets to be closed', () => victim.sockets === sockets);
});

import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import { configMistakes, startEngine, type Run } from '../support/engine.ts';
import { closeFrame, frame, opcodes } from '../support/frames.ts';
import { connectClient, rawUpgrade, send } from '../support/peers.ts';
import { python } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { exchange, rawClient, upgradeRequest } from '../control/raw.ts';

const server = (limits: string, fields = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, limits: { ${limits} }, ${fields} }
    output: { type: collect }
`;

const refused = (run: Run, status: number): Promise<number> =>
  run.metric('millrace_connections_refused_total', `status="${status}"`);

describe('connections', () => {
  test('more get 503 with a time to come back; a client that leaves makes room', async () => {
    const run = await startEngine(server('connections: 2'));
    const url = await run.url();
    const [first] = [await connectClient(url), await connectClient(url)];
    const answer = await exchange(await run.port(), upgradeRequest('/'));
    expect(answer).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\n/);
    expect(answer).toMatch(/\r\nRetry-After: \d+\r\n(.*\r\n)*\r\ntoo many connections\n$/);
    await run.metricIs(1, 'millrace_connections_refused_total', 'status="503"', 'stage="input"');
    first.socket.close();
    await first.closed;
    const third = await until('room', async () => await connectClient(url).catch(() => undefined));
    await send(third, 'hello');
    expect(await run.output().count(1)).toEqual(['hello']);
  });

  test('handshakes that fail give their place back', async () => {
    const run = await startEngine(server('connections: 1'));
    for (let attempt = 0; attempt < 5; attempt++) {
      const broken = upgradeRequest('/').replace('Key: dGhl', 'Key: ');
      expect(await exchange(await run.port(), broken)).toMatch(/ 400 /);
    }
    await connectClient(await run.url());
  });

  test('everybody in a storm of handshakes gets an answer, and those without room learn when to try again', async () => {
    const run = await startEngine(server('connections: 10'));
    const port = await run.port();
    const answers = await Promise.all(
      Array.from({ length: 600 }, async () => {
        const client = await rawClient(port);
        afterTest(() => client.socket.destroy());
        client.socket.write(upgradeRequest('/'));
        return await client.until(/\r\n\r\n/);
      }),
    );
    const refused = answers.filter((answer) => !answer.startsWith('HTTP/1.1 101 '));
    expect(refused).toHaveLength(590);
    for (const answer of refused) expect(answer).toMatch(/^HTTP\/1\.1 503 (?:.*\r\n)*Retry-After: \d+\r\n/);
    await run.metricIs(590, 'millrace_connections_refused_total', 'stage="input"', 'status="503"');
  });

  test('silent connections are bounded, and keep no client out', async () => {
    const run = await startEngine(server('connections: 200'));
    const port = await run.port();
    const silent = await Promise.all(
      Array.from({ length: 300 }, async () => {
        const socket = connect({ port, host: '127.0.0.1' });
        afterTest(() => socket.destroy());
        socket.on('error', () => {});
        await once(socket, 'connect');
        return socket;
      }),
    );
    const client = await connectClient(await run.url());
    await send(client, 'hello');
    expect(await run.output().count(1)).toEqual(['hello']);
    // All but 200 have made room, the oldest first; the client that came last may have made room as well.
    await until('those too many to be gone', () => silent.filter((socket) => socket.destroyed).length >= 100);
    expect(silent.filter((socket) => socket.destroyed).length).toBeLessThanOrEqual(101);
    expect(silent.at(-1)!.destroyed).toBe(false);
    expect(
      await run.metric('millrace_connections_refused_total', 'stream="stream-0"', 'status="503"'),
    ).toBeGreaterThanOrEqual(100);
  });
});

describe('connections_per_address', () => {
  test('more get 429, and other addresses are not touched', async () => {
    const run = await startEngine(server('connections_per_address: 2'));
    const url = await run.url();
    const [first] = [await connectClient(url), await connectClient(url)];
    expect(await exchange(await run.port(), upgradeRequest('/'))).toMatch(
      /^HTTP\/1\.1 429 Too Many Requests\r\n.*\r\nRetry-After: \d+\r\n.*too many connections from this address\n$/s,
    );
    await connectClient(url, { localAddress: '127.0.0.2' });
    expect(await refused(run, 429)).toBe(1);
    first.socket.terminate();
    await until('room', async () => await connectClient(url).catch(() => undefined));
  });

  test('behind a trusted proxy the address is the client’s', async () => {
    const run = await startEngine(server('connections_per_address: 1', 'trusted_proxies: [127.0.0.0/8]'));
    const url = await run.url();
    const from = (address: string) => connectClient(url, { headers: { 'X-Forwarded-For': address } });
    await from('203.0.113.1');
    await from('203.0.113.2');
    await expect(from('203.0.113.1')).rejects.toThrow('429');
  });

  test('an IPv6 host counts as its /64: it has too many addresses to count', async () => {
    const run = await startEngine(server('connections_per_address: 2', 'trusted_proxies: [127.0.0.0/8]'));
    const url = await run.url();
    const from = (address: string) => connectClient(url, { headers: { 'X-Forwarded-For': address } });
    const first = await from('2001:db8:0:1::1');
    await from('2001:db8:0:1:ffff::');
    await expect(from('2001:db8:0:1::2')).rejects.toThrow('429');
    await from('2001:db8:0:2::1');
    first.socket.terminate();
    await until('room', async () => await from('2001:db8:0:1::2').catch(() => undefined));
  });
});

describe('the handshake', () => {
  test('a handshake that is not done in time gets 408, however it trickles in', async () => {
    const run = await startEngine(server('handshake_timeout: 300ms'));
    const client = await rawClient(await run.port());
    afterTest(() => client.socket.destroy());
    const request = upgradeRequest('/').slice(0, -2).split('');
    const trickle = setInterval(() => client.socket.write(request.shift() ?? 'x'), 5);
    expect(await client.closed).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    clearInterval(trickle);
    expect(await exchange(await run.port(), '')).toMatch(/^HTTP\/1\.1 408 /);
    await until('both to be counted', async () => (await refused(run, 408)) === 2);
    await connectClient(await run.url());
  });

  test('headers may be as large as configured, and no larger', async () => {
    const run = await startEngine(server('header_size: 4KiB'));
    const headers = (size: number) => ({ 'X-Padding': 'x'.repeat(size) });
    await connectClient(await run.url(), { headers: headers(3000) });
    const large = upgradeRequest(
      '/',
      `Upgrade: websocket\r\nConnection: Upgrade\r\nX: ${'x'.repeat(4096)}\r\n`,
    );
    expect(await exchange(await run.port(), large)).toMatch(
      /^HTTP\/1\.1 431 Request Header Fields Too Large\r\n.*The headers are too large\.\n$/s,
    );
    const run2 = await startEngine(server('header_size: 64KiB'));
    await connectClient(await run2.url(), { headers: headers(40_000) });
    expect(await refused(run, 431)).toBe(1);
  });

  test('2,000 headers are too large, and the answer comes through though more is sent', async () => {
    const run = await startEngine(server(''));
    const headers = Array.from({ length: 2000 }, (_, index) => `X-Header-${index}: ${index}\r\n`).join('');
    const upgrade = 'Upgrade: websocket\r\nConnection: Upgrade\r\n';
    expect(await exchange(await run.port(), upgradeRequest('/', upgrade + headers.repeat(20)))).toMatch(
      /^HTTP\/1\.1 431 /,
    );
    await connectClient(await run.url());
  });
});

describe('fragments', () => {
  test('a message in more frames closes with 1008, and one in as many comes through', async () => {
    const run = await startEngine(server('fragments: 10'));
    const pieces = (count: number): Buffer =>
      Buffer.concat(
        Array.from({ length: count }, (_, index) =>
          frame(index === 0 ? 'text' : 'continuation', 'x', { fin: index === count - 1, mask: true }),
        ),
      );
    const good = await rawUpgrade(await run.url());
    good.socket.write(pieces(10));
    good.socket.write(pieces(10));
    await run.output().count(2);
    const bad = await rawUpgrade(await run.url());
    bad.socket.write(pieces(11));
    expect(await bad.closeCode()).toBe(1008);
    expect((await run.logged(/^connection closed with 1008/)).msg).toContain('Too many message fragments');
    good.socket.write(pieces(10));
    expect(await run.output().count(3)).toEqual(['x'.repeat(10), 'x'.repeat(10), 'x'.repeat(10)]);
  });

  test('empty fragments by the hundred thousand are fragments like any other', async () => {
    const run = await startEngine(server(''));
    const peer = await rawUpgrade(await run.url());
    peer.socket.write(frame('text', 'x', { fin: false, mask: true }));
    peer.socket.write(
      Buffer.concat(Array(100_000).fill(frame('continuation', '', { fin: false, mask: true }))),
    );
    expect(await peer.closeCode()).toBe(1008);
    expect(run.output().messages).toEqual([]);
  });
});

describe('idle_timeout', () => {
  test('closes with 1008 a client that sends no message, though it answers and sends pings; one that sends stays', async () => {
    const run = await startEngine(server('idle_timeout: 500ms'));
    const url = await run.url();
    const busy = await connectClient(url);
    const chatter = setInterval(() => busy.socket.send('x'), 50);
    const pinging = await connectClient(url);
    const pings = setInterval(() => pinging.socket.readyState === 1 && pinging.socket.ping(), 50);
    afterTest(() => [chatter, pings].forEach((each) => clearInterval(each)));
    expect(await pinging.closed).toEqual({ code: 1008, reason: 'idle' });
    const silent = await connectClient(url);
    expect(await silent.closed).toEqual({ code: 1008, reason: 'idle' });
    expect(busy.socket.readyState).toBe(busy.socket.OPEN);
    await run.metricIs(2, 'millrace_connections_closed_total', 'code="1008"');
  });

  test('does not hold it against a client that we do not read', async () => {
    const run = await startEngine(`${server('idle_timeout: 200ms')}    in_flight: { messages: 4 }\n`);
    const client = await connectClient(await run.url());
    run.output().hold();
    await send(client, ...Array.from({ length: 20 }, String));
    await until('the write', () => run.output().writes === 1);
    const later = performance.now() + 1500;
    await until('several timeouts', () => performance.now() > later);
    expect(client.socket.readyState).toBe(client.socket.OPEN);
    run.output().release();
    await run.output().count(20);
    expect(await client.closed).toEqual({ code: 1008, reason: 'idle' });
  });

  test('a Python client sees why', async () => {
    const run = await startEngine(server('idle_timeout: 300ms'));
    const script = `
import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1]) as ws:
        try:
            await ws.recv()
        except websockets.ConnectionClosed as error:
            print("closed", error.rcvd.code, error.rcvd.reason)
asyncio.run(main())
`;
    expect(await python(script, await run.url()).line(/^closed/)).toBe('closed 1008 idle');
  });
});

describe('in_flight_share', () => {
  test('a session that has used its share waits, and the others go on', async () => {
    const limits = 'in_flight_share: 0.2';
    const run = await startEngine(`${server(limits)}    in_flight: { messages: 100 }\n`);
    const url = await run.url();
    const [greedy, modest] = [await rawUpgrade(url), await connectClient(url)];
    run.output().hold();
    // A packet each, so that no single read brings more than the share.
    let sent = 0;
    await until('the greedy one to wait', async () => {
      const before = (await run.inFlight()).messages;
      if (before >= 20) return true;
      greedy.socket.write(frame('text', `greedy ${sent++}`, { mask: true }));
      return false;
    });
    for (let more = 0; more < 50; more++)
      greedy.socket.write(frame('text', `greedy ${sent++}`, { mask: true }));
    await send(modest, 'modest');
    await until('the modest one', async () => (await run.inFlight()).messages === 21);
    run.output().release();
    const texts = await run.output().count(sent + 1);
    expect(texts.indexOf('modest')).toBe(20);
    expect(texts.filter((text) => text !== 'modest')).toEqual(
      Array.from({ length: sent }, (_, number) => `greedy ${number}`),
    );
  });

  test('by bytes as well', async () => {
    const run = await startEngine(`${server('in_flight_share: 0.5')}    in_flight: { bytes: 1MiB }\n`);
    const url = await run.url();
    const [greedy, modest] = [await connectClient(url), await connectClient(url)];
    run.output().hold();
    for (let number = 0; number < 8; number++) greedy.socket.send(Buffer.alloc(200 * 1024));
    await until('its share', async () => (await run.inFlight()).messages === 3);
    await send(modest, 'modest');
    await until('the modest one', async () => (await run.inFlight()).messages === 4);
    run.output().release();
    await run.output().count(9);
  });
});

describe('automatic answers', () => {
  test('thousands of pings in a few packets, whose pongs are not read, end nothing, and the last is answered', async () => {
    const run = await startEngine(server(''));
    const peer = await rawUpgrade(await run.url());
    peer.socket.pause();
    peer.socket.write(
      Buffer.concat(Array<Buffer>(6000).fill(frame('ping', 'x'.repeat(125), { mask: true }))),
    );
    peer.socket.write(frame('ping', 'the last', { mask: true }));
    peer.socket.write(frame('text', 'hello', { mask: true }));
    expect(await run.output().count(1)).toEqual(['hello']);
    peer.socket.resume();
    const isLast = ({ opcode, payload }: { opcode: number; payload: Buffer }): boolean =>
      opcode === opcodes.pong && payload.toString() === 'the last';
    await until('the answer to the last', () => peer.frames.some(isLast));
    // Many were read together, and of those only the last is owed an answer.
    expect(peer.frames.length).toBeLessThan(6000);
  });

  test('every ping of a client that reads is answered', async () => {
    const run = await startEngine(server(''));
    const peer = await rawUpgrade(await run.url());
    for (let number = 0; number < 20; number++) {
      peer.socket.write(frame('ping', String(number), { mask: true }));
      await until(`pong ${number}`, () => peer.frames.at(-1)?.payload.toString() === String(number));
    }
    expect(peer.frames.map(({ opcode }) => opcode)).toEqual(Array(20).fill(opcodes.pong));
  });

  test('a client that never finishes its close is cut, and one that never answers ours too', async () => {
    const run = await startEngine(server('idle_timeout: 100ms'));
    const mute = await rawUpgrade(await run.url());
    expect(await mute.closeCode()).toBe(1008);
    const halfway = await rawUpgrade(await run.url());
    halfway.socket.write(closeFrame(1000, '', { mask: true }));
    expect(await halfway.closeCode()).toBe(1000);
    await halfway.gone();
    await until('the mute one to be cut', () => mute.socket.destroyed || mute.socket.readableEnded, {
      timeout: 20_000,
    });
    await run.metricIs(0, 'millrace_connections_open', 'stage="input"');
  });
});

test('values that make no sense are mistakes at load', () => {
  const mistakes = (limits: string): string[] => configMistakes(server(limits));
  expect(mistakes('connections: 0')).toEqual([expect.stringMatching(/limits\.connections: /)]);
  expect(mistakes('in_flight_share: 2')).toEqual([expect.stringMatching(/limits\.in_flight_share: /)]);
  expect(mistakes('header_size: 100')).toEqual([
    expect.stringMatching(/limits\.header_size: .*at least 1KiB/),
  ]);
  expect(mistakes('over_rate: drop')).toEqual([expect.stringMatching(/limits\.over_rate: .*pause/)]);
  expect(mistakes('conections: 1')).toEqual([expect.stringMatching(/conections.*connections/)]);
});

test('limits that would never be reached are mistakes at load', () => {
  const mistakes = (limits: string, fields = ''): string[] => configMistakes(server(limits, fields));
  expect(mistakes('over_rate: close')).toEqual([
    'streams[0].input.limits.over_rate: needs messages_per_second or bytes_per_second',
  ]);
  expect(mistakes('over_rate: pause, bytes_per_second: 1KiB')).toEqual([]);
  expect(mistakes('failed_logins: 3')).toEqual(['streams[0].input.limits.failed_logins: needs `auth`']);
  expect(mistakes('failed_logins: 3', 'auth: { type: bearer, tokens: [t0ken] }')).toEqual([]);
  const tls = 'tls: { cert_file: a, key_file: b, ca_file: c }';
  expect(mistakes('failed_logins: 3', `${tls}, auth: { type: mtls }`)).toEqual([
    'streams[0].input.limits.failed_logins: has no effect with mtls: nobody can guess a certificate',
  ]);
});

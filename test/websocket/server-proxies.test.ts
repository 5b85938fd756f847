import { describe, expect, test } from 'vitest';
import { configMistakes, startEngine } from '../support/engine.ts';
import { basic, extOf, startServer } from '../support/handshakes.ts';
import { connectClient, send } from '../support/peers.ts';
import { startNginx } from '../support/nginx.ts';

describe('the address of a client', () => {
  test.each([
    // `trusted_proxies`, X-Forwarded-For, `remote_address`; the connection is from 127.0.0.1.
    ['[]', '192.0.2.1', '127.0.0.1'],
    ['[10.0.0.0/8]', '192.0.2.1', '127.0.0.1'],
    ['[127.0.0.1]', undefined, '127.0.0.1'],
    ['[127.0.0.1]', '', '127.0.0.1'],
    ['[127.0.0.1]', '192.0.2.1', '192.0.2.1'],
    ['[127.0.0.0/8]', '192.0.2.1', '192.0.2.1'],
    // Addresses left of the first one that is not trusted may be forged.
    ['[127.0.0.1]', '203.0.113.9, 192.0.2.1', '192.0.2.1'],
    ['[127.0.0.1, 10.0.0.0/8]', '203.0.113.9, 192.0.2.1, 10.1.2.3', '192.0.2.1'],
    ['[127.0.0.1, 10.0.0.0/8]', '203.0.113.9,192.0.2.1,10.1.2.3 , 10.4.5.6', '192.0.2.1'],
    ['[127.0.0.1, 10.0.0.0/8]', '192.0.2.1, 198.51.100.1, 10.1.2.3', '198.51.100.1'],
    ['[127.0.0.1, 10.0.0.0/8]', '10.9.9.9, 10.1.2.3', '10.9.9.9'],
    ['["0.0.0.0/0", "::/0"]', '2001:db8::7, 10.1.2.3', '2001:db8::7'],
    // Several headers are one list.
    ['[127.0.0.1, 10.0.0.0/8]', '203.0.113.9\r\nX-Forwarded-For: 192.0.2.1, 10.1.2.3', '192.0.2.1'],
    ['[127.0.0.1]', '192.0.2.1:4711', '192.0.2.1'],
    ['[127.0.0.1]', '2001:db8::7', '2001:db8::7'],
    ['[127.0.0.1]', '[2001:db8::7]:4711', '2001:db8::7'],
    ['[127.0.0.1]', '[2001:db8::7]', '2001:db8::7'],
    ['[127.0.0.1]', '"192.0.2.1"', '192.0.2.1'],
    ['[127.0.0.1, 10.0.0.0/8]', '192.0.2.1, ::ffff:10.1.2.3', '192.0.2.1'],
    ['[127.0.0.1, "::ffff:10.0.0.0/104"]', '192.0.2.1, 10.1.2.3', '192.0.2.1'],
    ['[127.0.0.1]', '::ffff:192.0.2.1', '192.0.2.1'],
    ['["::ffff:127.0.0.1"]', '192.0.2.1', '192.0.2.1'],
    ['[127.0.0.1, "fd00::/8"]', '192.0.2.1, fd12::1', '192.0.2.1'],
    // A text that is not an address names nobody: the proxy that passed it on is the last known address.
    ['[127.0.0.1]', 'unknown', '127.0.0.1'],
    ['[127.0.0.1]', '192.0.2.1, _hidden', '127.0.0.1'],
    ['[127.0.0.1, 10.0.0.0/8]', '192.0.2.1, garbage, 10.1.2.3', '10.1.2.3'],
    ['[127.0.0.1]', '192.0.2.1,', '127.0.0.1'],
    ['[127.0.0.1]', '999.1.1.1', '127.0.0.1'],
    ['[127.0.0.1]', '192.0.2.1/24', '127.0.0.1'],
    ['[127.0.0.1]', '192.0.2.01', '127.0.0.1'],
    ['[127.0.0.1]', `${'1.1.1.1, '.repeat(1000)}192.0.2.1`, '192.0.2.1'],
  ])('trusted %s, forwarded for %j: %s', async (trusted, forwarded, address) => {
    const run = await startServer(`trusted_proxies: ${trusted}`);
    const headers = forwarded === undefined ? undefined : { 'X-Forwarded-For': forwarded };
    expect(await extOf(run, await run.url(), headers)).toMatchObject({ remote_address: address });
  });

  test('for IPv4 on a dual-stack socket is written and trusted as IPv4', async () => {
    const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: "::", port: 0, trusted_proxies: [127.0.0.1] }
    output: { type: collect }
`);
    const url = `ws://127.0.0.1:${await run.port()}`;
    expect(await extOf(run, url)).toMatchObject({ remote_address: '127.0.0.1' });
    expect(await extOf(run, url, { 'X-Forwarded-For': '192.0.2.1' })).toMatchObject({
      remote_address: '192.0.2.1',
    });
    const six = `ws://[::1]:${await run.port()}`;
    const client = await connectClient(six, { headers: { 'X-Forwarded-For': '192.0.2.1' } });
    await send(client, 'x');
    await run.output().count(3);
    expect(run.output().messages[2]!.ext['remote_address']).toBe('::1');
  });
});

test('behind nginx: the client’s address, its limits by address, and pages of the host that it asked for', async () => {
  const run = await startServer(
    'trusted_proxies: [127.0.0.1], auth: { type: basic, users: { a: pass } }, limits: { failed_logins: 2 }',
  );
  const port = await startNginx(await run.port());
  const url = `ws://127.0.0.1:${port}/`;
  const through = (forwardedFor: string, password: string, origin?: string) =>
    connectClient(url, {
      headers: {
        ...basic('a', password),
        'X-Forwarded-For': forwardedFor,
        ...(origin !== undefined && { origin }),
      },
    });
  // nginx adds 127.0.0.1, which is trusted, so the client before it counts.
  await send(await through('192.0.2.1', 'pass'), 'x');
  await run.output().count(1);
  expect(run.output().messages[0]!.ext).toMatchObject({ remote_address: '192.0.2.1', subject: 'a' });
  await expect(through('192.0.2.2', 'x')).rejects.toThrow('401');
  await expect(through('192.0.2.2', 'x')).rejects.toThrow('401');
  await expect(through('192.0.2.2', 'x')).rejects.toThrow('429');
  await through('192.0.2.2', 'pass');
  await through('192.0.2.3', 'pass', `http://127.0.0.1:${port}`);
  await expect(through('192.0.2.3', 'pass', `http://127.0.0.1:${await run.port()}`)).rejects.toThrow('403');
});

test('without `trusted_proxies`, every client behind nginx has the address of nginx', async () => {
  const run = await startServer('');
  const client = await connectClient(`ws://127.0.0.1:${await startNginx(await run.port())}/`, {
    headers: { 'X-Forwarded-For': '192.0.2.1' },
  });
  await send(client, 'x');
  await run.output().count(1);
  expect(run.output().messages[0]!.ext).toMatchObject({ remote_address: '127.0.0.1' });
});

test.each(['localhost', '10.0.0.0/33', '10.0.0.0/8/8', '10.0.0', '::/129', '10.0.0.0/', '*'])(
  'is not an address: %s',
  (address) => {
    const yaml = `- input: { type: websocket, mode: server, port: 1, trusted_proxies: ["${address}"] }\n`;
    expect(configMistakes(yaml).join()).toMatch(
      /trusted_proxies\[0\]: .*not an address; expected one like 10\.0\.0\.7/,
    );
  },
);

import { describe, expect, test } from 'vitest';
import type { Session } from '../../src/websocket/session.ts';
import { configMistakes, startEngine, type Run } from '../support/engine.ts';
import { basic } from '../support/handshakes.ts';
import { connectClient, send, type Client } from '../support/peers.ts';
import { until } from '../support/until.ts';

const server = (limits: string): string => `
streams:
  - input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      trusted_proxies: [127.0.0.1]
      auth: { type: basic, users: { ann: pass, bob: pass } }
      limits: { ${limits} }
    output: { type: collect }
`;

const numbered = (count: number): string[] => Array.from({ length: count }, (_, number) => String(number));

/** A client of a user, at an address. */
async function enter(run: Run, user: string, address = '192.0.2.1'): Promise<Client> {
  const headers = { ...basic(user, 'pass'), 'X-Forwarded-For': address };
  return await connectClient(await run.url(), { headers });
}

/** When the message with this text came, in seconds. */
const timeOf = (run: Run, text: string): number =>
  run.output().messages[run.output().texts.lastIndexOf(text)]!.time / 1e6;

const came = (run: Run, text: string): Promise<true> =>
  until(`${text} to come`, () => run.output().texts.includes(text) || undefined);

describe.each([
  ['subject', 'ann', '192.0.2.2', 'bob', '192.0.2.1'],
  ['address', 'bob', '192.0.2.1', 'ann', '192.0.2.2'],
] as const)('rate_per: %s', (per, user, address, otherUser, otherAddress) => {
  test('a client that reconnects keeps its rate', async () => {
    const run = await startEngine(server(`messages_per_second: 50, rate_per: ${per}`));
    const first = await enter(run, 'ann');
    await send(first, ...numbered(150));
    await run.output().count(150);
    const start = timeOf(run, '0');
    first.socket.terminate();
    await run.metricIs(0, 'millrace_connections_open', 'stage="input"');
    const again = await enter(run, user, address);
    await send(again, 'again');
    await came(run, 'again');
    // A second's worth came at once; nothing makes the rest earlier.
    expect(timeOf(run, 'again') - start).toBeGreaterThan(1.98);
  });

  test('others do not notice', async () => {
    const run = await startEngine(server(`bytes_per_second: 1000, rate_per: ${per}`));
    const first = await enter(run, 'ann');
    // More than half a minute's worth.
    await send(first, 'x'.repeat(40_000));
    await run.output().count(1);
    const again = await enter(run, user, address);
    await send(again, 'again');
    const other = await enter(run, otherUser, otherAddress);
    await send(other, 'other');
    await came(run, 'other');
    expect(run.output().texts).not.toContain('again');
  });

  test('connections at the same time have one rate together', async () => {
    const run = await startEngine(server(`messages_per_second: 50, rate_per: ${per}`));
    const [one, two] = [await enter(run, 'ann'), await enter(run, user, address)];
    await send(one, ...numbered(100));
    await came(run, '99');
    await send(two, 'first of two');
    await came(run, 'first of two');
    await send(two, 'second of two');
    await send(one, 'behind');
    await came(run, 'second of two');
    await came(run, 'behind');
    for (const text of ['second of two', 'behind'])
      expect(timeOf(run, text) - timeOf(run, '0')).toBeGreaterThan(0.98);
  });

  test('with `over_rate: close` the next connection closes as well, until the debt is paid', async () => {
    const run = await startEngine(server(`messages_per_second: 20, over_rate: close, rate_per: ${per}`));
    const closed = { code: 1008, reason: 'too many messages a second' };
    const first = await enter(run, 'ann');
    for (const message of numbered(200)) first.socket.send(message);
    expect(await first.closed).toEqual(closed);
    const other = await enter(run, otherUser, otherAddress);
    await send(other, ...numbered(15));
    const again = await enter(run, user, address);
    for (const message of numbered(40)) again.socket.send(message);
    expect(await again.closed).toEqual(closed);
    // Far less than a new connection's worth of 20.
    const { messages } = run.output();
    const ofOthers = messages.filter(({ ext }) => ext['session_id'] !== messages[0]!.ext['session_id']);
    expect(ofOthers.length).toBeLessThan(15 + 15);
    expect(other.socket.readyState).toBe(other.socket.OPEN);
    const refilled = performance.now() + 1200;
    await until('the debt to be paid', () => performance.now() > refilled);
    const last = await enter(run, user, address);
    await send(last, 'last');
    await came(run, 'last');
  });
});

test('for a subject, its addresses do not matter; for an address, its subjects do not', async () => {
  const run = await startEngine(server('bytes_per_second: 1000, rate_per: address'));
  const [ann, elsewhere] = [await enter(run, 'ann'), await enter(run, 'ann', '192.0.2.7')];
  await send(ann, 'x'.repeat(40_000));
  await run.output().count(1);
  await send(ann, 'behind');
  await send(elsewhere, 'elsewhere');
  await came(run, 'elsewhere');
  expect(run.output().texts).not.toContain('behind');
});

test('clients that left are remembered up to a number', async () => {
  const { RateLimit } = await import('../../src/websocket/server/rate-limit.ts');
  const limit = new RateLimit({ messages: 1, bytes: undefined, over: 'close', per: 'subject' });
  for (let n = 0; n < 12_000; n++) {
    const session = { ext: { subject: String(n) }, remoteAddress: '' } as unknown as Session;
    limit.add(session);
    limit.take(session, 1);
    limit.remove(session);
  }
  expect(limit.gone).toBeLessThanOrEqual(10_000);
  expect(limit.gone).toBeGreaterThan(0);
});

test('mistakes', () => {
  const mistakes = (fields: string): string[] =>
    configMistakes(`[{ input: { type: websocket, mode: server, port: 0, ${fields} } }]`);
  expect(mistakes('limits: { rate_per: address }')).toEqual([
    '[0].input.limits.rate_per: needs messages_per_second or bytes_per_second',
  ]);
  expect(mistakes('limits: { rate_per: subject, messages_per_second: 1 }')).toEqual([
    '[0].input.limits.rate_per: needs `auth`, or no client has a subject',
  ]);
  expect(mistakes('limits: { rate_per: address, messages_per_second: 1 }')).toEqual([]);
});

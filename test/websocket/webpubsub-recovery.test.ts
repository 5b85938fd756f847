import { describe, expect, test } from 'vitest';
import { startEngine, type Run } from '../support/engine.ts';
import { PLAIN, RELIABLE, azureClient, proxyTo, rawClient, type RawClient } from '../support/pubsub.ts';
import { connectClient, send } from '../support/peers.ts';
import { until } from '../support/until.ts';

const server = (options: { input?: string; output?: string } = {}): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /hub, protocols: [${RELIABLE}, ${PLAIN}], ${options.input ?? ''} }
    output: ${options.output ?? '{ type: collect }'}
    error_output: { type: collect, name: rejected }
`;

/** With a way to send to all of them. */
const fed = (options: { input?: string; output?: string } = {}): string => `${server(options)}
  - id: feed
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /feed }
    output: { type: websocket, mode: server, path: /hub ${options.output ?? ''} }
`;

async function throughProxy(run: Run): Promise<{ url: string; proxy: Awaited<ReturnType<typeof proxyTo>> }> {
  const url = new URL(await run.url());
  const proxy = await proxyTo(Number(url.port));
  url.port = String(proxy.port);
  return { url: url.href, proxy };
}

/** The URL with which a client continues another connection. */
async function recoveryUrl(
  url: string,
  client: RawClient,
  changes: Record<string, string> = {},
): Promise<string> {
  const { connectionId, reconnectionToken } = await client.got({ event: 'connected' });
  const target = new URL(url);
  target.searchParams.set('awps_connection_id', changes['id'] ?? String(connectionId));
  target.searchParams.set('awps_reconnection_token', changes['token'] ?? String(reconnectionToken));
  return target.href;
}

const basicAuth = (name: string): string => `Basic ${Buffer.from(`${name}:${name}-pass`).toString('base64')}`;

const numbers = (count: number, from = 0): number[] => Array.from({ length: count }, (_, n) => n + from);

describe('the published client goes on where its connection was cut', () => {
  test('with messages in flight both ways: nothing is lost, nothing comes twice', async () => {
    const run = await startEngine(fed());
    const { url, proxy } = await throughProxy(run);
    const listener = await azureClient(await run.url());
    const {
      client,
      connected,
      disconnected,
      server: got,
      group,
    } = await azureClient(url, {
      // It repeats a message without an answer, with the number that the caller gave.
      messageRetryOptions: { maxRetries: 10, retryDelayInMs: 100 },
    });
    await client.joinGroup('room');
    await listener.client.joinGroup('room');
    const feed = await connectClient(await run.url('feed'));
    const total = 400;
    const events = numbers(total).map((n) => client.sendEvent('e', n, 'json', { ackId: 1000 + n }));
    const groups = numbers(total).map((n) => listener.client.sendToGroup('room', n, 'json'));
    await send(feed, ...numbers(total).map(String));
    await until('some to be there', () => run.output().messages.length > 50 && got.length > 0);
    proxy.cut();
    await send(feed, ...numbers(total, total).map(String));
    groups.push(...numbers(total, total).map((n) => listener.client.sendToGroup('room', n, 'json')));
    await Promise.all([...events, ...groups]);
    await until('all messages', () => got.length >= 2 * total && group.length >= 2 * total);
    expect(proxy.taken).toBe(2);
    expect([connected.length, disconnected.length]).toEqual([1, 0]);
    expect(got.map(({ data }) => Number(data))).toEqual(numbers(2 * total));
    expect(group.map(({ data }) => data)).toEqual(numbers(2 * total));
    expect(listener.group.map(({ data }) => data)).toEqual(numbers(2 * total));
    const ours = run.output().messages.filter(({ ext }) => ext['pubsub.event'] === 'e');
    const received = ours.map(({ payload }) => Number(Buffer.from(payload).toString()));
    expect(received.toSorted((a, b) => a - b)).toEqual(numbers(total));
    expect(new Set(ours.map(({ ext }) => ext['session_id']))).toEqual(new Set([connected[0]!.connectionId]));
    const sequences = run
      .output()
      .messages.flatMap(({ ext }) =>
        ext['session_id'] === connected[0]!.connectionId ? [ext['sequence']] : [],
      );
    expect(new Set(sequences).size).toBe(sequences.length);
  });

  test('while its message is held: a repeat is not emitted again, and is confirmed with the first', async () => {
    const run = await startEngine(server());
    const { url, proxy } = await throughProxy(run);
    const { client } = await azureClient(url, {
      messageRetryOptions: { maxRetries: 10, retryDelayInMs: 50 },
    });
    run.output().hold();
    const sent = client.sendEvent('e', 'once', 'text', { ackId: 77 });
    await until('the output to be at it', () => run.output().writes > 0);
    proxy.cut();
    await until('it to be back', () => proxy.taken === 2);
    run.output().release();
    await sent;
    await client.sendEvent('e', 'after', 'text', { ackId: 78 });
    expect(run.output().texts).toEqual(['once', 'after']);
  });

  test('refused: it starts over', async () => {
    const run = await startEngine(server({ input: 'web_pubsub: { recovery: 50ms }' }));
    const { url, proxy } = await throughProxy(run);
    const { client, connected, disconnected } = await azureClient(url);
    proxy.down = true;
    proxy.cut();
    await run.logged(/^disconnected|connection closed|closed/);
    const since = performance.now();
    await until('its time to be over', () => performance.now() - since > 200);
    proxy.down = false;
    await until('a new connection', () => connected.length === 2);
    expect(disconnected).toHaveLength(1);
    expect(connected[1]!.connectionId).not.toBe(connected[0]!.connectionId);
    await client.sendEvent('e', 1, 'json');
    expect(run.output().texts).toEqual(['1']);
  });
});

describe('recovery by hand', () => {
  test('the same connection, the same token, the same groups; unacknowledged messages come again, in order', async () => {
    const run = await startEngine(server());
    const url = await run.url();
    const first = await rawClient(url);
    first.say({ type: 'joinGroup', group: 'room', ackId: 1 });
    await first.got({ type: 'ack', ackId: 1 });
    const other = await rawClient(url);
    for (const n of [1, 2, 3]) other.say({ type: 'sendToGroup', group: 'room', dataType: 'json', data: n });
    await first.got({ sequenceId: 3 });
    first.say({ type: 'sequenceAck', sequenceId: 1 });
    first.say({ type: 'ping' });
    await first.got({ type: 'pong' });
    first.socket.terminate();
    const second = await rawClient(await recoveryUrl(url, first));
    other.say({ type: 'sendToGroup', group: 'room', dataType: 'text', data: 'after' });
    await second.got({ sequenceId: 4 });
    expect(second.frames).toEqual([
      first.frames[0],
      ...[2, 3].map((n) => ({
        type: 'message',
        from: 'group',
        fromUserId: null,
        group: 'room',
        dataType: 'json',
        data: n,
        sequenceId: n,
      })),
      {
        type: 'message',
        from: 'group',
        fromUserId: null,
        group: 'room',
        dataType: 'text',
        data: 'after',
        sequenceId: 4,
      },
    ]);
  });

  test('a number that has been confirmed is a duplicate, before and after', async () => {
    const run = await startEngine(server());
    const url = await run.url();
    const first = await rawClient(url);
    const event = { type: 'event', event: 'e', dataType: 'json', data: 1, ackId: 5 };
    first.say(event);
    await first.got({ type: 'ack', ackId: 5, success: true });
    first.say(event);
    const duplicate = { type: 'ack', ackId: 5, success: false };
    expect(await first.got(duplicate)).toMatchObject({ error: { name: 'Duplicate' } });
    first.socket.terminate();
    const second = await rawClient(await recoveryUrl(url, first));
    second.say(event);
    expect(await second.got(duplicate)).toMatchObject({ error: { name: 'Duplicate' } });
    second.say({ ...event, ackId: 6 });
    await second.got({ type: 'ack', ackId: 6, success: true });
    expect(run.output().messages.map(({ ext }) => ext['sequence'])).toEqual(['1', '2']);
  });

  test('a number that is still in flight is answered when the first is, and no sooner', async () => {
    const run = await startEngine(server());
    const url = await run.url();
    const first = await rawClient(url);
    const event = { type: 'event', event: 'e', dataType: 'json', data: 1, ackId: 5 };
    run.output().hold();
    first.say(event);
    await until('the output to be at it', () => run.output().writes > 0);
    first.socket.terminate();
    const second = await rawClient(await recoveryUrl(url, first));
    second.say(event);
    second.say(event);
    second.say({ type: 'ping' });
    await second.got({ type: 'pong' });
    expect(second.frames.map(({ type }) => type)).toEqual(['system', 'pong']);
    run.output().release();
    await second.got({ type: 'ack', ackId: 5, success: true });
    expect(run.output().texts).toEqual(['1']);
  });

  test('a socket that still seems open gives way', async () => {
    const run = await startEngine(server());
    const url = await run.url();
    const first = await rawClient(url);
    const second = await rawClient(await recoveryUrl(url, first));
    expect((await first.closed).code).toBe(1006);
    second.say({ type: 'event', event: 'e', data: 1, ackId: 1 });
    await second.got({ type: 'ack', success: true });
  });

  test.each([
    ['a wrong token', { token: 'A'.repeat(32) }],
    ['a short token', { token: 'A' }],
    ['no such connection', { id: '00000000-0000-4000-8000-000000000000' }],
  ])('%s: 1008, and the connection is not touched', async (_, changes) => {
    const run = await startEngine(server());
    const url = await run.url();
    const first = await rawClient(url);
    const refused = await connectClient(await recoveryUrl(url, first, changes), { protocols: [RELIABLE] });
    expect(await refused.closed).toEqual({ code: 1008, reason: 'the connection to recover is not known' });
    first.say({ type: 'event', event: 'e', data: 1, ackId: 1 });
    await first.got({ type: 'ack', success: true });
  });

  test('an output’s answer reaches it, though it was away', async () => {
    const run = await startEngine(
      server({ output: '{ type: websocket, mode: reply }' }).replace(
        '    output:',
        '    buffer: { type: tumbling_window, interval: 300ms }\n    output:',
      ),
    );
    const url = await run.url();
    const first = await rawClient(url);
    first.say({ type: 'event', event: 'e', dataType: 'json', data: { n: 1 } });
    first.say({ type: 'ping' });
    await first.got({ type: 'pong' });
    first.socket.terminate();
    await run.idle();
    const second = await rawClient(await recoveryUrl(url, first));
    expect(await second.got({ from: 'server' })).toMatchObject({ data: { n: 1 }, sequenceId: 1 });
    expect(run.output('rejected').messages).toEqual([]);
  });

  test('the oldest of too many that are away is forgotten', async () => {
    const run = await startEngine(server());
    const url = await run.url();
    const first = await rawClient(url);
    const target = await recoveryUrl(url, first);
    first.socket.terminate();
    await run.logged(/^connection closed/);
    let last = first;
    for (let n = 0; n < 1000; n++) {
      last = await rawClient(url);
      await last.got({ event: 'connected' });
      last.socket.terminate();
    }
    await until(
      'all to be gone',
      () => run.log.filter(({ msg }) => msg.startsWith('connection closed')).length === 1001,
    );
    const refused = await connectClient(target, { protocols: [RELIABLE] });
    expect((await refused.closed).code).toBe(1008);
    await run.logged(/^connection refused with 1008/);
    const again = await rawClient(await recoveryUrl(url, last));
    const { connectionId, reconnectionToken } = await last.got({ event: 'connected' });
    await again.got({ event: 'connected', connectionId });
    expect(JSON.stringify(run.log)).not.toContain(String(reconnectionToken));
  });

  test('a client that closed leaves nothing to recover, nor does one of the plain protocol', async () => {
    const run = await startEngine(server());
    const url = await run.url();
    const first = await rawClient(url);
    const target = await recoveryUrl(url, first);
    first.socket.close(1000);
    await first.closed;
    const refused = await connectClient(target, { protocols: [RELIABLE] });
    expect((await refused.closed).code).toBe(1008);
    const plain = await rawClient(url, PLAIN);
    expect(await plain.got({ event: 'connected' })).not.toHaveProperty('reconnectionToken');
    const again = await connectClient(target, { protocols: [PLAIN] });
    expect((await again.closed).code).toBe(1008);
  });

  test('it takes credentials as any connection, and those of the same user', async () => {
    const run = await startEngine(
      server({
        input: 'auth: { type: basic, users: { eve: eve-pass, bob: bob-pass } }',
      }),
    );
    const url = await run.url();
    const eve = { headers: { authorization: basicAuth('eve') } };
    const first = await rawClient(url, RELIABLE, eve);
    const target = await recoveryUrl(url, first);
    await expect(connectClient(target, { protocols: [RELIABLE] })).rejects.toThrow('401');
    const bob = await connectClient(target, {
      protocols: [RELIABLE],
      headers: { authorization: basicAuth('bob') },
    });
    expect((await bob.closed).code).toBe(1008);
    const second = await rawClient(target, RELIABLE, eve);
    const { connectionId } = await first.got({ event: 'connected' });
    expect(await second.got({ event: 'connected' })).toMatchObject({ connectionId, userId: 'eve' });
  });
});

describe('a client that does not acknowledge its messages', () => {
  test('is closed as slow, and cannot go on', async () => {
    const run = await startEngine(fed());
    const url = await run.url();
    const silent = await rawClient(url);
    const feed = await connectClient(await run.url('feed'));
    const kilobyte = 'x'.repeat(8192);
    for (let n = 0; n < 600; n++) feed.socket.send(kilobyte);
    expect(await silent.closed).toEqual({ code: 1008, reason: 'too slow' });
    // Four times `limits.outgoing_bytes`, which is 1 MiB.
    expect(silent.frames.filter(({ type }) => type === 'message').length).toBeLessThan(512);
    const again = await connectClient(await recoveryUrl(url, silent), { protocols: [RELIABLE] });
    expect((await again.closed).code).toBe(1008);
  });

  test('one that does gets as much as there is', async () => {
    const run = await startEngine(
      fed({ output: ', slow_consumer: block' }).replace('output: , slow', 'output: { type: drop } #'),
    );
    const url = await run.url();
    const good = await rawClient(url);
    good.socket.on('message', () => {
      const last = good.frames.at(-1)?.['sequenceId'];
      if (typeof last === 'number' && last % 100 === 0) good.say({ type: 'sequenceAck', sequenceId: last });
    });
    const feed = await connectClient(await run.url('feed'));
    const payload = 'x'.repeat(8192);
    for (let n = 0; n < 2000; n++) feed.socket.send(payload);
    await good.got({ sequenceId: 2000 });
  });

  test('while it is away, messages kept for it are bounded too', async () => {
    const run = await startEngine(fed());
    const url = await run.url();
    const away = await rawClient(url);
    const target = await recoveryUrl(url, away);
    away.socket.terminate();
    const feed = await connectClient(await run.url('feed'));
    for (let n = 0; n < 600; n++) feed.socket.send('x'.repeat(8192));
    await run.idle('feed');
    const again = await connectClient(target, { protocols: [RELIABLE] });
    expect((await again.closed).code).toBe(1008);
  });
});

describe('the end of the server', () => {
  test.each([RELIABLE, PLAIN])('%s: confirmations, last words, close', async (protocol) => {
    const run = await startEngine(server());
    const client = await rawClient(await run.url(), protocol);
    run.output().hold();
    client.say({ type: 'event', event: 'e', dataType: 'text', data: 'last', ackId: 1 });
    await until('the output to be at it', () => run.output().writes > 0);
    const stopped = run.stop();
    run.output().release();
    expect(await client.closed).toEqual({ code: 1001, reason: 'going away' });
    expect(client.frames.slice(1)).toEqual([
      { type: 'ack', ackId: 1, success: true },
      { type: 'system', event: 'disconnected', message: 'going away' },
    ]);
    await stopped;
    expect(run.output().texts).toEqual(['last']);
  });
});

import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { closeFrame, frame } from '../support/frames.ts';
import { FaultServer, connectClient, rawUpgrade, send } from '../support/peers.ts';
import { standstill, until } from '../support/until.ts';

const server = (fields = '', more = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: "/:room", lifecycle_events: true, codec: { type: json }, ${fields} }
    output: { type: collect }
    error_output: { type: collect, name: errors }
${more}
`;

interface Event {
  readonly event?: string;
  readonly session_id?: string;
  readonly [field: string]: unknown;
}

test('a session’s opening comes before its data and its end after it, with who and why', async () => {
  const run = await startEngine(server());
  const url = `ws://127.0.0.1:${await run.port()}/blue`;
  const client = await connectClient(url);
  await send(client, '{"n":1}', '{"n":2}');
  client.socket.close(4321, 'enough "said"');
  await run.output().count(4);
  const [opened, , , closed] = run.output().values as Event[];
  const { messages } = run.output();
  const id = messages[1]!.ext['session_id'];
  const about = {
    session_id: id,
    remote_address: '127.0.0.1',
    path: '/blue',
    'param.room': 'blue',
    protocol: '',
  };
  expect(opened).toEqual({ event: 'session_opened', ...about });
  expect(run.output().texts.slice(1, 3)).toEqual(['{"n":1}', '{"n":2}']);
  expect(closed).toEqual({ event: 'session_closed', code: 4321, reason: 'enough "said"', ...about });
  expect(messages.map(({ ext }) => ext['event'])).toEqual([
    'session_opened',
    undefined,
    undefined,
    'session_closed',
  ]);
  expect(messages.map(({ ext }) => ext['sequence'])).toEqual([undefined, '1', '2', undefined]);
  for (const { ext } of messages) expect(ext['session_id']).toBe(id);
  expect(run.output('errors').messages).toEqual([]);
});

test('each way to end has its code: ours for a limit, 1006 for a cut', async () => {
  const run = await startEngine(server('max_message_size: 100'));
  const url = `ws://127.0.0.1:${await run.port()}/x`;
  const large = await connectClient(url);
  large.socket.send('x'.repeat(101));
  await until('its end', () => run.output().messages.length === 2);
  const cut = await rawUpgrade(url);
  cut.socket.resetAndDestroy();
  await run.output().count(4);
  const ends = (run.output().values as Event[]).filter(({ event }) => event === 'session_closed');
  expect(ends).toMatchObject([{ code: 1009, reason: 'Max payload size exceeded' }, { code: 1006 }]);
});

test('many sessions at once: each has one opening, its data in order, and one end', async () => {
  const run = await startEngine(server());
  const url = `ws://127.0.0.1:${await run.port()}/x`;
  const clients = await Promise.all(Array.from({ length: 100 }, () => connectClient(url)));
  await Promise.all(
    clients.map((client) => send(client, ...Array.from({ length: 10 }, (_, n) => `{"n":${n}}`))),
  );
  for (const { socket } of clients) socket.close();
  await run.output().count(1200);
  const bySession = new Map<string, unknown[]>();
  for (const [index, { ext }] of run.output().messages.entries()) {
    const value = run.output().values[index] as Event;
    const session = String(ext['session_id']);
    const seen = bySession.get(session) ?? [];
    seen.push(value.event ?? value['n']);
    bySession.set(session, seen);
  }
  expect(bySession.size).toBe(100);
  const expected = ['session_opened', 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 'session_closed'];
  for (const seen of bySession.values()) expect(seen).toEqual(expected);
});

test('at shutdown every end is reported before the stream ends', async () => {
  const run = await startEngine(server());
  const url = `ws://127.0.0.1:${await run.port()}/x`;
  const clients = await Promise.all(Array.from({ length: 10 }, () => connectClient(url)));
  await run.output().count(10);
  expect(await run.stop()).toEqual({ failed: [], left: [] });
  for (const client of clients) expect((await client.closed).code).toBe(1001);
  const events = (run.output().values as Event[]).map(({ event }) => event);
  expect(events).toEqual([
    ...Array<string>(10).fill('session_opened'),
    ...Array<string>(10).fill('session_closed'),
  ]);
});

test('a client reports its connections too, each lost one before the next', async () => {
  const feed = await new FaultServer().up();
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "${feed.url}", lifecycle_events: true, codec: { type: json }, reconnect: { initial: 1ms } }
    output: { type: collect }
`);
  const peer = await feed.peer(0);
  peer.socket.write(Buffer.concat([frame('text', '{"n":1}'), closeFrame(1012, 'restart')]));
  await until('the close to be answered', () => peer.frames.length > 0);
  peer.socket.end();
  (await feed.peer(1)).socket.write(frame('text', '{"n":2}'));
  await run.output().count(5);
  const values = run.output().values as Event[];
  expect(values).toMatchObject([
    { event: 'session_opened', path: '/feed' },
    { n: 1 },
    { event: 'session_closed', code: 1012, reason: 'restart' },
    { event: 'session_opened' },
    { n: 2 },
  ]);
  expect(values[0]!.session_id).toBe(values[2]!.session_id);
  expect(values[3]!.session_id).not.toBe(values[0]!.session_id);
});

test('SQL can tell them apart', async () => {
  const run = await startEngine(
    server(
      '',
      "    pipeline: { processors: [ { type: sql, query: \"SELECT event, code FROM flow WHERE __meta_ext['event'] = 'session_closed'\" } ] }",
    ),
  );
  const client = await connectClient(`ws://127.0.0.1:${await run.port()}/x`);
  await send(client, '{"n":1}');
  client.socket.close(4000);
  await run.output().count(1);
  expect(run.output().values).toEqual([{ event: 'session_closed', code: 4000 }]);
});

/** Connects and leaves, one after the other, until a client is refused. @returns how many had been let in */
async function churn(url: string, most: number, headers: Record<string, string> = {}): Promise<number> {
  for (let n = 0; n < most; n++) {
    try {
      const { socket, closed } = await connectClient(url, { headers });
      socket.terminate();
      await closed;
    } catch (error) {
      expect(String(error)).toContain('503');
      return n;
    }
  }
  return most;
}

test.each([
  { what: 'of number', headers: {}, most: 1010 },
  { what: 'of bytes', headers: { 'x-long': 'x'.repeat(10_000) }, most: 120 },
])(
  'sessions that come and go while the output stands still are bounded, here $what, and nothing is lost',
  async ({ headers, most }) => {
    const run = await startEngine(
      server('metadata: { headers: [x-long] }', '    in_flight: { messages: 10 }'),
    );
    const url = `ws://127.0.0.1:${await run.port()}/x`;
    const there = await Promise.all(Array.from({ length: 4 }, () => connectClient(url)));
    await run.output().count(4);
    run.output().hold();
    const admitted = await churn(url, 2000, headers);
    expect(admitted).toBeLessThan(most);
    expect(admitted).toBeGreaterThan(20);
    // It is counted, in messages and in bytes.
    const { messages, bytes } = await run.inFlight();
    expect(messages).toBeGreaterThanOrEqual(admitted);
    expect(bytes).toBeGreaterThan(messages * 100);
    expect(bytes).toBeLessThan(2.5 * 1024 * 1024);
    await run.logged(/^connection refused with 503: too many lifecycle events wait for the output$/);
    // The ends of those that were there before come on top.
    for (const { socket } of there) socket.terminate();
    run.output().release();
    await run.output().count(4 + 2 * admitted + 4);
    await run.idle();
    const events = (run.output().values as Event[]).map(({ event }) => event);
    expect(events.filter((event) => event === 'session_opened')).toHaveLength(4 + admitted);
    expect(events.filter((event) => event === 'session_closed')).toHaveLength(4 + admitted);
    // And the door is open again.
    const late = await connectClient(url);
    await run.output().count(4 + 2 * admitted + 5);
    late.socket.terminate();
  },
  60_000,
);

test('events of a server that lets no connection stay are bounded', async () => {
  const feed = await new FaultServer((peer) => {
    peer.accept({ then: closeFrame(1012, 'restart') });
    peer.socket.end();
  }).up();
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "${feed.url}", lifecycle_events: true, reconnect: { initial: 1ms, max: 1ms } }
    output: { type: collect }
    in_flight: { messages: 10 }
`);
  run.output().hold();
  const most = await standstill('it to wait', () => feed.peers.length);
  expect(most).toBeLessThan(1010);
  run.output().release();
  await until('it to go on', () => feed.peers.length > most + 5);
}, 60_000);

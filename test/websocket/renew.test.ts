import { expect, test } from 'vitest';
import { configMistakes, startEngine } from '../support/engine.ts';
import { closeFrame, closeCodeOf, frame } from '../support/frames.ts';
import { FaultServer, type RawPeer } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const dir = tempDir();

const client = (url: string, renew = '{ on: [{ type: reconnect }] }', more = ''): string => `
streams:
  - input:
      type: websocket
      url: "${url}"
      renew: ${renew}
      reconnect: { initial: 1ms, max: 20ms }
      ${more}
    output: { type: collect }
`;

const soon = frame('text', '{"type":"reconnect","in":30}');
const text = (peer: RawPeer, ...words: string[]): void =>
  void peer.socket.write(Buffer.concat(words.map((word) => frame('text', word))));
const closing = (peer: RawPeer): boolean => closeCodeOf(peer.frames) !== undefined;
/** Answers close frames, as servers do. */
const polite = (peer: RawPeer): void => {
  void peer.closeCode().then(
    () => peer.socket.end(closeFrame(1000)),
    () => {},
  );
};
const live = (server: FaultServer): RawPeer[] => server.peers.filter(({ socket }) => !socket.destroyed);

test('on a message that asks for it a new connection is opened, steps and all, while the old one still delivers', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(
    client(server.url, undefined, 'on_open: [{ send: subscribe }, { expect: subscribed }]'),
  );
  const old = await server.peer(0);
  await old.count(1);
  text(old, 'subscribed', 'old 1');
  await run.output().count(1);
  old.socket.write(soon);
  const next = await server.peer(1);
  expect(await next.count(1)).toEqual(['subscribe']);
  // Until the new one is there, the old one is not closed, and its messages are taken.
  text(old, 'old 2');
  await run.output().count(2);
  expect(closing(old)).toBe(false);
  text(next, 'new 1', 'subscribed', 'new 2');
  await run.output().count(4);
  expect(await old.closeCode()).toBe(1000);
  // Messages that it sends before it answers are not lost.
  text(old, 'old 3');
  await run.output().count(5);
  old.socket.end(Buffer.concat([frame('text', 'old 4'), closeFrame(1000)]));
  await run.output().count(6);
  text(next, 'new 3');
  expect(await run.output().count(7)).toEqual([
    'old 1',
    'old 2',
    'new 1',
    'new 2',
    'old 3',
    'old 4',
    'new 3',
  ]);
  expect(run.output().messages.map(({ ext }) => ext['sequence'])).toEqual([
    '1',
    '2',
    '1',
    '2',
    '3',
    '4',
    '3',
  ]);
  expect(await run.logged(/^connection renewed: the server asked for it$/)).toMatchObject({
    url: server.url,
  });
  expect(run.log.filter(({ msg }) => msg.includes('lost its connection'))).toEqual([]);
  expect(await run.metric('millrace_reconnects_total', 'stage="input"')).toBe(0);
  expect(live(server)).toHaveLength(1);
});

test('at `max_age` it is renewed, again and again, and nothing is missed', async () => {
  let sent = 0;
  const server = await new FaultServer((peer) => {
    peer.accept();
    polite(peer);
  }).up();
  // A feed: every message goes to every connection that is not closing, as a server's broadcast does.
  const timer = setInterval(() => {
    const open = live(server).filter((peer) => !closing(peer));
    if (open.length === 0) return;
    for (const peer of open) text(peer, `{"id":${sent}}`);
    sent++;
  }, 2);
  const run = await startEngine(client(server.url, '{ max_age: 150ms }', 'dedupe: { key: id }'));
  await server.peer(8);
  clearInterval(timer);
  await run.output().count(sent);
  expect(run.output().values.map((value) => (value as { id: number }).id)).toEqual(
    Array.from({ length: sent }, (_, id) => id),
  );
  await run.logged(/^connection renewed: it had reached its maximum age$/);
  await until('the old ones to be gone', () => live(server).length === 1);
  expect(run.log.filter(({ msg }) => msg.includes('lost its connection'))).toEqual([]);
});

test('the message that asks is not data, whichever connection it comes on, and asks once', async () => {
  const server = await new FaultServer((peer) => {
    peer.accept();
    polite(peer);
  }).up();
  const run = await startEngine(client(server.url, '{ on: [{ type: reconnect }, "see you"] }'));
  const old = await server.peer(0);
  old.socket.write(Buffer.concat([soon, soon, frame('text', 'see you later'), soon]));
  text(old, 'data');
  const next = await server.peer(1);
  await old.closeCode();
  text(next, 'more data');
  await run.output().count(2);
  expect(run.output().texts.toSorted()).toEqual(['data', 'more data']);
  await until('the old one to be gone', () => live(server).length === 1);
  expect(server.peers).toHaveLength(2);
});

test('an attempt that fails is made again, with pauses, while the old one delivers; it stays ready', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(client(server.url));
  const old = await server.peer(0);
  await run.connected();
  server.behaviour = (peer) => void peer.socket.end('HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n');
  old.socket.write(soon);
  for (let attempt = 1; attempt <= 5; attempt++) {
    await server.peer(attempt);
    text(old, `still ${attempt}`);
    await run.output().count(attempt);
    expect((await run.http('/readiness')).status).toBe(200);
  }
  const line = await run.logged(/^could not renew the connection; the old one stays in use: .*503 Busy/);
  expect(line).toMatchObject({ code: 'MILLRACE_NOT_CONNECTED', retry_in_ms: expect.any(Number) as number });
  server.behaviour = (peer) => void peer.accept({ then: frame('text', 'new') });
  await run.output().count(6);
  expect(await old.closeCode()).toBe(1000);
  old.socket.end(closeFrame(1000));
  await until('the old one to be gone', () => live(server).length === 1);
});

test('a server that asks for a pause gets it, even if the old connection ends', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(client(server.url));
  const old = await server.peer(0);
  await run.connected();
  server.behaviour = (peer) => {
    peer.socket.end('HTTP/1.1 503 Busy\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n');
  };
  old.socket.write(soon);
  await run.logged(/^could not renew the connection; the old one stays in use: .*503 Busy/);
  old.socket.destroy();
  const line = await run.logged(/^input lost its connection/);
  expect(line['retry_in_ms']).toBeGreaterThan(500_000);
  expect(line['retry_in_ms']).toBeLessThanOrEqual(600_000);
  expect(server.peers).toHaveLength(2);
});

test.each(['before the new one has answered', 'in the steps of the new one'])(
  'the old one dies %s: the attempt that goes on is the only one',
  async (moment) => {
    const server = await new FaultServer().up();
    const steps = moment.startsWith('in') ? 'on_open: [{ expect: welcome }]' : '';
    const run = await startEngine(client(server.url, undefined, steps));
    if (steps !== '') text(await server.peer(0), 'welcome');
    for (let round = 0; round < 10; round++) {
      const old = await server.peer(round);
      text(old, `round ${round}`);
      await run.output().count(round + 1);
      // The next one is held up where the test says.
      server.behaviour = (peer) => void (steps !== '' && peer.accept());
      old.socket.write(soon);
      const next = await server.peer(round + 1);
      old.socket.destroy();
      // Until the engine has noticed and would connect by itself.
      await until('the loss', () => run.log.filter(({ msg }) => msg.startsWith('input lost')).length > round);
      await until('unreadiness', async () => (await run.http('/readiness')).status === 503);
      if (steps === '') next.accept();
      else text(next, 'welcome');
    }
    text(await server.peer(10), 'end');
    await run.output().count(11);
    expect(server.peers).toHaveLength(11);
    expect(live(server)).toHaveLength(1);
  },
);

test('the old one dies while no attempt succeeds: there is one at a time, and one connection in the end', async () => {
  let open = 0;
  let most = 0;
  const server = await new FaultServer().up();
  const run = await startEngine(client(server.url));
  let old = await server.peer(0);
  for (let round = 0; round < 5; round++) {
    text(old, `round ${round}`);
    await run.output().count(round + 1);
    server.behaviour = (peer) => {
      most = Math.max(most, ++open);
      peer.socket.on('close', () => open--);
      setTimeout(() => peer.socket.destroy(), 3);
    };
    old.socket.write(soon);
    const before = server.peers.length;
    await server.peer(before + 2);
    old.socket.destroy();
    await server.peer(before + 6);
    server.behaviour = (peer) => void peer.accept();
    old = await until('the good one', () => live(server).find((peer) => peer.socket.bytesWritten > 0));
  }
  text(old, 'end');
  await run.output().count(6);
  await until('the others to be gone', () => live(server).length === 1);
  expect(most).toBe(1);
});

test('a new connection that ends at once does not replace the old one', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(client(server.url, undefined, 'on_open: [{ expect: welcome }]'));
  const old = await server.peer(0);
  text(old, 'welcome', 'old 1');
  await run.output().count(1);
  let refused = 0;
  server.behaviour = (peer) => {
    // The last step and the end come in one packet.
    peer.accept({ then: Buffer.concat([frame('text', 'welcome'), closeFrame(1013)]) });
    peer.socket.end();
    refused++;
  };
  old.socket.write(soon);
  await until('three', () => refused >= 3);
  text(old, 'old 2');
  await run.output().count(2);
  expect(closing(old)).toBe(false);
  await run.logged(
    /^could not renew the connection; the old one stays in use: .*closed the new connection at once$/,
  );
  server.behaviour = (peer) =>
    void peer.accept({ then: Buffer.concat([frame('text', 'welcome'), frame('text', 'new')]) });
  expect(await run.output().count(3)).toEqual(['old 1', 'old 2', 'new']);
  expect(await old.closeCode()).toBe(1000);
});

test('a server that asks every new connection to renew is not kept busy', async () => {
  const server = await new FaultServer((peer) => {
    peer.accept({ then: soon });
    polite(peer);
  }).up();
  const run = await startEngine(
    client(server.url).replace('initial: 1ms, max: 20ms', 'initial: 1h, max: 1h'),
  );
  await run.connected();
  const peer = await server.peer(0);
  text(peer, 'data');
  expect(await run.output().count(1)).toEqual(['data']);
  expect(server.peers).toHaveLength(1);
  expect(closing(peer)).toBe(false);
});

test.each(['the handshake', 'the steps', 'the pause', 'the close of the old one'])(
  'a stop in the middle of a renewal, in %s, leaves nothing open',
  async (moment) => {
    const server = await new FaultServer().up();
    const steps = moment === 'the steps' ? 'on_open: [{ expect: welcome }]' : '';
    const run = await startEngine(client(server.url, undefined, steps));
    const old = await server.peer(0);
    if (steps !== '') text(old, 'welcome');
    text(old, 'data');
    await run.output().count(1);
    server.behaviour = (peer) => {
      if (moment === 'the pause') peer.socket.destroy();
      else if (moment !== 'the handshake') peer.accept();
    };
    old.socket.write(soon);
    const next = await server.peer(1);
    if (moment === 'the steps') text(next, 'early');
    if (moment === 'the steps') await run.output().count(2);
    if (moment === 'the pause') await run.logged(/^could not renew/);
    if (moment === 'the close of the old one') {
      await old.closeCode();
      polite(next);
    }
    run.drain();
    await old.closeCode();
    old.socket.end(Buffer.concat([frame('text', 'last'), closeFrame(1000)]));
    expect(await run.ended).toEqual({ failed: [], left: [] });
    await until('nothing to be open', () => live(server).length === 0);
    expect(run.output().texts.at(-1)).toBe('last');
    expect(server.peers.length).toBeLessThan(moment === 'the pause' ? 10 : 3);
  },
);

test('an old one whose server does not answer the close is cut', async () => {
  const server = await new FaultServer().up();
  await startEngine(client(server.url));
  const old = await server.peer(0);
  old.socket.write(soon);
  await server.peer(1);
  await old.closeCode();
  await until('the end of it', () => old.socket.destroyed || old.socket.readableEnded, { timeout: 30_000 });
  expect(live(server)).toHaveLength(1);
}, 40_000);

test('a resumed feed continues from the last confirmed message, and dedupe drops repeats', async () => {
  const server = await new FaultServer().up();
  const path = `${dir.path}/cursor.json`;
  const run = await startEngine(
    client(
      `${server.url}?since={{cursor:-0}}`,
      undefined,
      `resume: { cursor: id, path: "${path}" }\n      dedupe: { key: id }`,
    ),
  );
  const old = await server.peer(0);
  text(old, '{"id":1}', '{"id":2}');
  await run.output().count(2);
  await run.idle();
  run.output().hold();
  text(old, '{"id":3}');
  await until('three in all', async () => (await run.inFlight()).messages === 1);
  old.socket.write(soon);
  const next = await server.peer(1);
  expect(next.target).toBe('/feed?since=2');
  text(next, '{"id":3}', '{"id":4}');
  run.output().release();
  await run.output().count(4);
  expect(run.output().texts).toEqual(['{"id":1}', '{"id":2}', '{"id":3}', '{"id":4}']);
});

test.each([
  ['{ }', 'renew: expected max_age or on'],
  ['{ max_age: 0 }', 'renew.max_age: 0 is out of range'],
  ['{ on: [""] }', 'renew.on[0]: '],
])('renew: %s is a mistake', (renew, mistake) => {
  expect(configMistakes(client('ws://a.example', renew)).join('\n')).toContain(`streams[0].input.${mistake}`);
});

import { expect, test } from 'vitest';
import { cli } from '../support/cli.ts';
import { configMistakes, startEngine, type Run } from '../support/engine.ts';
import { closeFrame, frame } from '../support/frames.ts';
import { FaultServer, freePort, type RawPeer } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const dir = tempDir();

const client = (urls: readonly string[], more = ''): string => `
streams:
  - input:
      type: websocket
      url: ${JSON.stringify(urls)}
      reconnect: { initial: 1ms, max: 20ms }
      ${more}
    output: { type: collect }
`;

const feed = (): Promise<FaultServer> => new FaultServer().up();

/** A server that counts the connections that are open at one time. */
class CountingServer extends FaultServer {
  open = 0;
  most = 0;

  constructor(end: (peer: RawPeer, number: number) => void) {
    super((peer) => {
      this.open++;
      this.most = Math.max(this.most, this.open);
      peer.socket.on('close', () => this.open--);
      end(peer, this.peers.length - 1);
    });
  }
}

async function readiness(run: Run): Promise<{ status: number; reasons: string[] }> {
  const { status, text } = await run.http('/readiness');
  const { streams } = JSON.parse(text) as { streams: [{ reasons: string[] }] };
  return { status, reasons: streams[0].reasons };
}

test('each URL of a list is a connection of its own, and says where its messages come from', async () => {
  const [north, south] = [await feed(), await feed()];
  const run = await startEngine(client([north.url, south.url]));
  (await north.peer(0)).socket.write(frame('text', 'n1'));
  (await south.peer(0)).socket.write(frame('text', 's1'));
  await run.output().count(2);
  const sources = run.output().messages.map(({ payload, source }) => [payload.toString(), source]);
  expect(Object.fromEntries(sources)).toEqual({ n1: north.url, s1: south.url });
  // One is lost: the other goes on, and nothing is connected to twice.
  (await north.peer(0)).socket.destroy();
  (await north.peer(1)).socket.write(frame('text', 'n2'));
  (await south.peer(0)).socket.write(frame('text', 's2'));
  await run.output().count(4);
  expect([north.peers.length, south.peers.length]).toEqual([2, 1]);
  expect(await run.metric('millrace_input_messages_total')).toBe(4);
});

test('the name and the codec of the input are those of all its URLs', async () => {
  const [north, south] = [await feed(), await feed()];
  const run = await startEngine(
    client([north.url, south.url], 'name: both\n      codec: { type: json }') +
      '    error_output: { type: collect, name: bad }\n',
  );
  (await north.peer(0)).socket.write(Buffer.concat([frame('text', '{"n":1}'), frame('text', 'no JSON')]));
  (await south.peer(0)).socket.write(frame('text', '{"s":1}'));
  await run.output().count(2);
  await run.output('bad').count(1);
  expect(new Set(run.output().messages.map(({ source }) => source))).toEqual(new Set(['both']));
  expect(run.output('bad').values).toMatchObject([{ payload: 'no JSON' }]);
});

test('it is ready when all are connected, and names the one that is down', async () => {
  const up = await feed();
  const down = new FaultServer();
  down.port = await freePort();
  const run = await startEngine(client([up.url, down.url]));
  await up.peer(0);
  await until('the failure to be said', async () => {
    const { status, reasons } = await readiness(run);
    return status === 503 && reasons.length === 1 && reasons[0]!.includes(`cannot connect to ${down.url}`);
  });
  await down.up();
  await until('readiness', async () => (await readiness(run)).status === 200);
});

test('if several are down, each is named', async () => {
  const urls = [`ws://127.0.0.1:${await freePort()}/a`, `ws://127.0.0.1:${await freePort()}/b`];
  const run = await startEngine(client(urls));
  await until('both to be said', async () => {
    const { reasons } = await readiness(run);
    return urls.every((url) => reasons.some((reason) => reason.includes(`cannot connect to ${url}`)));
  });
});

test('a server that never answers is named while nothing is known of it yet', async () => {
  const up = await feed();
  const mute = await new FaultServer(() => {}).up();
  const run = await startEngine(client([up.url, mute.url], 'timeout: 1h'));
  await mute.peer(0);
  await run.connected();
  expect(await readiness(run)).toEqual({
    status: 503,
    reasons: [`input websocket is not connected: connecting to ${mute.url}`],
  });
});

test('a stop closes every connection and waits for their last messages', async () => {
  const [north, south] = [await feed(), await feed()];
  const run = await startEngine(client([north.url, south.url]));
  const peers = [await north.peer(0), await south.peer(0)];
  await until('both', async () => (await readiness(run)).status === 200);
  run.drain();
  for (const [index, peer] of peers.entries()) {
    expect(await peer.closeCode()).toBe(1000);
    peer.socket.end(Buffer.concat([frame('text', `last ${index}`), closeFrame(1000)]));
  }
  expect(await run.ended).toEqual({ failed: [], left: [] });
  expect(run.output().texts.toSorted()).toEqual(['last 0', 'last 1']);
});

/** A server that answers a close. */
const polite = (): Promise<FaultServer> =>
  new FaultServer((peer) => {
    peer.accept();
    void peer.closeCode().then(
      () => peer.socket.end(closeFrame(1000)),
      () => {},
    );
  }).up();

test('`check --dial` connects to each, and says which it cannot', async () => {
  const up = await polite();
  const down = `ws://127.0.0.1:${await freePort()}/down`;
  const both = dir.file('dial.yaml', client([up.url, down]).replace('collect', 'drop'));
  const { code, stdout, stderr } = await cli(['check', '--dial', both]);
  expect(code).toBe(1);
  expect(stdout + stderr).toContain(`cannot connect to ${down}`);
  expect(up.peers).toHaveLength(1);
});

test('for failover, `check --dial` is content with one of them', async () => {
  const up = await polite();
  const down = `ws://127.0.0.1:${await freePort()}/down`;
  const file = dir.file(
    'dial-failover.yaml',
    client([down, up.url], 'strategy: failover').replace('collect', 'drop'),
  );
  const { code, stdout } = await cli(['check', '--dial', file]);
  expect({ code, connected: stdout.includes('connected') }).toEqual({ code: 0, connected: true });
});

test('`check --dial` does not take data for a connection whose `on_open` failed', async () => {
  const feed = await new FaultServer((peer) => {
    peer.accept({ then: Buffer.concat([frame('text', 'data'), frame('text', 'refused')]) });
  }).up();
  const file = dir.file(
    'dial-steps.yaml',
    client([feed.url], 'on_open: [ { expect: ready, reject: [refused] } ]').replace('collect', 'drop'),
  );
  const { code, stderr } = await cli(['check', '--dial', file]);
  expect(code).toBe(1);
  expect(stderr).toContain('the server sent a message that `reject` names');
});

test('failover keeps one connection, and goes on to the next URL when it is lost, in turn', async () => {
  const servers = [await feed(), await feed(), await feed()];
  const run = await startEngine(
    client(
      servers.map(({ url }) => url),
      'strategy: failover',
    ),
  );
  const expected: string[] = [];
  for (let turn = 0; turn < 7; turn++) {
    const peer = await servers[turn % 3]!.peer(Math.floor(turn / 3));
    expected.push(`turn ${turn}`);
    peer.socket.write(frame('text', `turn ${turn}`));
    expect(await run.output().count(turn + 1)).toEqual(expected);
    const all = servers.flatMap(({ peers }) => peers).filter(({ socket }) => !socket.destroyed);
    expect(all).toEqual([peer]);
    peer.socket.destroy();
  }
});

test('failover goes on to the next URL when an attempt fails', async () => {
  const refuses = `ws://127.0.0.1:${await freePort()}/`;
  const mute = await new FaultServer(() => {}).up();
  const good = await new FaultServer((peer) => void peer.accept({ then: frame('text', 'here') })).up();
  const run = await startEngine(
    client([refuses, mute.url, good.url], 'strategy: failover\n      timeout: 200ms'),
  );
  expect(await run.output().count(1)).toEqual(['here']);
  expect(run.output().messages[0]!.source).toBe(good.url);
  await run.logged(/^input failed to connect: .*ECONNREFUSED/);
  await run.logged(/^input failed to connect: .*no answer within 0.2 s/);
  expect(await readiness(run)).toEqual({ status: 200, reasons: [] });
});

test('failover: a server that asks for a pause holds up no other', async () => {
  const busy = await new FaultServer((peer) => {
    peer.socket.end('HTTP/1.1 503 Busy\r\nRetry-After: 3000\r\nContent-Length: 0\r\n\r\n');
  }).up();
  const good = await new FaultServer((peer) => void peer.accept({ then: frame('text', 'here') })).up();
  const urls = [busy.url, good.url, `ws://127.0.0.1:${await freePort()}/`];
  const run = await startEngine(client(urls, 'strategy: failover'));
  expect(await run.output().count(1)).toEqual(['here']);
  // When it is the turn of the one that is not to be asked again yet, it is passed over.
  (await good.peer(0)).socket.destroy();
  expect(await run.output().count(2)).toEqual(['here', 'here']);
  expect(busy.peers).toHaveLength(1);
});

test('failover: while every server asks for a pause, the shortest pause ends first', async () => {
  const patient = (seconds: number): Promise<FaultServer> =>
    new FaultServer((peer) => {
      peer.socket.end(`HTTP/1.1 503 Busy\r\nRetry-After: ${seconds}\r\nContent-Length: 0\r\n\r\n`);
    }).up();
  const servers = [await patient(3000), await patient(1000), await patient(2000)];
  const run = await startEngine(
    client(
      servers.map(({ url }) => url),
      'strategy: failover',
    ),
  );
  await servers[2]!.peer(0);
  const waits = await until('the last failure', () => {
    const failures = run.log.filter(({ msg }) => msg.startsWith('input failed to connect'));
    return failures.length === 3 ? failures.map((line) => Number(line['retry_in_ms'])) : undefined;
  });
  expect(Math.max(...waits.slice(0, 2))).toBeLessThan(1000);
  expect(waits[2]).toBeGreaterThan(900_000);
  expect(waits[2]).toBeLessThanOrEqual(1_000_000);
});

const reset = (peer: RawPeer): void => void peer.socket.resetAndDestroy();

/** How a server can end a connection. `later` is another turn of the event loop. */
const endings: Record<string, (peer: RawPeer, later: (act: () => void) => void) => void> = {
  'a close frame, then the end of the stream': (peer) => peer.socket.end(closeFrame(1000)),
  'a close frame 1001, and the end in a packet of its own': (peer, later) => {
    peer.socket.write(closeFrame(1001));
    later(() => peer.socket.end());
  },
  'the end of the stream alone': (peer) => peer.socket.end(),
  'a reset': reset,
  'a close frame, then a reset': (peer, later) => {
    peer.socket.write(closeFrame(1000));
    later(() => reset(peer));
  },
  'a close frame, and the end long after our answer': (peer, later) => {
    peer.socket.write(closeFrame(1000));
    void peer.closeCode().then(() => later(() => peer.socket.end()));
  },
  'two close frames and data after them': (peer) =>
    peer.socket.end(Buffer.concat([closeFrame(1000), frame('text', 'late'), closeFrame(1001)])),
  'a close frame in the middle of a message': (peer) =>
    peer.socket.end(Buffer.concat([frame('text', 'ha', { fin: false }), closeFrame(1001)])),
};

test.each(Object.keys(endings))(
  'exactly one live connection, however the last one ended: %s',
  async (ending) => {
    const server = await new CountingServer((peer, number) => {
      peer.accept({ then: frame('text', `hello ${number}`) });
      if (number < 8) endings[ending]!(peer, (act) => void setTimeout(act, 5));
    }).up();
    const run = await startEngine(client([server.url], 'ping_interval: 0'));
    const last = await server.peer(8);
    await run.output().count(9);
    // Later messages on the old ones must not make it leave the good one: 50 messages are passed meanwhile.
    for (let message = 0; message < 50; message++) {
      last.socket.write(frame('text', `m${message}`));
      await run.output().count(10 + message);
    }
    expect({ open: server.open, most: server.most, made: server.peers.length }).toEqual({
      open: 1,
      most: 1,
      made: 9,
    });
    expect(await run.metric('millrace_connections_open', 'stage="input"')).toBe(1);
    expect(run.output().texts.filter((text) => text.startsWith('hello'))).toEqual(
      Array.from({ length: 9 }, (_, number) => `hello ${number}`),
    );
  },
);

test.each(Object.keys(endings))(
  'a connection that ends in the steps of on_open leaves none behind and opens none too many: %s',
  async (ending) => {
    const server = await new CountingServer((peer, number) => {
      peer.accept();
      if (number < 5) endings[ending]!(peer, (act) => void setTimeout(act, 5));
      else peer.socket.write(Buffer.concat([frame('text', 'welcome'), frame('text', 'data')]));
    }).up();
    const run = await startEngine(
      client([server.url], 'on_open: [{ send: hi }, { expect: welcome }]\n      ping_interval: 0'),
    );
    await run.output().count(1, 20_000);
    await until('the data', () => run.output().texts.includes('data'));
    const last = server.peers[5]!;
    for (let message = 0; message < 50; message++) {
      last.socket.write(frame('text', `m${message}`));
      await until('the message', () => run.output().texts.at(-1) === `m${message}`);
    }
    expect({ open: server.open, most: server.most, made: server.peers.length }).toEqual({
      open: 1,
      most: 1,
      made: 6,
    });
  },
);

test.each([
  ['url: []', 'url: is empty'],
  ['url: [ws://a.example/, http://b.example/]', 'url[1]: the value (not shown) is not a WebSocket URL'],
  ['url: [ws://a.example/, ws://a.example/]', 'url[1]: named twice; `redundancy` makes several'],
  ['{ url: ws://a.example/, strategy: failover }', 'strategy: needs a list of URLs'],
  [
    '{ url: [ws://a.example/, ws://b.example/], strategy: failover, redundancy: 2, dedupe: { key: id } }',
    'redundancy: `strategy: failover` keeps one connection; use one of the two',
  ],
  ['{ url: ws://a.example/, redundancy: 2 }', 'redundancy: needs `dedupe`'],
  ['{ mode: server, port: 0, strategy: all }', 'strategy: only for `mode: client`'],
])('%s is a mistake', (fields, mistake) => {
  const input = fields.startsWith('{') ? fields.slice(1, -1) : fields;
  const [first] = configMistakes(`streams: [{ input: { type: websocket, ${input} } }]`);
  expect(first).toContain(`input.${mistake}`);
});

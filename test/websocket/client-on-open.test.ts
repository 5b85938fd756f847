import { describe, expect, test } from 'vitest';
import { configMistakes, startEngine } from '../support/engine.ts';
import { closeFrame, frame, opcodes } from '../support/frames.ts';
import { FaultServer, type RawPeer } from '../support/peers.ts';
import { python } from '../support/tools.ts';
import { until } from '../support/until.ts';

const quick = 'reconnect: { initial: 1ms, max: 5ms }';
const input = (fields: string): string => `
streams:
  - input: { type: websocket, ${fields}, ${quick} }
    output: { type: collect }
`;
const text = (...texts: string[]): Buffer => Buffer.concat(texts.map((each) => frame('text', each)));

/** Accepts, and does `then` with each connection. */
function server(then: (peer: RawPeer, number: number) => Promise<void>): Promise<FaultServer> {
  const fault = new FaultServer((peer) => {
    then(peer, fault.peers.length).catch(() => {});
  });
  return fault.up();
}

test('auth, wait, subscribe, with a foreign server that insists on the order; data comes after', async () => {
  const feed = python(`
import asyncio, json
async def handler(ws):
    await ws.send(json.dumps({"type": "hello"}))
    auth = json.loads(await ws.recv())
    if auth["token"] != "s3cret":
        await ws.close(4401, "who are you")
        return
    await ws.send(json.dumps({"type": "auth", "status": "ok", "user": {"id": 7}}))
    subscribe = json.loads(await ws.recv())
    raw = await ws.recv()
    print("got", json.dumps(subscribe), raw)
    for n in range(3):
        await ws.send(json.dumps({"n": n}))
    await ws.wait_closed()
async def main():
    async with websockets.serve(handler, "127.0.0.1", 0) as server:
        print("port", server.sockets[0].getsockname()[1])
        await asyncio.Future()
asyncio.run(main())
`);
  const port = (await feed.line(/^port /)).slice('port '.length);
  const run = await startEngine(
    `
streams:
  - input:
      type: websocket
      url: "ws://127.0.0.1:${port}"
      on_open:
        - expect: { type: hello }
        - send: { op: auth, token: "{{env:KEY}}" }
        - expect: { status: ok, user: { id: 7 } }
          timeout: 5s
          reject: [ { status: error } ]
        - send: { op: subscribe, channels: [trades, book], depth: 10, raw: null, all: true }
        - send: { base64: AP8= }
    output: { type: collect }
`,
    { KEY: 's3cret' },
  );
  await feed.line(/^got /);
  expect(feed.lines).toContain(
    `got {"op": "subscribe", "channels": ["trades", "book"], "depth": 10, "raw": null, "all": true} b'\\x00\\xff'`,
  );
  expect(await run.output().count(3)).toEqual(['{"n": 0}', '{"n": 1}', '{"n": 2}']);
  // A message that `expect` took is not counted either.
  expect(run.output().messages.map(({ ext }) => ext['sequence'])).toEqual(['1', '2', '3']);
  await run.connected();
});

test('everything in the handshake’s own packet: each step sees its message, the rest is data in order', async () => {
  const feed = await server((peer) => {
    peer.accept({ then: text('early', 'HELLO you', 'between', '{"ready":true,"x":1}', 'late') });
    return Promise.resolve();
  });
  const run = await startEngine(
    input(`url: "${feed.url}", on_open: [ { expect: HELLO }, { expect: { ready: true } }, { send: go } ]`),
  );
  expect(await run.output().count(3)).toEqual(['early', 'between', 'late']);
  expect(await feed.peers[0]!.count(1)).toEqual(['go']);
});

test('it counts as connected only after the last step', async () => {
  let answer = (): void => {};
  const feed = await server((peer) => {
    peer.accept({ then: text('data before') });
    answer = () => void peer.socket.write(text('ready'));
    return Promise.resolve();
  });
  const run = await startEngine(
    input(`url: "${feed.url}", on_open: [ { send: go }, { expect: ready, timeout: 1h } ]`),
  );
  await (await feed.peer(0)).count(1);
  expect((await run.http('/readiness')).status).toBe(503);
  expect(run.output().messages).toHaveLength(0);
  answer();
  await run.connected();
  expect(await run.output().count(1)).toEqual(['data before']);
  expect((await run.http('/readiness')).status).toBe(200);
});

test('a regular expression and several refusals; a binary message never matches', async () => {
  const feed = await server(async (peer, number) => {
    peer.accept();
    await peer.count(1);
    if (number === 1) peer.socket.write(text('{"error":"down for maintenance"}'));
    else if (number === 2) peer.socket.write(text('ERR 17 quota'));
    else peer.socket.write(Buffer.concat([frame('binary', 'OK 1'), text('NOT OK 1', 'OK 42', 'data')]));
  });
  const run = await startEngine(
    input(
      `url: "${feed.url}", on_open: [ { send: login }, { expect: { regex: "^OK \\\\d+$" }, reject: [ '"error"', { regex: "^ERR" } ] } ]`,
    ),
  );
  expect(await run.output().count(3)).toEqual(['OK 1', 'NOT OK 1', 'data']);
  const failures = run.log.filter(({ msg }) => msg.startsWith('input failed')).map(({ msg }) => msg);
  expect(failures).toEqual([
    `input failed to connect: cannot connect to ${feed.url}: \`on_open[1]\`: the server sent a message that \`reject\` names: {"error":"down for maintenance"}`,
    `input failed to connect: cannot connect to ${feed.url}: \`on_open[1]\`: the server sent a message that \`reject\` names: ERR 17 quota`,
  ]);
  // Each refused attempt closed its connection, and only the last is left.
  expect(await feed.peers[0]!.closeCode()).toBe(1000);
  expect(await feed.peers[1]!.closeCode()).toBe(1000);
  expect(await run.metric('millrace_connections_open', 'stage="input"')).toBe(1);
});

describe('an attempt fails', () => {
  test('if the answer does not come in time; a server that does not even answer the close is cut', async () => {
    const feed = await server((peer, number) => {
      peer.accept(number === 1 ? {} : { then: text('ready', 'data') });
      return Promise.resolve();
    });
    const run = await startEngine(input(`url: "${feed.url}", on_open: [ { expect: ready, timeout: 50ms } ]`));
    expect(await run.output().count(1)).toEqual(['data']);
    await run.logged(/`on_open\[0\]`: the expected message did not arrive within 0\.05 s$/);
    await feed.peers[0]!.gone();
    expect(await feed.peers[0]!.closeCode()).toBe(1000);
    expect(run.log.filter(({ msg }) => msg.startsWith('input lost'))).toEqual([]);
  });

  test('if the server closes in the middle, with its code; or disappears', async () => {
    const feed = await server(async (peer, number) => {
      peer.accept();
      await peer.count(1);
      if (number === 1) peer.socket.end(closeFrame(4401, 'bad key k3y-of-ours'));
      else if (number === 2) peer.socket.resetAndDestroy();
      else peer.socket.write(text('ready', 'data'));
    });
    const run = await startEngine(
      input(`url: "${feed.url}", on_open: [ { send: "auth \${KEY}" }, { expect: ready, timeout: 1h } ]`),
      { KEY: 'k3y-of-ours' },
    );
    expect(await run.output().count(1)).toEqual(['data']);
    await run.logged(/closed the connection with 4401: bad key \*\*\*, before `on_open\[1\]` was done$/);
    await run.logged(/the connection to ws:[^ ]* broke \(1006\), before `on_open\[1\]` was done$/);
    expect(JSON.stringify(run.log)).not.toContain('k3y');
    expect(feed.peers).toHaveLength(3);
  });

  test('if a step’s template has no value, and is made again', async () => {
    const feed = await server((peer) => {
      peer.accept();
      return Promise.resolve();
    });
    const run = await startEngine(
      input(`url: "${feed.url}", on_open: [ { send: { key: "{{env:NOT_SET}}" } } ]`),
    );
    await run.logged(
      /cannot fill in `on_open\[0\]\.send`: \{\{env:NOT_SET\}\} has no value now; give it a default/,
    );
    await feed.peer(1);
    expect(feed.peers[0]!.messages).toEqual([]);
  });
});

test('messages of a failed attempt are not lost: they come before those of the next one', async () => {
  const feed = await server((peer, number) => {
    if (number === 1) peer.accept({ then: Buffer.concat([text('first'), closeFrame(1011)]) });
    else peer.accept({ then: text('second', 'ready', 'third') });
    return Promise.resolve();
  });
  const run = await startEngine(input(`url: "${feed.url}", on_open: [ { expect: ready } ]`));
  expect(await run.output().count(3)).toEqual(['first', 'second', 'third']);
});

test('more than the stream may hold arrives before the expected message: it is read, and the next attempt has room', async () => {
  const feed = await server((peer, number) => {
    const flood = Array.from({ length: 50 }, (_, n) => `${number}.${n}`);
    peer.accept({ then: number === 1 ? text(...flood) : text('ready', 'data') });
    return Promise.resolve();
  });
  const run = await startEngine(`
streams:
  - in_flight: { messages: 20, bytes: 1MiB }
    input:
      type: websocket
      url: "${feed.url}"
      on_open: [ { expect: ready, timeout: 100ms } ]
      ${quick}
    output: { type: collect }
`);
  await until('the data', () => run.output().texts.includes('data'));
  expect(run.output().texts.slice(0, 20)).toEqual(Array.from({ length: 20 }, (_, n) => `1.${n}`));
  await run.logged(/did not arrive within 0\.1 s; nothing was read, because the stream is full/);
});

test('messages before a failed step are passed on, though no attempt ever gets through its steps', async () => {
  const feed = await server((peer, number) => {
    peer.accept({ then: text(`data ${number}`, 'refused') });
    return Promise.resolve();
  });
  const run = await startEngine(
    input(`url: "${feed.url}", on_open: [ { expect: ready, reject: [ refused ] } ]`),
  );
  expect((await run.output().count(3)).slice(0, 3)).toEqual(['data 1', 'data 2', 'data 3']);
  await run.logged(/^input failed to connect: .*the server sent a message that `reject` names/);
  expect(run.log.filter(({ msg }) => /^input \S+ connected$/.test(msg))).toEqual([]);
  expect((await run.http('/readiness')).text).toContain('input websocket is not connected');
});

test('a stop in the middle of the steps passes on the messages that came', async () => {
  const feed = await server((peer) => {
    peer.accept({ then: text('one', 'two', 'hello') });
    return Promise.resolve();
  });
  const run = await startEngine(
    input(`url: "${feed.url}", on_open: [ { expect: hello }, { send: hi }, { expect: never, timeout: 1h } ]`),
  );
  await (await feed.peer(0)).count(1);
  expect(await run.stop()).toEqual({ failed: [], left: [] });
  expect(run.output().texts).toEqual(['one', 'two']);
});

test('the late close of an attempt that failed does not end the next connection', async () => {
  const feed = await server((peer, number) => {
    // The first never closes its side, so that its end comes when it is cut.
    peer.accept({ then: number === 1 ? text('no') : text('ready', 'data') });
    return Promise.resolve();
  });
  const run = await startEngine(
    input(`url: "${feed.url}", on_open: [ { expect: ready, reject: [no], timeout: 1h } ]`),
  );
  await run.output().count(1);
  await feed.peers[0]!.gone();
  feed.peers[1]!.socket.write(text('still here'));
  await run.output().count(2);
  await run.metricIs(1, 'millrace_connections_open', 'stage="input"');
  expect(feed.peers).toHaveLength(2);
  expect(run.log.filter(({ msg }) => msg.startsWith('input lost'))).toEqual([]);
});

test('a stop in the middle of the steps cuts the connection and waits for nothing', async () => {
  const feed = await server((peer) => {
    peer.accept();
    return Promise.resolve();
  });
  const run = await startEngine(
    input(`url: "${feed.url}", on_open: [ { send: hi }, { expect: never, timeout: 1h } ]`),
  );
  const peer = await feed.peer(0);
  await peer.count(1);
  expect(await run.stop()).toEqual({ failed: [], left: [] });
  await peer.gone();
});

test('an output goes through its steps before its first message, at each connection', async () => {
  const feed = await server(async (peer, number) => {
    peer.accept();
    await peer.count(1);
    peer.socket.write(text(number === 1 ? 'no' : 'welcome'));
  });
  const run = await startEngine(`
streams:
  - input: { type: generate, count: 2, interval: 0, context: payload }
    output:
      type: websocket
      url: "${feed.url}"
      on_open: [ { send: login }, { expect: welcome, reject: [no] } ]
      ${quick}
`);
  await run.ended;
  expect(feed.peers[0]!.texts).toEqual(['login']);
  expect(await feed.peers[1]!.count(3)).toEqual(['login', 'payload', 'payload']);
  expect(feed.peers[1]!.frames.at(-1)!.opcode).toBe(opcodes.close);
  await until(
    'one line',
    () => run.log.filter(({ msg }) => msg.startsWith('output failed to connect')).length === 1,
  );
  expect(run.log.filter(({ msg }) => msg.startsWith('output lost'))).toEqual([]);
});

test.each([
  ['[ { send: a, expect: b } ]', 'expected either send or expect'],
  ['[ {} ]', 'expected either send or expect'],
  ['[ { send: a, timeout: 1s } ]', 'timeout and reject need expect'],
  ['[ { expect: { regex: "(" } } ]', 'not a regular expression'],
  ['[ { expect: "" } ]', 'nothing to match'],
  ['[ { expect: { id: "{{env:ID}}" } } ]', 'on_open[0].expect.id: a pattern is not filled in'],
  ['[ { expect: a, reject: [ "{{ token }}" ] } ]', 'on_open[0].reject[0]: a pattern is not filled in'],
  ['[ { send: { base64: "***" } } ]', 'not base64'],
  ['[ { send: { a: { b: "{{nothing}}" } } } ]', 'a {{…}} of an unknown name'],
])('on_open: %s is a mistake', (steps, mistake) => {
  expect(configMistakes(input(`url: "ws://h/", on_open: ${steps}`)).join('\n')).toContain(mistake);
});

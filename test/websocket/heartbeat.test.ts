import { rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import { configMistakes, startEngine } from '../support/engine.ts';
import { closeFrame, frame, opcodes } from '../support/frames.ts';
import { FaultServer, type RawPeer } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { python } from '../support/tools.ts';
import { until } from '../support/until.ts';

const dir = tempDir();

const client = (url: string, heartbeat: string, more = ''): string => `
streams:
  - input:
      type: websocket
      url: "${url}"
      reconnect: { initial: 1ms, max: 20ms }
      heartbeat: ${heartbeat}
      ${more}
    output: { type: collect }
`;

/** A server that looks alive: it answers WebSocket pings, and says nothing else. */
const answersPings = (peer: RawPeer): void => {
  peer.accept();
  let answered = 0;
  const timer = setInterval(() => {
    for (; answered < peer.pings; answered++) peer.socket.write(frame('pong'));
  }, 5);
  peer.socket.on('close', () => clearInterval(timer));
  afterTest(() => clearInterval(timer));
};

test('a text or a JSON ping goes out every `interval`, filled in afresh each time', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(
    client(server.url, '{ send: { op: ping, at: "{{now_ms}}", who: "{{env:WHO}}" }, interval: 20ms }'),
    { WHO: 'me' },
  );
  const texts = await (await server.peer(0)).count(4);
  const pings = texts.map((text) => JSON.parse(text) as { op: string; at: string; who: string });
  expect(pings.every(({ op, who }) => op === 'ping' && who === 'me')).toBe(true);
  const times = pings.map(({ at }) => Number(at));
  // A busy machine may send two in one millisecond, but none before the one before it.
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  expect(new Set(times).size).toBeGreaterThan(1);
  expect(Math.abs(times[0]! - Date.now())).toBeLessThan(60_000);
  expect(run.output().texts).toEqual([]);
});

test('a binary ping goes out as a binary frame', async () => {
  const server = await new FaultServer().up();
  await startEngine(client(server.url, '{ send: { base64: "AQID" }, interval: 20ms }'));
  const peer = await server.peer(0);
  await peer.count(1);
  expect(peer.messages[0]).toEqual({ opcode: opcodes.binary, payload: Buffer.from([1, 2, 3]) });
});

test('pings begin after the last step of on_open', async () => {
  const server = await new FaultServer(answersPings).up();
  await startEngine(
    client(
      server.url,
      '{ send: beat, interval: 10ms }',
      'on_open: [{ send: login }, { expect: welcome }]\n      ping_interval: 20ms',
    ),
  );
  const peer = await server.peer(0);
  // WebSocket pings are the clock: the heartbeat's interval has passed many times.
  await until('ten pings', () => peer.pings >= 10);
  expect(peer.texts).toEqual(['login']);
  peer.socket.write(frame('text', 'welcome'));
  expect((await peer.count(3)).slice(0, 3)).toEqual(['login', 'beat', 'beat']);
});

test('messages that `ignore` names are not data and not numbered; all others are', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(
    client(server.url, '{ ignore: ["pong", { type: heartbeat }, { regex: "^#\\\\d+$" }] }'),
  );
  const sent = [
    'one',
    'pong',
    '{"type":"heartbeat","n":1}',
    '{ "n": 2, "type": "\\u0068eartbeat" }',
    '#17',
    'two',
    '{"type":"heartbeats"}',
    '#x',
    '{"data":{"type":"heartbeat"}}',
  ];
  const peer = await server.peer(0);
  peer.socket.write(Buffer.concat(sent.map((text) => frame('text', text))));
  // A binary frame matches nothing.
  peer.socket.write(frame('binary', 'pong'));
  const expected = ['one', 'two', '{"type":"heartbeats"}', '#x', '{"data":{"type":"heartbeat"}}', 'pong'];
  expect(await run.output().count(6)).toEqual(expected);
  expect(run.output().messages.map(({ ext }) => ext['sequence'])).toEqual(['1', '2', '3', '4', '5', '6']);
  expect(await run.metric('millrace_input_messages_total')).toBe(6);
});

test('application pings are answered, also before on_open is done, and are not data', async () => {
  const server = await new FaultServer().up();
  const reply =
    '{ reply: [{ match: { op: ping }, send: { op: pong, at: "{{now_s}}" } }, { match: "are you there", send: yes I am }] }';
  const run = await startEngine(client(server.url, reply, 'on_open: [{ expect: go }]'));
  const peer = await server.peer(0);
  peer.socket.write(frame('text', '{"op":"ping","id":1}'));
  const [early] = await peer.count(1);
  expect(early).toMatch(/^\{"op":"pong","at":\d{10}\}$/);
  peer.socket.write(
    Buffer.concat(['go', 'are you there?', 'data', '{"op":"pong"}'].map((text) => frame('text', text))),
  );
  expect((await peer.count(2))[1]).toBe('yes I am');
  expect(await run.output().count(2)).toEqual(['data', '{"op":"pong"}']);
});

test('an answer may repeat a part of the ping, as a foreign server insists on', async () => {
  const server = python(`
import asyncio, json
async def handler(ws):
    for number in (1492420473027, 9007199254740993):
        await ws.send(json.dumps({"ping": number}))
        assert json.loads(await ws.recv()) == {"pong": number}
    await ws.send(json.dumps({"id": 'a"b', "method": "public/heartbeat"}))
    assert json.loads(await ws.recv()) == {"id": 'a"b', "method": "public/respond-heartbeat"}
    await ws.send("alive")
    await ws.wait_closed()
async def main():
    async with websockets.serve(handler, "127.0.0.1", 0) as server:
        print("port", server.sockets[0].getsockname()[1])
        await asyncio.Future()
asyncio.run(main())
`);
  const port = (await server.line(/^port /)).slice('port '.length);
  const reply = `
        reply:
          - { match: '"ping":', send: '{"pong":{{json:ping}}}' }
          - { match: { method: public/heartbeat }, send: { id: '{{json:id}}', method: public/respond-heartbeat } }`;
  const run = await startEngine(client(`ws://127.0.0.1:${port}/`, reply));
  expect(await run.output().count(1)).toEqual(['alive']);
});

test('an answer that would repeat a missing part is not sent', async () => {
  const server = await new FaultServer((peer) => {
    peer.accept({ then: Buffer.concat(['ping', 'data'].map((text) => frame('text', text))) });
  }).up();
  const run = await startEngine(client(server.url, '{ reply: [{ match: ping, send: "{{json:id}}" }] }'));
  expect(await run.output().count(1)).toEqual(['data']);
  await run.logged(/^cannot fill in `heartbeat\.reply`, so it is not sent: \{\{json:id\}\} has no value now/);
  expect((await server.peer(0)).messages).toEqual([]);
});

test('a server that answers WebSocket pings but not ours is left; the log says why', async () => {
  const server = await new FaultServer(answersPings).up();
  const run = await startEngine(
    client(
      server.url,
      '{ send: ping, interval: 50ms, timeout: 200ms }',
      'ping_interval: 20ms\n      ping_timeout: 10s',
    ),
  );
  await (await server.peer(0)).gone();
  expect(server.peers[0]!.pings).toBeGreaterThan(0);
  const reason = 'no message within 0.2 s after one of `heartbeat.send` (`heartbeat.timeout`)';
  expect((await run.logged(/^input lost its connection/)).msg).toBe(
    `input lost its connection: the connection to ${server.url} broke (1006): ${reason}`,
  );
  expect(await run.logged(/^connection closed with 1006/)).toMatchObject({ reason });
  await server.peer(1);
});

test('any message within `timeout` counts as an answer', async () => {
  const quick = '{ send: ping, interval: 30ms, timeout: 400ms, ignore: [pong] }';
  const server = await new FaultServer((peer) => {
    answersPings(peer);
    let answered = 0;
    const timer = setInterval(() => {
      // Every other time with data.
      for (; answered < peer.texts.length; answered++)
        peer.socket.write(frame('text', answered % 2 === 0 ? 'pong' : 'data'));
    }, 5);
    afterTest(() => clearInterval(timer));
  }).up();
  const run = await startEngine(client(server.url, quick));
  await (await server.peer(0)).count(40);
  await run.output().count(15);
  expect(server.peers).toHaveLength(1);
  expect(new Set(run.output().texts)).toEqual(new Set(['data']));
});

test('a silent server is left after `silence_timeout`, though it answers WebSocket pings; one that talks is not', async () => {
  const silent = await new FaultServer(answersPings).up();
  const talks = await new FaultServer((peer) => {
    peer.accept();
    const timer = setInterval(() => peer.socket.write(frame('text', 'hb')), 20);
    afterTest(() => clearInterval(timer));
  }).up();
  const run = await startEngine(
    client(silent.url, '{ silence_timeout: 500ms }', 'ping_interval: 20ms\n      ping_timeout: 10s') +
      client(talks.url, '{ silence_timeout: 500ms, ignore: [hb] }')
        .replace('\nstreams:', '')
        .replace('collect', 'collect, name: talks'),
  );
  await silent.peer(3);
  expect((await run.logged(/^input lost its connection/)).msg).toMatch(
    /broke \(1006\): no message for 0\.5 s \(`heartbeat\.silence_timeout`\)$/,
  );
  expect(talks.peers).toHaveLength(1);
  expect(run.output('talks').texts).toEqual([]);
});

test('silence is off by default', async () => {
  const quiet = await new FaultServer(answersPings).up();
  const silent = await new FaultServer(answersPings).up();
  await startEngine(
    client(quiet.url, '{ ignore: [x] }') +
      client(silent.url, '{ silence_timeout: 100ms }').replace('\nstreams:', ''),
  );
  await silent.peer(5);
  expect(quiet.peers).toHaveLength(1);
});

test('while we don’t read, because the output is stalled, silence and missing answers are our own doing', async () => {
  const server = await new FaultServer(answersPings).up();
  const other = await new FaultServer(answersPings).up();
  const run = await startEngine(
    client(
      server.url,
      '{ send: ping, interval: 20ms, timeout: 200ms, silence_timeout: 200ms }',
      'ping_interval: 0',
    ).replace('output:', 'in_flight: { messages: 1 }\n    output:') +
      client(other.url, '{ silence_timeout: 200ms }')
        .replace('\nstreams:', '')
        .replace('collect', 'collect, name: other'),
  );
  run.output().hold();
  const peer = await server.peer(0);
  peer.socket.write(frame('text', 'first'));
  await until('the first write', () => run.output().writes === 1);
  // The clock: another connection is lost to silence six times meanwhile.
  await other.peer(6);
  expect(server.peers).toHaveLength(1);
  // We still say that we are there.
  const said = peer.texts.length;
  await peer.count(said + 3);
  run.output().release();
  await run.output().count(1);
  // Once it is read again, its silence counts again.
  await peer.gone();
  expect(run.output().texts).toEqual(['first']);
});

test('a ping that cannot be filled in is logged once and not sent', async () => {
  const server = await new FaultServer().up();
  const file = dir.file('beat', 'thump');
  const run = await startEngine(client(server.url, `{ send: "{{file:${file}}}", interval: 10ms }`));
  const peer = await server.peer(0);
  expect((await peer.count(1))[0]).toBe('thump');
  rmSync(file);
  const line = await run.logged(/^cannot fill in `heartbeat\.send`/);
  expect(line.msg).toMatch(/so it is not sent: .*ENOENT/);
  dir.file('beat', 'thump again');
  await until('the next', () => peer.texts.includes('thump again'));
  expect(run.log.filter(({ msg }) => msg.startsWith('cannot fill in'))).toHaveLength(1);
});

test('a server that pings without end and reads nothing does not fill our memory with answers', async () => {
  const server = await new FaultServer((peer) => {
    peer.accept();
    peer.socket.pause();
  }).up();
  const run = await startEngine(
    client(server.url, `{ reply: [{ match: ping, send: "${'x'.repeat(64 * 1024)}" }] }`),
  );
  const { socket } = await server.peer(0);
  const before = process.memoryUsage().arrayBuffers;
  // 20,000 answers of 64 KiB would be 1.3 GB.
  const pings = Buffer.concat(Array.from({ length: 20_000 }, () => frame('text', 'ping')));
  socket.write(Buffer.concat([pings, frame('text', 'done')]));
  expect(await run.output().count(1)).toEqual(['done']);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024);
});

test('a stop ends the timers with the connection', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(client(server.url, '{ send: ping, interval: 10ms, timeout: 1h }'));
  const peer = await server.peer(0);
  await peer.count(2);
  run.drain();
  expect(await peer.closeCode()).toBe(1000);
  const end = peer.frames.findIndex(({ opcode }) => opcode === opcodes.close);
  peer.socket.end(closeFrame(1000));
  expect(await run.ended).toEqual({ failed: [], left: [] });
  expect(peer.frames).toHaveLength(end + 1);
});

test('an output has no data that `ignore` could keep messages out of', () => {
  const output = (heartbeat: string): string[] =>
    configMistakes(
      `- input: { type: generate, context: x }\n  output: { type: websocket, url: "ws://h/", heartbeat: ${heartbeat} }\n`,
    );
  expect(output('{ send: ping, ignore: [pong] }')).toEqual([
    '[0].output.heartbeat.ignore: has no effect here: messages from the server to an output are dropped',
  ]);
  expect(
    output('{ send: ping, timeout: 1s, silence_timeout: 1m, reply: [ { match: a, send: b } ] }'),
  ).toEqual([]);
});

test.each([
  ['{}', 'expected send, ignore, reply or silence_timeout'],
  ['{ interval: 5s }', 'interval and timeout need send'],
  ['{ send: x, interval: 0 }', 'interval: 0 is out of range'],
  ['{ send: { base64: "***" } }', 'send.base64: "***" is not base64'],
  ['{ send: "{{nonsense}}" }', 'send: a {{…}} of an unknown name'],
  ['{ ignore: [{ regex: "(" }] }', 'ignore[0].regex: "(" is not a regular expression'],
  ['{ ignore: [] }', 'ignore: is empty'],
  ['{ ignore: ["{{now}}"] }', 'ignore[0]: a pattern is not filled in'],
  ['{ reply: [{ match: x }] }', 'reply[0].send: '],
  [
    '{ reply: [{ match: x, send: { a: "{{json:a..b}}" } }] }',
    'reply[0].send.a: "{{json:a..b}}" is not a JSON path: a..b',
  ],
  ['{ send: "{{json:a}}" }', 'send: a {{…}} of an unknown name'],
])('heartbeat: %s is a mistake', (heartbeat, mistake) => {
  const mistakes = configMistakes(client('ws://a.example', heartbeat)).join('\n');
  expect(mistakes).toContain('streams[0].input.heartbeat');
  expect(mistakes).toContain(mistake);
});

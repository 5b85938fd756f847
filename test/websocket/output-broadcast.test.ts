import { describe, expect, test } from 'vitest';
import { configMistakes, startEngine, type Run } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { connectClient, rawUpgrade, send, type RawPeer } from '../support/peers.ts';
import { python } from '../support/tools.ts';
import { until } from '../support/until.ts';

/** Messages on `/in` go to the sessions of a server input. */
const hub = (path: string, output: string, input = ''): string => `
streams:
  - id: hub
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: "${path}", ${input} }
    output: { type: drop }
  - id: feed
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /in, codec: { type: json } }
    output: { type: websocket, mode: server, path: "${path}", ${output} }
`;

/** Messages on a path go to all of its sessions. */
const chat = (path: string, output: string, input = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: "${path}", ${input} }
    output: { type: websocket, mode: server, path: "${path}", ${output} }
`;

const sessions = (run: Run, count: number, stream = 'stream-0') =>
  run.metricIs(count, 'millrace_connections_open', `stream="${stream}"`, 'stage="input"');

const dropped = (run: Run, count: number, reason: string) =>
  run.metricIs(count, 'millrace_messages_dropped_total', `reason="${reason}"`);

/** Opens sessions by hand on the paths and queries given. */
async function open(url: string, ...targets: string[]): Promise<RawPeer[]> {
  return await Promise.all(targets.map((target) => rawUpgrade(new URL(target, url).href)));
}

/** Sends a last message to all, so that a message that is missing by then never comes. */
async function settled(peers: readonly RawPeer[], end: () => Promise<void>): Promise<string[][]> {
  await end();
  await until('the end at each', () => peers.every((peer) => peer.texts.at(-1)?.includes('"end"')));
  return peers.map((peer) => peer.texts.slice(0, -1));
}

test('Python’s websockets: a message of one of three reaches all, in order, text as text and binary as binary', async () => {
  const run = await startEngine(chat('/all', ''));
  const listener = `
import asyncio, sys
async def main():
    async with websockets.connect(sys.argv[1], compression=None) as ws:
        print("open")
        async for message in ws:
            print(type(message).__name__, message if isinstance(message, str) else message.hex())
        print("closed", ws.close_code)
asyncio.run(main())
`;
  const url = await run.url();
  const clients = [1, 2, 3].map(() => python(listener, url));
  for (const client of clients) await client.line(/^open$/);
  await sessions(run, 3);
  const sender = await connectClient(url);
  await sessions(run, 4);
  await send(sender, 'grüße', Buffer.from([0, 255]), ...Array.from({ length: 500 }, (_, n) => `n${n}`));
  const expected = ['str grüße', 'bytes 00ff', ...Array.from({ length: 500 }, (_, n) => `str n${n}`)];
  for (const client of clients) {
    await client.line(/^str n499$/);
    expect(client.lines.slice(1)).toEqual(expected);
  }
  await run.stop();
  for (const client of clients) await client.line(/^closed 1001$/);
});

describe('match', () => {
  test('by a path parameter: rooms hear only themselves; rows of SQL that select __meta_ext too', async () => {
    const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: "/chat/:room", codec: { type: json } }
    pipeline: { processors: [ { type: sql, query: "SELECT upper(text) AS text, __meta_ext FROM flow" } ] }
    output: { type: websocket, mode: server, path: "/chat/:room", match: { param.room: "{{meta:param.room}}" } }
`);
    const [a1, a2, b] = (await open(await run.url(), '/chat/a', '/chat/a', '/chat/b%20b')) as [
      RawPeer,
      RawPeer,
      RawPeer,
    ];
    await sessions(run, 3);
    const inA = await connectClient(new URL('/chat/a', await run.url()).href);
    const inB = await connectClient(new URL('/chat/b%20b', await run.url()).href);
    await sessions(run, 5);
    await send(inA, '{"text":"one"}', '{"text":"two"}');
    await send(inB, '{"text":"three"}');
    expect(await a1.count(2)).toEqual(['{"text":"ONE"}', '{"text":"TWO"}']);
    expect(await a2.count(2)).toEqual(['{"text":"ONE"}', '{"text":"TWO"}']);
    expect(await b.count(1)).toEqual(['{"text":"THREE"}']);
    await send(inA, '{"text":"end"}');
    await a1.count(3);
    expect(b.texts).toHaveLength(1);
  });

  test('by a JSON path, to sessions that chose several topics in their URL', async () => {
    const run = await startEngine(
      hub('/feed', 'match: { query.topic: "{{json:data.topic}}" }', 'metadata: { query: [topic] }'),
    );
    const peers = await open(
      await run.url('hub'),
      '/feed?topic=btc,eth,all',
      '/feed?topic=eth,all',
      '/feed?topic=btc%2Ceth%2Call,all',
      '/feed',
      '/feed?topic=12345678901234567890,all',
      '/feed?topic=btc&x=1&topic=eth,all',
    );
    await sessions(run, 6, 'hub');
    const feed = await connectClient(await run.url('feed'));
    const about = (topic: string): string => `{"data":{"topic":${topic}}}`;
    const got = await settled([peers[0]!, peers[1]!, peers[2]!, peers[4]!, peers[5]!], () =>
      send(
        feed,
        about('"btc"'),
        about('"eth"'),
        about('12345678901234567890'),
        about('"none"'),
        about('{}'),
        '{}',
        '{"data":{"topic":"all"},"end":"end"}',
      ),
    );
    expect(got).toEqual([
      [about('"btc"'), about('"eth"')],
      [about('"eth"')],
      [about('"btc"'), about('"eth"')],
      [about('12345678901234567890')],
      [about('"btc"'), about('"eth"')],
    ]);
    expect(peers[3]!.texts).toEqual([]);
    await dropped(run, 2, 'no_value');
    await dropped(run, 1, 'nobody');
    expect((await run.logged(/dropped: no value/)).level).toBe(40);
  });

  test('several entries, each of which must match; a fixed value filters', async () => {
    const run = await startEngine(
      hub(
        '/:tenant',
        'match: { param.tenant: acme, query.role: "{{json:role:-guest}}" }',
        'metadata: { query: [role] }',
      ),
    );
    const peers = await open(
      await run.url('hub'),
      '/acme?role=admin,end',
      '/acme?role=guest,end',
      '/other?role=admin,end',
    );
    await sessions(run, 3, 'hub');
    const feed = await connectClient(await run.url('feed'));
    const got = await settled(peers.slice(0, 2), () =>
      send(feed, '{"role":"admin","n":1}', '{"n":2}', '{"role":"end","end":"end"}'),
    );
    expect(got).toEqual([['{"role":"admin","n":1}'], ['{"n":2}']]);
    expect(peers[2]!.texts).toEqual([]);
  });

  test('to one session, by its id', async () => {
    const run = await startEngine(chat('/x', 'match: { session_id: "{{meta:session_id}}" }'));
    const [one, two] = (await open(await run.url(), '/x', '/x')) as [RawPeer, RawPeer];
    await sessions(run, 2);
    one.socket.write(frame('text', '1', { mask: true }));
    expect(await one.count(1)).toEqual(['1']);
    two.socket.write(frame('text', '2', { mask: true }));
    expect(await two.count(1)).toEqual(['2']);
    expect(one.texts).toEqual(['1']);
  });

  test('a list in a message addresses each session once that has one of its values', async () => {
    const run = await startEngine(
      hub(
        '/user/:name',
        'match: { param.name: "{{json:to:-all}}", query.level: "{{json:level:-1}}" }',
        'metadata: { query: [level] }',
      ),
    );
    const peers = await open(
      await run.url('hub'),
      '/user/ann?level=1,12345678901234567890',
      '/user/bob?level=2',
      '/user/cid?level=1',
    );
    await sessions(run, 3, 'hub');
    const feed = await connectClient(await run.url('feed'));
    const messages = [
      '{"n":1,"to":["ann","bob","ann","nobody"],"level":[1,2]}',
      '{"n":2,"to":["ann","cid",null,["bob"],{"bob":1}],"level":[12345678901234567890]}',
      '{"n":3,"to":[]}',
      '{"n":4,"to":"cid"}',
      '{"n":5,"to":["bob"],"level":[]}',
    ];
    const got = await settled(peers, () =>
      send(feed, ...messages, '{"to":["ann","bob","cid"],"level":[1,2],"n":"end"}'),
    );
    expect(got).toEqual([[messages[0], messages[1]], [messages[0]], [messages[3]]]);
    await dropped(run, 2, 'nobody');
  });

  test('a thousand rooms: each gets its own messages, and sessions that leave are forgotten', async () => {
    const run = await startEngine(hub('/room/:room', 'match: { param.room: "{{json:room}}" }'));
    const base = await run.url('hub');
    const peers: RawPeer[] = [];
    for (let from = 0; from < 1000; from += 100) {
      const rooms = Array.from({ length: 100 }, (_, index) => `/room/${from + index}`);
      peers.push(...(await open(base, ...rooms)));
    }
    await sessions(run, 1000, 'hub');
    const feed = await connectClient(await run.url('feed'));
    await send(feed, ...Array.from({ length: 5000 }, (_, n) => `{"room":"${n % 1000}","n":${n}}`));
    for (const [room, peer] of peers.entries()) {
      expect(await peer.count(5)).toEqual(
        [0, 1000, 2000, 3000, 4000].map((n) => `{"room":"${room}","n":${n + room}}`),
      );
    }
    for (const peer of peers.slice(1)) peer.socket.destroy();
    await sessions(run, 1, 'hub');
    await send(feed, '{"room":"1"}', '{"room":"0"}');
    await peers[0]!.count(6);
    await dropped(run, 1, 'nobody');
  });
});

test('without any session, messages are dropped on purpose and confirmed', async () => {
  const run = await startEngine(hub('/empty', ''));
  await send(await connectClient(await run.url('feed')), '1', '2', '3');
  await dropped(run, 3, 'nobody');
  await run.idle('feed');
});

test('a message from a client also reaches sessions on the other port with the same path', async () => {
  const run = await startEngine(`
streams:
  - id: one
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /both }
    output: { type: websocket, mode: server, path: /both }
  - id: two
    input: { type: multiple_inputs, inputs: [ { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /both } ] }
    output: { type: drop }
`);
  const [there] = await open(await run.url('two'), '/both');
  await sessions(run, 1, 'two');
  const here = await connectClient(await run.url('one'));
  await send(here, 'hello');
  expect(await there!.count(1)).toEqual(['hello']);
});

describe('mistakes in the file', () => {
  const mistakes = (
    output: string,
    input = 'type: websocket, mode: server, port: 0, path: /chat',
  ): string[] =>
    configMistakes(`- input: { ${input} }\n  output: { type: websocket, mode: server, ${output} }\n`);

  test('a path that nothing serves is reported before anything starts, with those that exist', async () => {
    const start = startEngine(
      chat('/chat', '').replace('mode: server, path: "/chat"', 'mode: server, path: /chta'),
    );
    await expect(start).rejects.toThrow(
      'nothing serves /chta; the paths of this file’s WebSocket servers: /chat. To listen on a port, give it `port`',
    );
    const none = startEngine(
      '- input: { type: generate, context: x, interval: 1s }\n  output: { type: websocket, mode: server, path: /a }\n',
    );
    await expect(none).rejects.toThrow('nothing serves /a; this file has no WebSocket server');
  });

  test.each([
    ['path: /chat, tls: { cert_file: a, key_file: b }', 'tls'],
    ['path: /chat, allowed_origins: ["*"]', 'allowed_origins'],
    ['path: /chat, limits: { connections: 5 }', 'limits'],
    ['path: /chat, ping_interval: 1s', 'ping_interval'],
    ['path: /chat, compression: true', 'compression'],
    ['path: /chat, auth: { type: bearer, tokens: [t0ken] }', 'auth'],
    ['path: /chat, protocols: [a]', 'protocols'],
  ])('%s', (output, field) => {
    expect(mistakes(output)).toEqual([
      `[0].output.${field}: a server with \`path\` alone has no connections of its own; this belongs to the input that serves the path. To listen, give it \`port\` or \`url\``,
    ]);
  });

  test.each([
    ['path: /chat, headers: { a: b }', 'output.headers: only for `mode: client`; this is `mode: server`'],
    ['path: /chat, match: {}', 'output.match: nothing to match'],
    [
      'path: /chat, match: { room: a }',
      'output.match.room: no session has such an entry; expected session_id',
    ],
    [
      'path: /chat, match: { subject: "{{mata:x}}" }',
      'known here: {{date}}, {{year}}, {{month}}, {{day}}, {{hour}}, {{minute}}, {{source}}, {{key}}, {{partition}}, {{meta:…}}, {{json:…}}',
    ],
    ['path: /chat, match: { subject: "{{json:a[}}" }', 'not a JSON path: a[; expected one like id'],
    [
      'path: "/chat/:room", match: { param.rom: a }',
      'output.match["param.rom"]: no session has it: /chat/:room has no parameter :rom',
    ],
    ['path: /chat, match: { header.X-Room: a }', 'headers are kept in lower case'],
    ['port: 0, path: /chat, match: { param.room: a }', '/chat has no parameter :room'],
    ['port: 0, match: { query.room: a }, metadata: { query: [rom] }', 'add it to `metadata.query`'],
    ['port: 0, match: { header.x-room: a }', 'add it to `metadata.headers`'],
    ['port: 0, match: { subject: a }', 'without `auth`, clients have no subject'],
    [
      'port: 0, match: { claim.tenant: a }, auth: { type: bearer, tokens: [t0ken] }',
      'claims need `auth: { type: jwt }`',
    ],
    [
      'port: 0, match: { claim.tenant: a }, auth: { type: jwt, algorithms: [ES256], key_file: k }',
      'add it to `auth.claims`',
    ],
    ['path: /chat, slow_consumer: wait', 'output.slow_consumer'],
    ['path: /chat, max_outgoing_bytes: 10', 'output.max_outgoing_bytes'],
    ['path: /chat, slow_timeout: 1s', 'output.slow_timeout'],
    ['path: chat', 'is not a path; expected one that starts with /'],
  ])('%s', (output, message) => {
    const told = mistakes(output);
    expect(told).toHaveLength(1);
    expect(told[0]).toContain(message);
  });
});

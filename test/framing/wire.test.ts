import { deflateRawSync, gunzipSync, gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { startEngine, type Run } from '../support/engine.ts';
import { until } from '../support/until.ts';
import { connectClient } from '../support/peers.ts';
import { Sender } from '../support/senders.ts';
import { tempDir } from '../support/temp-dir.ts';
import { python } from '../support/tools.ts';
import { wsServer } from '../support/ws-server.ts';

const dir = tempDir();

/** A client of the run’s server that keeps the replies. */
async function connectTo(run: Run, path?: string): Promise<Sender> {
  const url = new URL(await run.url());
  if (path !== undefined) url.pathname = path;
  return new Sender(await connectClient(url.href));
}

const server = (fields: string, output = 'type: collect', more = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${fields} }
    output: { ${output} }
    error_output: { type: collect, name: dead }
    ${more}
`;

test('the framing decides what a message is: numbers, metadata and order are those of messages', async () => {
  const run = await startEngine(server('framing: lines'));
  const client = await connectTo(run);
  client.client.socket.send('{"a":1}\n{"a":2}\n\n{"a":3}');
  client.client.socket.send(Buffer.from('{"a":4}\r\n'));
  expect(await run.output().count(4)).toEqual(['{"a":1}', '{"a":2}', '{"a":3}', '{"a":4}']);
  const numbers = run.output().messages.map(({ ext }) => [ext['sequence'], ext['message_type']]);
  expect(numbers).toEqual([
    ['1', 'text'],
    ['2', 'text'],
    ['3', 'text'],
    ['4', 'binary'],
  ]);
});

test('acknowledgements are for messages; a part that is not a message is refused to its sender and goes to error_output unchanged', async () => {
  const run = await startEngine(
    server(
      `framing: { type: delimiter, delimiter: "\\x1e" }, codec: { type: json },
       ack: { id: id, reply: 'ok {{id}} {{sequence}}', reject_reply: 'no {{sequence}} {{code}}' }`,
    ),
  );
  const client = await connectTo(run);
  client.client.socket.send('{"id":7}\x1enot json\x1e{"id":8}\x1e{"id":9');
  expect(await client.count(4)).toEqual(
    expect.arrayContaining([
      'ok 7 1',
      'no 2 MILLRACE_CODEC_INVALID_JSON',
      'ok 8 3',
      'no 4 MILLRACE_FRAMING_INVALID',
    ]),
  );
  expect(run.output().texts).toEqual(['{"id":7}', '{"id":8}']);
  const letters = run.output('dead').values as { payload: string; error: { code: string } }[];
  expect(Object.fromEntries(letters.map(({ payload, error }) => [payload, error.code]))).toEqual({
    '{"id":9': 'MILLRACE_FRAMING_INVALID',
    'not json': 'MILLRACE_CODEC_INVALID_JSON',
  });
});

test('`dedupe` drops messages and not frames', async () => {
  const run = await startEngine(server('framing: json_array, dedupe: { key: id, per: all }'));
  const client = await connectTo(run);
  client.client.socket.send('[{"id":1},{"id":2}]');
  client.client.socket.send('[{"id":2},{"id":3}]');
  client.client.socket.send('[{"id":2}]');
  client.client.socket.send('[{"id":4}]');
  expect(await run.output().count(4)).toEqual(['{"id":1}', '{"id":2}', '{"id":3}', '{"id":4}']);
});

test('`dedupe` with a log: a bad frame is in error_output even if everything else is a repeat', async () => {
  const run = await startEngine(
    server(
      'framing: json_array, dedupe: { key: id, per: all }',
      'type: collect',
      `durability: { path: "${dir.path}" }`,
    ),
  );
  const client = await connectTo(run);
  client.client.socket.send('[{"id":1}]');
  await run.output().count(1);
  client.client.socket.send('[{"id":1}');
  const [letter] = (await run.output('dead').count(1)).map((text) => JSON.parse(text) as { payload: string });
  expect(letter!.payload).toBe('[{"id":1}');
  client.client.socket.send('[{"id":2}]');
  expect(await run.output().count(2)).toEqual(['{"id":1}', '{"id":2}']);
});

test('gzip frames are inflated; other bytes, and a bomb, go to error_output unchanged, and the session goes on', async () => {
  const run = await startEngine(server('framing: { type: lines, compression: gzip }, codec: { type: json }'));
  const client = await connectTo(run);
  const bomb = gzipSync(Buffer.alloc(4 * 1024 * 1024));
  client.client.socket.send(Buffer.from('{"plain":1}'));
  client.client.socket.send(bomb);
  client.client.socket.send(gzipSync('{"a":1}\n{"a":2}\n'));
  // A text frame cannot be compressed.
  client.client.socket.send('{"a":3}');
  expect(await run.output().count(3)).toEqual(['{"a":1}', '{"a":2}', '{"a":3}']);
  await run.output('dead').count(2);
  const letters = run.output('dead').values as {
    payload: string;
    encoding?: string;
    error: { message: string };
  }[];
  expect(
    letters.map(({ payload, encoding }) =>
      encoding === 'base64' ? Buffer.from(payload, 'base64') : Buffer.from(payload),
    ),
  ).toEqual([Buffer.from('{"plain":1}'), bomb]);
  expect(letters[1]!.error.message).toContain('max_frame_size');
});

test('a client sees messages in `expect`, `ignore` and `reply`, where the server compresses them', async () => {
  const first = '{"early":1}\n{"event":"subscribed"}\n{"ping":42}\n{"price":1}';
  const feed = await wsServer((socket, message) => {
    const asked = message.toString() === 'subscribe';
    socket.send(deflateRawSync(asked ? first : '{"op":"pong"}\n{"price":2}'));
  });
  const run = await startEngine(`
streams:
  - input:
      type: websocket
      url: ${feed.url}
      framing: { type: lines, compression: deflate_raw }
      on_open: [{ send: subscribe }, { expect: { event: subscribed } }]
      heartbeat: { ignore: [{ op: pong }], reply: [{ match: '"ping"', send: '{"pong":{{json:ping}}}' }] }
    output: { type: collect }
`);
  expect(await run.output().count(3)).toEqual(['{"early":1}', '{"price":1}', '{"price":2}']);
  expect(feed.texts).toEqual(['subscribe', '{"pong":42}']);
});

test('`resume` takes the cursor of the last message of a frame', async () => {
  const asked: string[] = [];
  const feed = await wsServer((socket, message) => {
    asked.push(message.toString());
    socket.send(gzipSync('{"id":"a1"}\n{"id":"a2"}\n{"id":"a3"}\n'));
  });
  const run = await startEngine(`
streams:
  - input:
      type: websocket
      url: ${feed.url}
      framing: { type: lines, compression: gzip }
      resume: { cursor: id, path: "${dir.path}/cursors.json" }
      on_open: [{ send: 'since {{cursor:-nothing}}' }]
      reconnect: { initial: 1ms, max: 1ms }
    output: { type: collect }
`);
  expect(await run.output().count(3)).toEqual(['{"id":"a1"}', '{"id":"a2"}', '{"id":"a3"}']);
  await run.idle();
  (await feed.connection(0)).socket.terminate();
  await run.output().count(6);
  expect(asked).toEqual(['since nothing', 'since a3']);
});

test('`renew.on` matches a message inside a compressed frame, which is not data', async () => {
  const feed = await wsServer((socket, message) => {
    const number = feed.connections.length;
    if (message.toString() !== 'hello') return;
    socket.send(gzipSync(number === 1 ? '{"n":1}\n{"op":"leave"}\n{"n":2}\n' : '{"n":3}\n'));
  });
  const run = await startEngine(`
streams:
  - input:
      type: websocket
      url: ${feed.url}
      framing: { type: lines, compression: gzip }
      on_open: [{ send: hello }]
      renew: { on: [{ op: leave }] }
    output: { type: collect }
`);
  expect(await run.output().count(3)).toEqual(['{"n":1}', '{"n":2}', '{"n":3}']);
  expect(feed.connections).toHaveLength(2);
});

test.each([
  [
    'length_delimited',
    'framing: { type: length_delimited, prefix: 2, byte_order: little }',
    'b"".join(struct.pack("<H", len(m)) + m for m in [b\'{"n":1}\', b\'{"n":2}\'])',
  ],
  ['delimiter', 'framing: { type: delimiter, delimiter: "\\x1e" }', '\'{"n":1}\\x1e{"n":2}\\x1e\''],
  [
    'lines under gzip',
    'framing: { type: lines, compression: gzip }',
    'gzip.compress(b\'{"n":1}\\n{"n":2}\\n\')',
  ],
  [
    'json_array under zlib',
    'framing: { type: json_array, compression: deflate }',
    'zlib.compress(b\'[{"n":1}, {"n":2}]\')',
  ],
])('Python’s websockets sends and reads frames of %s', async (_, framing, frame) => {
  const run = await startEngine(
    server(
      `${framing}, codec: { type: json }, ack: { reply: 'ok {{sequence}}' }`,
      `type: websocket, mode: reply, ${framing}`,
    ),
  );
  const peer = python(
    `
import asyncio, gzip, struct, sys, zlib
async def main():
    async with websockets.connect(sys.argv[1], compression=None) as ws:
        sent = ${frame}
        await ws.send(sent)
        got = [await ws.recv() for _ in range(3)]
        oks = sorted(each for each in got if isinstance(each, str) and each.startswith("ok"))
        [frame] = [each for each in got if each not in oks]
        read = {bytes: lambda: frame, str: lambda: frame.encode()}[type(frame)]()
        if read[:2] == b"\\x1f\\x8b": read = gzip.decompress(read)
        elif read[:1] == b"\\x78": read = zlib.decompress(read)
        print(oks, read.decode("latin1").encode("unicode_escape").decode())
asyncio.run(main())
`,
    await run.url(),
  );
  const line = await peer.line(/./);
  const joined = {
    length_delimited: String.raw`\x07\x00{"n":1}\x07\x00{"n":2}`,
    delimiter: String.raw`{"n":1}\x1e{"n":2}\x1e`,
    'lines under gzip': String.raw`{"n":1}\n{"n":2}\n`,
    'json_array under zlib': '[{"n":1},{"n":2}]',
  }[_];
  expect(line).toBe(`['ok 1', 'ok 2'] ${joined}`);
});

test('bounds by default: 10,000 messages, 1 MiB a message and a frame; one more is rejected', async () => {
  const MIB = 1024 ** 2;
  const run = await startEngine(
    server('max_message_size: 4MiB, framing: { type: lines, compression: gzip }'),
  );
  const client = await connectTo(run);
  const ones = (count: number): string => '1\n'.repeat(count);
  client.client.socket.send(ones(10_000));
  expect(await run.output().count(10_000)).toHaveLength(10_000);
  client.client.socket.send(ones(10_001));
  await run.output().count(20_000);
  client.client.socket.send('x'.repeat(MIB));
  client.client.socket.send('y'.repeat(MIB + 1));
  client.client.socket.send(gzipSync('z'.repeat(MIB)));
  client.client.socket.send(gzipSync('z'.repeat(MIB - 1) + '\n\n'));
  await run.output('dead').count(3);
  await run.output().count(20_002);
  expect(
    run
      .output()
      .texts.slice(20_000)
      .map((text) => [text[0], text.length]),
  ).toEqual([
    ['x', MIB],
    ['z', MIB],
  ]);
  const letters = run.output('dead').values as { error: { code: string; message: string } }[];
  expect(
    letters.map(({ error }) => [error.code, /`(max_\w+)` \((\d+)/.exec(error.message)?.slice(1)]),
  ).toEqual([
    ['MILLRACE_FRAMING_INVALID', ['max_messages', '10000']],
    ['MILLRACE_FRAMING_TOO_LONG', ['max_message_size', String(MIB)]],
    ['MILLRACE_FRAMING_COMPRESSION', ['max_frame_size', String(MIB)]],
  ]);
});

test('an output joins messages into frames and compresses them; the same framing reads them', async () => {
  const frames: { data: Buffer; binary: boolean }[] = [];
  const { url } = await wsServer((_, data, binary) => frames.push({ data, binary }));
  await startEngine(`
streams:
  - input: { type: memory, messages: ['{"a":1}', '{"a":2}', 'not json', '{"a":3}'] }
    output: { type: websocket, url: '${url}', framing: { type: json_array, max_messages: 2 } }
    error_output: { type: collect }
  - input: { type: memory, messages: ["one", "two\\nlines", "three"] }
    output: { type: websocket, url: '${url}', framing: { type: lines, compression: gzip } }
`);
  await until('the frames', () => frames.length === 3);
  const arrays = frames.filter(({ binary }) => !binary).map(({ data }) => data.toString());
  expect(arrays).toEqual(['[{"a":1},{"a":2}]', '[{"a":3}]']);
  const [compressed] = frames.filter(({ binary }) => binary);
  expect(gunzipSync(compressed!.data).toString()).toBe('one\nthree\n');
});

test('replies to several sessions are never in one frame', async () => {
  const run = await startEngine(
    server(
      'framing: lines',
      'type: websocket, mode: reply, framing: { type: delimiter, delimiter: ";", terminated: false }',
    ),
  );
  const [one, two] = [await connectTo(run), await connectTo(run)];
  one.client.socket.send('a1\na2');
  two.client.socket.send('b1\nb2');
  expect([await one.count(1), await two.count(1)]).toEqual([['a1;a2'], ['b1;b2']]);
});

test('a broadcast with `match` joins only messages for the same sessions', async () => {
  const run = await startEngine(
    server(
      'path: "/rooms/:room", framing: lines',
      'type: websocket, mode: server, path: "/rooms/:room", match: { param.room: "{{json:room}}" }, framing: json_array',
    ),
  );
  const [a, b] = [await connectTo(run, '/rooms/a'), await connectTo(run, '/rooms/b')];
  a.client.socket.send('{"room":"a","n":1}\n{"room":"a","n":2}\n{"room":"b","n":3}\n{"room":"a","n":4}');
  expect(await a.count(2)).toEqual(['[{"room":"a","n":1},{"room":"a","n":2}]', '[{"room":"a","n":4}]']);
  expect(await b.count(1)).toEqual(['[{"room":"b","n":3}]']);
});

test('any input and output takes a framing, even one that does not know of framing', async () => {
  const run = await startEngine(`
streams:
  - input: { type: memory, framing: json_array, codec: { type: json }, messages: ['[{"a":1},{"a":2}]', '[3', '[]', '[{"a":4}]'] }
    output: { type: collect, framing: { type: lines, max_messages: 2 } }
    error_output: { type: collect, name: dead }
`);
  expect(await run.output().count(2)).toEqual(['{"a":1}\n{"a":2}\n', '{"a":4}\n']);
  expect(
    (await run.output('dead').count(1)).map((text) => (JSON.parse(text) as { payload: string }).payload),
  ).toEqual(['[3']);
});

test('a rate counts messages, and counts an empty frame as one', async () => {
  const run = await startEngine(
    server('framing: lines, limits: { messages_per_second: 5, over_rate: close }'),
  );
  const client = await connectTo(run);
  client.client.socket.send('1\n2\n3\n4\n5\n6\n7');
  expect((await client.client.closed).code).toBe(1008);
  expect(run.output().texts).not.toContain('7');
  const other = await connectTo(run);
  for (let each = 0; each < 8; each++) other.client.socket.send('\n');
  expect((await other.client.closed).code).toBe(1008);
});

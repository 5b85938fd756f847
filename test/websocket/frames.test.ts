import { describe, expect, test } from 'vitest';
import { startEngine, type Run } from '../support/engine.ts';
import { closeFrame, frame, opcodes, type FrameOptions } from '../support/frames.ts';
import { FaultServer, rawUpgrade, type RawPeer } from '../support/peers.ts';
import { until } from '../support/until.ts';

/** Opens one connection between an input and a peer that is ours to the byte. */
type Open = (fields?: string, errors?: boolean) => Promise<{ run: Run; peer: RawPeer; mask: boolean }>;

const asServer: Open = async (fields = '') => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${fields} }
    output: { type: collect }
`);
  return { run, peer: await rawUpgrade(await run.url()), mask: true };
};

const asClient: Open = async (fields = '') => {
  const server = await new FaultServer().up();
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "${server.url}", ${fields} }
    output: { type: collect }
`);
  await run.connected();
  return { run, peer: server.peers[0]!, mask: false };
};

describe.each([
  ['server', asServer],
  ['client', asClient],
])('frames, %s mode', (_, open) => {
  const start = async (fields?: string) => {
    const { run, peer, mask } = await open(fields);
    return {
      run,
      peer,
      write: (...frames: [keyof typeof opcodes, (string | Uint8Array)?, FrameOptions?][]): void => {
        const bytes = frames.map(([opcode, content, options]) =>
          frame(opcode, content, { mask, ...options }),
        );
        peer.socket.write(Buffer.concat(bytes));
      },
      mask,
    };
  };

  test('text and binary, each with its kind in the metadata and byte for byte', async () => {
    const { run, write } = await start();
    const bytes = Buffer.from(Array.from({ length: 256 }, (__, byte) => byte));
    write(['text', 'grüße 😀'], ['binary', bytes], ['text', 'again']);
    await run.output().count(3);
    const { messages } = run.output();
    expect(messages.map(({ ext }) => ext['message_type'])).toEqual(['text', 'binary', 'text']);
    expect(messages.map(({ payload }) => Buffer.from(payload).toString('hex'))).toEqual(
      [Buffer.from('grüße 😀'), bytes, Buffer.from('again')].map((each) => each.toString('hex')),
    );
  });

  test.each([
    ['in one packet', false],
    ['a byte at a time', true],
  ])('ten pings %s get ten pongs, in their order (Autobahn 2.10 and 2.11)', async (__, bytewise) => {
    const { peer, mask } = await start();
    const texts = Array.from({ length: 10 }, (___, number) => `payload-${number}`);
    const bytes = Buffer.concat(texts.map((text) => frame('ping', text, { mask })));
    peer.socket.setNoDelay();
    if (!bytewise) peer.socket.write(bytes);
    else
      for (const byte of bytes) await new Promise((resolve) => peer.socket.write(Buffer.of(byte), resolve));
    const pongs = () => peer.frames.filter(({ opcode }) => opcode === opcodes.pong);
    await until('ten pongs', () => pongs().length >= 10, { state: () => `${pongs().length} came` });
    expect(pongs().map(({ payload }) => payload.toString())).toEqual(texts);
  });

  test('of more pings than that at once, the last is answered in any case', async () => {
    const { peer, mask } = await start();
    const texts = Array.from({ length: 1000 }, (___, number) => String(number));
    peer.socket.write(Buffer.concat(texts.map((text) => frame('ping', text, { mask }))));
    const pongs = () => peer.frames.filter(({ opcode }) => opcode === opcodes.pong);
    await until('the last pong', () => pongs().at(-1)?.payload.toString() === '999');
    const answered = pongs().map(({ payload }) => Number(payload.toString()));
    expect(answered.slice(0, 10)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(answered).toEqual(answered.toSorted((a, b) => a - b));
  });

  test('a message in fragments is one message, also with pings between them, which are answered', async () => {
    const { run, peer, write } = await start();
    write(
      ['text', 'one ', { fin: false }],
      ['ping', 'are you there'],
      ['continuation', 'mes', { fin: false }],
      ['continuation', '', { fin: false }],
      ['pong', 'unasked'],
      ['continuation', 'sage'],
      ['text', 'next'],
    );
    expect(await run.output().count(2)).toEqual(['one message', 'next']);
    const pong = await until('a pong', () => peer.frames.find(({ opcode }) => opcode === opcodes.pong));
    expect(pong.payload.toString()).toBe('are you there');
  });

  test('a character cut in two by fragments is whole again', async () => {
    const { run, write } = await start();
    const [first, second] = [Buffer.from('€').subarray(0, 1), Buffer.from('€').subarray(1)];
    write(['text', first, { fin: false }], ['continuation', second]);
    expect(await run.output().count(1)).toEqual(['€']);
  });

  test('empty messages are messages', async () => {
    const { run, write } = await start();
    write(['text', ''], ['binary', ''], ['text', '', { fin: false }], ['continuation', ''], ['text', 'end']);
    expect(await run.output().count(4)).toEqual(['', '', '', 'end']);
    expect(run.output().messages.map(({ ext }) => ext['sequence'])).toEqual(['1', '2', '3', '4']);
  });

  test('frames that arrive byte by byte, or many in one packet, are the same', async () => {
    const { run, peer, write, mask } = await start();
    peer.socket.setNoDelay();
    for (const byte of frame('text', 'slow', { mask })) {
      await new Promise<void>((resolve) => void peer.socket.write(Buffer.from([byte]), () => resolve()));
    }
    const many = Array.from({ length: 1000 }, (__, index): ['text', string] => ['text', `m${index}`]);
    write(...many);
    expect(await run.output().count(1001)).toEqual(['slow', ...many.map(([, text]) => text)]);
  });

  test('a message of exactly 1 MiB is taken; one byte more closes with 1009, at once from the declared length', async () => {
    const { run, peer, write } = await start();
    write(['binary', Buffer.alloc(1024 * 1024, 1)]);
    await run.output().count(1);
    // Only the header is ever sent.
    write(['binary', '', { declared: 1024 * 1024 + 1 }]);
    expect(await peer.closeCode()).toBe(1009);
    expect(await run.logged(/^connection closed with 1009/)).toMatchObject({
      level: 40,
      reason: 'Max payload size exceeded',
    });
    await run.metricIs(1, 'millrace_connections_closed_total', 'code="1009"', 'stage="input"');
  });

  test('the header of a 2 GiB frame is enough to close with 1009', async () => {
    const { peer, write } = await start('max_message_size: 1GiB');
    write(['binary', '', { declared: 2 * 1024 ** 3 }]);
    expect(await peer.closeCode()).toBe(1009);
  });

  test('fragments that add up to more than `max_message_size` close with 1009, and none of it comes out', async () => {
    const { run, peer, write } = await start('max_message_size: 10');
    write(['text', 'before'], ['text', '12345678', { fin: false }], ['continuation', '', { declared: 3 }]);
    expect(await peer.closeCode()).toBe(1009);
    expect(await run.output().count(1)).toEqual(['before']);
    await run.metricIs(1, 'millrace_input_messages_total');
  });

  test.each<[string, number, [keyof typeof opcodes, (string | Uint8Array)?, FrameOptions?]]>([
    ['invalid UTF-8 in a text frame', 1007, ['text', Buffer.from('ab\xff', 'latin1')]],
    ['a text frame that ends within a character', 1007, ['text', Buffer.from('€').subarray(0, 2)]],
    ['a continuation of nothing', 1002, ['continuation', 'x']],
    ['a control frame in fragments', 1002, ['ping', 'x', { fin: false }]],
  ])('%s closes with %i; earlier messages come out', async (__, code, wrong) => {
    const { run, peer, write } = await start();
    write(['text', 'before'], wrong);
    expect(await peer.closeCode()).toBe(code);
    expect(await run.output().count(1)).toEqual(['before']);
    await run.metricIs(1, 'millrace_connections_closed_total', `code="${code}"`, 'stage="input"');
  });

  test('invalid UTF-8 in a binary frame is bytes like any other', async () => {
    const { run, write } = await start();
    write(['binary', Buffer.from('ab\xff', 'latin1')]);
    await run.output().count(1);
    expect(Buffer.from(run.output().messages[0]!.payload).toString('latin1')).toBe('ab\xff');
  });

  test('the peer’s close code and reason are answered and logged', async () => {
    const { run, peer, mask } = await start();
    peer.socket.write(closeFrame(4001, 'moved on', { mask }));
    expect(await peer.closeCode()).toBe(4001);
    peer.socket.end();
    const line = await run.logged(/^connection closed with 4001/);
    expect(line).toMatchObject({ code: 4001, reason: 'moved on', stage: 'input' });
  });
});

test('an unmasked frame of a client closes with 1002 (RFC 6455 section 5.1)', async () => {
  const { peer } = await asServer();
  peer.socket.write(frame('text', 'x', { mask: false }));
  expect(await peer.closeCode()).toBe(1002);
});

test('data in the very packet of the 101 is not lost', async () => {
  const then = Buffer.concat([frame('text', 'first'), frame('text', 'second')]);
  const server = await new FaultServer((peer) => void peer.accept({ then })).up();
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "${server.url}" }
    output: { type: collect }
`);
  expect(await run.output().count(2)).toEqual(['first', 'second']);
});

test('data in the very packet of the request is not lost', async () => {
  const { run, peer } = await asServer();
  peer.socket.destroy();
  const { port } = new URL(await run.url());
  const { rawClient, upgradeRequest } = await import('../control/raw.ts');
  const client = await rawClient(Number(port));
  client.socket.write(
    Buffer.concat([Buffer.from(upgradeRequest('/')), frame('text', 'early', { mask: true })]),
  );
  expect(await run.output().count(1)).toEqual(['early']);
  client.socket.destroy();
});

import { deflateRawSync } from 'node:zlib';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { closeCodeOf, closeFrame, frame, opcodes } from '../support/frames.ts';
import { rawFrame, type RawFrame } from '../support/hostile-frames.ts';
import { rawUpgrade } from '../support/peers.ts';
import { until } from '../support/until.ts';
import { serverYaml, victims, whileOthersWork, type Victim } from '../support/victim.ts';

/** The same every time, so that a failure can be looked into. */
const SEED = 20_261_124;

const { start } = victims();
let plain: Victim;
let deflating: Victim;

beforeAll(async () => {
  [plain, deflating] = await Promise.all([start(serverYaml()), start(serverYaml('compression: true'))]);
});

const masked = { mask: true };
const text = (content: string, fin = true): Buffer => frame('text', content, { ...masked, fin });
const more = (content: string | Uint8Array, fin: boolean): Buffer =>
  frame('continuation', content, { ...masked, fin });
const openOf = (victim: Victim): Promise<number> =>
  victim.metric('millrace_connections_open', 'stage="input"');

describe('a frame that breaks the protocol closes with its code, and no other connection', () => {
  const compressed = deflateRawSync('hello');
  test.each<[string, number, Buffer]>([
    ['is not masked', 1002, rawFrame({ first: 0x81, masked: false, payload: Buffer.from('x') })],
    ['has RSV1 without compression', 1002, rawFrame({ first: 0xc1, payload: compressed })],
    ['has RSV2', 1002, rawFrame({ first: 0xa1 })],
    ['has RSV3', 1002, rawFrame({ first: 0x91 })],
    ['has all bits set', 1002, Buffer.alloc(64, 0xff)],
    ['is a ping with RSV1', 1002, rawFrame({ first: 0xc9 })],
    ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode): [string, number, Buffer] => [
      `has opcode ${opcode}`,
      1002,
      rawFrame({ first: 0x80 | opcode }),
    ]),
    ['is a ping of 126 bytes', 1002, frame('ping', 'x'.repeat(126), masked)],
    ['is a pong of 64 KiB', 1002, frame('pong', 'x'.repeat(65_536), masked)],
    ['is a close of 126 bytes', 1002, closeFrame(1000, 'x'.repeat(124), masked)],
    ['is a close in fragments', 1002, frame('close', Buffer.from([3, 232]), { mask: true, fin: false })],
    ['goes on with nothing', 1002, more('x', true)],
    ['begins a message within another', 1002, Buffer.concat([text('a', false), text('b')])],
    ['goes on with RSV1', 1002, Buffer.concat([text('a', false), rawFrame({ first: 0xc0 })])],
    ['declares 2^53 bytes', 1009, rawFrame({ first: 0x82, length: 2n ** 53n, lengthBytes: 8 })],
    ['declares 2^53 - 1 bytes', 1009, rawFrame({ first: 0x82, length: 2n ** 53n - 1n, lengthBytes: 8 })],
    ['declares 2^32 bytes', 1009, rawFrame({ first: 0x82, length: 2n ** 32n, lengthBytes: 8 })],
    ['declares 2^31 bytes', 1009, rawFrame({ first: 0x82, length: 2n ** 31n, lengthBytes: 8 })],
    ['sets the top bit of its length', 1009, rawFrame({ first: 0x82, length: 2n ** 63n, lengthBytes: 8 })],
    ['declares the most there is', 1009, rawFrame({ first: 0x82, length: 2n ** 64n - 1n, lengthBytes: 8 })],
    ['is a ping of a 64-bit length', 1002, rawFrame({ first: 0x89, length: 5, lengthBytes: 8 })],
    ['closes with one byte', 1002, frame('close', 'x', masked)],
    ...[0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535].map((code): [string, number, Buffer] => [
      `closes with ${code}`,
      1002,
      closeFrame(code, '', masked),
    ]),
    [
      'closes with a reason that is not UTF-8',
      1007,
      frame('close', Buffer.concat([Buffer.from([3, 232]), Buffer.from([0xed, 0xa0, 0x80])]), masked),
    ],
  ])('%s', async (_, code, bytes) => {
    const peer = await rawUpgrade(await plain.url());
    // Earlier messages are whole and arrive; later ones do not.
    peer.socket.write(Buffer.concat([text(`before ${_}`), bytes, text(`after ${_}`)]));
    expect(await peer.closeCode()).toBe(code);
    await until('what came before', () => plain.lines.includes(`before ${_}`));
    peer.socket.end();
    await peer.gone();
    await until('the connection to be gone', async () => (await openOf(plain)) === 0);
    expect(plain.lines).not.toContain(`after ${_}`);
  });

  test.each<[string, number, Buffer]>([
    ['is no deflated data', 1007, rawFrame({ first: 0xc1, payload: Buffer.from('\xff\xff\xff', 'latin1') })],
    ['has RSV1 in what goes on', 1002, Buffer.concat([rawFrame({ first: 0x41 }), rawFrame({ first: 0xc0 })])],
    ['is a deflated ping', 1002, rawFrame({ first: 0xc9, payload: compressed })],
    [
      'inflates to what is not UTF-8',
      1007,
      rawFrame({ first: 0xc1, payload: deflateRawSync(Buffer.from([0xff])) }),
    ],
  ])('with compression: %s', async (_, code, bytes) => {
    const peer = await rawUpgrade(await deflating.url(), {
      'Sec-WebSocket-Extensions': 'permessage-deflate',
    });
    expect(peer.header('sec-websocket-extensions')).toMatch(/^permessage-deflate/);
    peer.socket.write(bytes);
    expect(await peer.closeCode()).toBe(code);
    peer.socket.end();
    await until('the connection to be gone', async () => (await openOf(deflating)) === 0);
    expect(
      await deflating.metric('millrace_connections_closed_total', `code="${code}"`),
    ).toBeGreaterThanOrEqual(1);
  });
});

test('lengths in more bytes than they need are taken as they are', async () => {
  const peer = await rawUpgrade(await plain.url());
  const payload = Buffer.from('long way');
  for (const lengthBytes of [2, 8] as const)
    peer.socket.write(rawFrame({ first: 0x81, lengthBytes, payload }));
  await until('both', () => plain.lines.filter((line) => line === 'long way').length === 2);
  peer.socket.destroy();
});

test('200 pings in one packet, as after a pause, do not cost the connection the messages behind them', async () => {
  const peer = await rawUpgrade(await plain.url());
  const pings = Array.from({ length: 200 }, (_, number) => frame('ping', String(number), masked));
  peer.socket.write(Buffer.concat([...pings, text('behind them')]));
  await until('the message', () => plain.lines.includes('behind them'));
  const last = await until('the last pong', () =>
    peer.frames.find(({ opcode, payload }) => opcode === opcodes.pong && payload.toString() === '199'),
  );
  expect(last).toBeDefined();
  peer.socket.destroy();
});

test('data after a close frame is not taken, nor does a second close change anything', async () => {
  const peer = await rawUpgrade(await plain.url());
  peer.socket.write(
    Buffer.concat([
      text('last'),
      closeFrame(4000, 'done', masked),
      text('too late'),
      closeFrame(4001, '', masked),
    ]),
  );
  expect(await peer.closeCode()).toBe(4000);
  await until('the connection to end', () => peer.socket.readableEnded);
  expect(plain.lines).toContain('last');
  expect(plain.lines).not.toContain('too late');
  expect(await plain.logged(/^connection closed with 4000/)).toMatchObject({ reason: 'done' });
});

const bit = fc.integer({ min: 0, max: 255 });
const anyFrame: fc.Arbitrary<Buffer> = fc
  .record<RawFrame>({
    first: bit,
    masked: fc.boolean(),
    lengthBytes: fc.constantFrom(0, 2, 8),
    payload: fc.uint8Array({ maxLength: 100 }),
  })
  .map(rawFrame);
const goodFrame = fc.oneof(
  fc.string({ maxLength: 50 }).map((content) => text(`bad:${content.replaceAll('\n', ' ')}`)),
  fc.string({ maxLength: 20 }).map((content) => frame('ping', Buffer.from(content).subarray(0, 125), masked)),
  fc.uint8Array({ maxLength: 50 }).map((bytes) => more(bytes, false)),
  fc.constant(text('', false)),
  fc.constant(more('', true)),
);
/** Frames, good ones and any, with some bytes changed. */
const stream = fc
  .tuple(
    fc.array(fc.oneof({ weight: 3, arbitrary: goodFrame }, anyFrame), { minLength: 1, maxLength: 12 }),
    fc.array(fc.tuple(fc.nat(300), bit), { maxLength: 3 }),
    fc.constantFrom('end', 'reset', 'close'),
  )
  .map(([frames, changes, end]) => {
    const bytes = Buffer.concat(frames);
    for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
    return { bytes, end };
  });

test.each([
  ['without compression', () => plain, {}],
  ['with compression', () => deflating, { 'Sec-WebSocket-Extensions': 'permessage-deflate' }],
])(
  '%s: four hundred streams of frames gone wrong: each ends, nothing is left open, others work',
  async (_, of, headers) => {
    const victim = of();
    const sockets = victim.sockets;
    await whileOthersWork(victim, async () => {
      const url = await victim.url();
      const run = async (streams: readonly { bytes: Buffer; end: string }[]): Promise<void> => {
        await Promise.all(
          streams.map(async ({ bytes, end }) => {
            const peer = await rawUpgrade(url, headers);
            peer.socket.write(bytes);
            if (end === 'close') peer.socket.write(closeFrame(1000, '', masked));
            if (end === 'reset') peer.socket.resetAndDestroy();
            else peer.socket.end();
            await peer.gone();
            const code = closeCodeOf(peer.frames);
            if (code !== undefined) expect([1000, 1002, 1007, 1008, 1009]).toContain(code);
          }),
        );
        victim.expectAlive();
      };
      const property = fc.asyncProperty(fc.array(stream, { minLength: 20, maxLength: 20 }), run);
      await fc.assert(property, { numRuns: 20, seed: SEED, endOnFailure: true });
    });
    await victim.metricIs(0, 'millrace_connections_open', 'stage="input"');
    await until('the sockets to be closed', () => victim.sockets === sockets);
  },
);

import { once } from 'node:events';
import { beforeAll, describe, expect, test } from 'vitest';
import { deflatedZeros } from '../support/deflated-zeros.ts';
import { frame, type FrameOptions, type opcodes } from '../support/frames.ts';
import { rawFrame } from '../support/hostile-frames.ts';
import { FaultServer, freePort, rawUpgrade, type RawPeer } from '../support/peers.ts';
import { pour } from '../support/pour.ts';
import { until } from '../support/until.ts';
import { MIB, serverYaml, victims, whileOthersWork, type Victim } from '../support/victim.ts';

/** The growth of a process that an attack may cause: room for garbage, and a fraction of the damage without bounds. */
const BOUND = 128 * MIB;

const masked = (opcode: keyof typeof opcodes, content = '', options: FrameOptions = {}): Buffer =>
  frame(opcode, content, { mask: true, ...options });
const repeated = (bytes: Buffer, count: number): Buffer =>
  Buffer.concat(Array.from({ length: count }, () => bytes));
const peersOf = (count: number, url: string, headers = {}): Promise<RawPeer[]> =>
  Promise.all(Array.from({ length: count }, () => rawUpgrade(url, headers)));

const { start } = victims();

describe('a server’s memory stays bounded, and others work, while clients', () => {
  let victim: Victim;
  let url: string;
  beforeAll(async () => {
    victim = await start(serverYaml('compression: true'));
    url = await victim.url();
  });

  test('flood pings and read no pongs', async () => {
    const peers = await peersOf(5, url);
    for (const { socket } of peers) socket.pause();
    const growth = await whileOthersWork(victim, async (others) => {
      const pings = repeated(masked('ping', 'x'.repeat(125)), 5000);
      const over = others.messages(150);
      await Promise.all(peers.map(({ socket }) => pour(socket, pings, over)));
    });
    expect(growth).toBeLessThan(BOUND);
    // They are made to wait, not cut.
    expect(peers.map(({ socket }) => socket.destroyed)).toEqual(peers.map(() => false));
    for (const { socket } of peers) socket.destroy();
  });

  test('hide fragments of one byte among 64 KiB of pongs each', async () => {
    const peers = await peersOf(5, url);
    const growth = await whileOthersWork(victim, async (others) => {
      for (const { socket } of peers) socket.write(masked('text', 'a', { fin: false }));
      const pongs = repeated(masked('pong', 'x'.repeat(125)), 495);
      const part = Buffer.concat([pongs, masked('continuation', 'a', { fin: false })]);
      const over = others.messages(150);
      await Promise.all(peers.map(({ socket }) => pour(socket, part, over)));
    });
    expect(growth).toBeLessThan(BOUND);
    for (const { socket } of peers) socket.destroy();
  });

  test.each([
    ['one byte', 'a'],
    ['nothing', ''],
  ])('send fragments of %s without end: 1008', async (_, content) => {
    const peers = await peersOf(5, url);
    const growth = await whileOthersWork(victim, async () => {
      const parts = repeated(masked('continuation', content, { fin: false }), 200_000);
      for (const { socket } of peers)
        socket.write(Buffer.concat([masked('text', 'a', { fin: false }), parts]));
      for (const peer of peers) expect(await peer.closeCode()).toBe(1008);
    });
    expect(growth).toBeLessThan(BOUND);
  });

  test('send a frame a byte at a time, each in a packet of its own: 1008', async () => {
    // Two that may send all of it hold twice 300 MiB.
    const peers = await peersOf(2, url);
    const growth = await whileOthersWork(victim, async () => {
      await Promise.all(
        peers.map(async (peer) => {
          const { socket } = peer;
          const answered = { yes: false };
          socket.once('data', () => (answered.yes = true));
          socket.setNoDelay().write(masked('binary', '', { declared: MIB }));
          for (let sent = 0; sent < MIB && !answered.yes; sent++) {
            if (!socket.write('x')) await once(socket, 'drain').catch(() => {});
            if (sent % 8 === 0) await new Promise((resolve) => setImmediate(resolve));
          }
          expect(await peer.closeCode()).toBe(1008);
        }),
      );
    });
    expect(growth).toBeLessThan(BOUND);
  });

  test('send 1 GiB of zeros deflated, in one frame or in a thousand: 1009', async () => {
    const bomb = deflatedZeros(1024);
    expect(bomb.length).toBeLessThan(2 * MIB);
    const headers = { 'Sec-WebSocket-Extensions': 'permessage-deflate' };
    const [whole, parts] = (await peersOf(2, url, headers)) as [RawPeer, RawPeer];
    // More than `max_message_size` as it is would be refused unread.
    const half = bomb.subarray(0, MIB - 1);
    const growth = await whileOthersWork(victim, async () => {
      whole.socket.write(rawFrame({ first: 0xc2, payload: half }));
      expect(await whole.closeCode()).toBe(1009);
      for (let at = 0; at < half.length; at += 1024) {
        parts.socket.write(
          rawFrame({ first: at === 0 ? 0x42 : 0x00, payload: half.subarray(at, at + 1024) }),
        );
      }
      expect(await parts.closeCode()).toBe(1009);
    });
    expect(growth).toBeLessThan(BOUND);
  });

  test('declare large messages and send little of them', async () => {
    const peers = await peersOf(200, url);
    const growth = await whileOthersWork(victim, async (others) => {
      for (const { socket } of peers) socket.write(masked('binary', 'x'.repeat(1000), { declared: MIB }));
      await others.messages(20);
    });
    expect(growth).toBeLessThan(BOUND);
    for (const { socket } of peers) socket.destroy();
  });
});

describe('memory stays bounded while the output is stalled, and', () => {
  const stalled = async (input: string, inFlight: string): Promise<Victim> =>
    await start(`${serverYaml()}
  - input: { type: websocket, ${input} }
    output: { type: websocket, url: "ws://127.0.0.1:${await freePort()}/", reconnect: { initial: 1h, max: 1h } }
    in_flight: { ${inFlight} }
`);

  test('clients send messages of one byte with 64 KiB of pongs around each', async () => {
    const victim = await stalled('mode: server, host: 127.0.0.1, port: 0', '');
    const [clients, each] = [300, 16];
    const peers = await peersOf(clients, await victim.url('stream-1'));
    const growth = await whileOthersWork(victim, async () => {
      const message = Buffer.concat([masked('text', 'a'), repeated(masked('pong', 'x'.repeat(125)), 500)]);
      for (let sent = 0; sent < each; sent++) {
        await Promise.all(
          peers.map(async ({ socket }) => {
            if (!socket.write(message)) await once(socket, 'drain');
          }),
        );
      }
      await until('all to be in flight', async () => (await victim.inFlight('stream-1')) === clients * each);
    });
    expect(growth).toBeLessThan(BOUND);
    for (const { socket } of peers) socket.destroy();
  });

  test('a server floods its client', async () => {
    const feed = await new FaultServer().up();
    const victim = await stalled(`url: "${feed.url}"`, 'bytes: 8MiB');
    const { socket } = await feed.peer(0);
    const growth = await whileOthersWork(victim, async (others) => {
      await pour(socket, repeated(frame('binary', 'x'.repeat(1000)), 100), others.messages(150));
    });
    expect(growth).toBeLessThan(BOUND);
    expect(socket.destroyed).toBe(false);
  });

  test('a server hides messages of one byte among pings', async () => {
    const feed = await new FaultServer().up();
    const victim = await stalled(`url: "${feed.url}"`, '');
    const { socket } = await feed.peer(0);
    const growth = await whileOthersWork(victim, async (others) => {
      const pings = repeated(frame('ping', 'x'.repeat(125)), 510);
      await pour(socket, Buffer.concat([pings, frame('text', 'a')]), others.messages(150));
    });
    expect(growth).toBeLessThan(BOUND);
    expect(socket.destroyed).toBe(false);
  });
});

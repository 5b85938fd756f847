import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { constants, deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import { deflatedZeros } from '../support/deflated-zeros.ts';
import { startEngine } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { connectClient, rawUpgrade, send, type RawPeer } from '../support/peers.ts';
import { program } from '../support/programs.ts';
import { python } from '../support/tools.ts';
import { until } from '../support/until.ts';

const MIB = 1024 * 1024;
const DEFLATE = { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_no_context_takeover' };

const server = (fields: string, more = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${fields} }
    output: { type: collect }
${more}`;

/** Compressed as permessage-deflate wants it (RFC 7692 section 7.2.1). */
function deflated(content: string | Buffer): Buffer {
  const bytes = deflateRawSync(content, { finishFlush: constants.Z_SYNC_FLUSH });
  return bytes.subarray(0, -4);
}

/** A frame with the bit that says that it is compressed. */
function compressedFrame(payload: Buffer): Buffer {
  const bytes = frame('text', payload, { mask: true });
  bytes[0]! |= 0x40;
  return bytes;
}

describe('negotiation', () => {
  test('only when it is on', async () => {
    const off = await startEngine(server('path: /'));
    expect((await rawUpgrade(await off.url(), DEFLATE)).header('sec-websocket-extensions')).toBeUndefined();
    const on = await startEngine(server('compression: true'));
    expect((await rawUpgrade(await on.url(), DEFLATE)).header('sec-websocket-extensions')).toMatch(
      /^permessage-deflate/,
    );
    expect((await rawUpgrade(await on.url())).header('sec-websocket-extensions')).toBeUndefined();
  });

  test('context takeover only where it is configured', async () => {
    const offer = { 'Sec-WebSocket-Extensions': 'permessage-deflate' };
    const without = await startEngine(server('compression: true'));
    const answer = (await rawUpgrade(await without.url(), offer)).header('sec-websocket-extensions');
    expect(answer).toContain('server_no_context_takeover');
    expect(answer).toContain('client_no_context_takeover');
    const taking = await startEngine(server('compression: { context_takeover: true }'));
    const other = (await rawUpgrade(await taking.url(), offer)).header('sec-websocket-extensions');
    expect(other).toBe('permessage-deflate');
    // A client may do without, for itself and for us (RFC 7692 sections 7.1.1.1 and 7.1.1.2).
    const wishes = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';
    const wished = await rawUpgrade(await taking.url(), { 'Sec-WebSocket-Extensions': wishes });
    expect(wished.header('sec-websocket-extensions')).toBe(wishes);
  });

  test.each([
    'permessage-deflate; client_max_window_bits=7',
    'permessage-deflate; client_max_window_bits=08',
    'permessage-deflate; server_max_window_bits=16',
    'permessage-deflate; server_max_window_bits',
    'permessage-deflate; server_max_window_bits=8',
    'permessage-deflate; server_no_context_takeover=1',
    'permessage-deflate; x=1',
    'permessage-deflate; __proto__=1',
    'permessage-deflate; server_no_context_takeover; server_no_context_takeover',
    'x-webkit-deflate-frame',
  ])('an offer that cannot be accepted is declined (RFC 7692 section 7): %s', async (offer) => {
    const run = await startEngine(
      server('compression: true, metadata: { headers: [sec-websocket-extensions] }'),
    );
    const peer = await rawUpgrade(await run.url(), { 'Sec-WebSocket-Extensions': offer });
    expect(peer.head).toMatch(/^HTTP\/1\.1 101 /);
    expect(peer.header('sec-websocket-extensions')).toBeUndefined();
    peer.socket.write(frame('text', 'plain', { mask: true }));
    expect(await run.output().count(1)).toEqual(['plain']);
    expect(run.output().messages[0]!.ext['header.sec-websocket-extensions']).toBe(offer);
  });

  test.each([
    ['permessage-deflate; x=1, permessage-deflate; server_max_window_bits=10', 'server_max_window_bits=10'],
    ['permessage-deflate; x=1, permessage-deflate; client_max_window_bits', 'client_no_context_takeover'],
    [
      'mux; y, permessage-deflate; x, permessage-deflate; server_max_window_bits="9"',
      'server_max_window_bits=9',
    ],
  ])('the next offer is taken: %s', async (offers, taken) => {
    const run = await startEngine(server('compression: true'));
    const peer = await rawUpgrade(await run.url(), { 'Sec-WebSocket-Extensions': offers });
    const answer = peer.header('sec-websocket-extensions');
    expect(answer).toMatch(/^permessage-deflate;/);
    expect(answer).toContain(taken);
    peer.socket.write(compressedFrame(deflated('compressed')));
    expect(await run.output().count(1)).toEqual(['compressed']);
  });

  test('a malformed header of extensions gets 400', async () => {
    const run = await startEngine(server('compression: true'));
    for (const offer of [';', 'permessage-deflate; x="', 'permessage-deflate; =1']) {
      const answer = rawUpgrade(await run.url(), { 'Sec-WebSocket-Extensions': offer });
      expect((await answer).head, offer).toMatch(/^HTTP\/1\.1 400 /);
    }
  });

  test.each([true, false])('`threshold` holds, with `context_takeover: %s` too', async (takeover) => {
    const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, compression: { threshold: 100, context_takeover: ${takeover} } }
    output: { type: websocket, mode: reply }
`);
    const peer = await rawUpgrade(await run.url(), { 'Sec-WebSocket-Extensions': 'permessage-deflate' });
    const texts = ['short', 'long '.repeat(30)];
    peer.socket.write(Buffer.concat(texts.map((text) => frame('text', text, { mask: true }))));
    await until('both', () => peer.messages.length === 2);
    expect(peer.messages.map(({ compressed = false }) => compressed)).toEqual([false, true]);
    expect(peer.texts[0]).toBe('short');
  });

  test('messages come through, from Python as well, and out again', async () => {
    const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, compression: true }
    output: { type: websocket, mode: reply }
`);
    const script = `
import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1], compression="deflate") as ws:
        for text in ["short", "long " * 10000]:
            await ws.send(text)
            print("same", (await ws.recv()) == text, [type(each).__name__ for each in ws.extensions] if hasattr(ws, "extensions") else "")
asyncio.run(main())
`;
    const client = python(script, await run.url());
    await until('both', () => client.lines.filter((line) => line.startsWith('same True')).length === 2, {
      state: () => client.lines.join(' | '),
    });
  });

  test('a compressed frame of a client that has not agreed on it ends its connection', async () => {
    const run = await startEngine(server('compression: true'));
    const peer = await rawUpgrade(await run.url());
    peer.socket.write(compressedFrame(deflated('hello')));
    expect(await peer.closeCode()).toBe(1002);
  });
});

/** Runs a server in a process of its own, whose memory is its own. */
async function serverProcess(config: string) {
  const child = spawn(process.execPath, [program('memoryServer')], { stdio: ['pipe', 'pipe', 'inherit'] });
  afterTest(() => void child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => String((await lines.next()).value);
  child.stdin.write(`${JSON.stringify(config)}\n`);
  const url = await next();
  return {
    url,
    /** Resident memory now and at its highest, in bytes, and how many messages are in flight. */
    state: async (): Promise<{ rss: number; peak: number; received: number; inFlight: number }> => {
      child.stdin.write('state\n');
      return JSON.parse(await next()) as { rss: number; peak: number; received: number; inFlight: number };
    },
  };
}

describe('bombs', () => {
  test('a gigabyte of zeros ends its connection with 1009, and costs next to nothing', async () => {
    const bomb = deflatedZeros(1024);
    expect(bomb.length).toBeLessThan(1.2 * MIB);
    const target = await serverProcess(server('compression: true, max_message_size: 2MiB'));
    const other = await connectClient(target.url, { perMessageDeflate: true });
    const { peak: before } = await target.state();
    const peer = await rawUpgrade(target.url, DEFLATE);
    peer.socket.write(compressedFrame(bomb));
    expect(await peer.closeCode()).toBe(1009);
    await send(other, 'x'.repeat(2000));
    await until('the other one’s', async () => (await target.state()).received === 1);
    expect((await target.state()).peak - before).toBeLessThan(64 * MIB);
  }, 60_000);

  test('fifty at once too', async () => {
    const bomb = compressedFrame(deflatedZeros(1024));
    const target = await serverProcess(server('compression: true, max_message_size: 2MiB'));
    const { peak: before } = await target.state();
    const peers: RawPeer[] = [];
    for (let count = 0; count < 50; count++) peers.push(await rawUpgrade(target.url, DEFLATE));
    for (const peer of peers) peer.socket.write(bomb);
    await Promise.all(peers.map(async (peer) => expect(await peer.closeCode()).toBe(1009)));
    // A compressed message must be complete before it is inflated: that is 50 MiB.
    expect((await target.state()).peak - before).toBeLessThan(192 * MIB);
  }, 60_000);

  test('many small bombs, each within the limit: the budget holds while the output is stalled', async () => {
    const [connections, each] = [40, 50];
    // A megabyte in a kilobyte: one packet holds fifty of them.
    const bomb = compressedFrame(deflated(Buffer.alloc(MIB, 'x')));
    const target = await serverProcess(
      server('compression: true, max_message_size: 1MiB', '    in_flight: { bytes: 16MiB }').replace(
        'type: collect',
        'type: stall',
      ),
    );
    const { peak: before } = await target.state();
    const peers: RawPeer[] = [];
    for (let count = 0; count < connections; count++) peers.push(await rawUpgrade(target.url, DEFLATE));
    for (const peer of peers) peer.socket.write(Buffer.concat(Array<Buffer>(each).fill(bomb)));
    await until('the budget to be full', async () => (await target.state()).inFlight >= 16);
    // A quarter of it is for sessions that have nothing waiting, and ten may be on their way through zlib.
    const later = performance.now() + 2000;
    await until('two seconds of stall', async () => {
      expect((await target.state()).inFlight).toBeLessThanOrEqual(16 + 4 + 10);
      return performance.now() > later;
    });
    expect((await target.state()).peak - before).toBeLessThan(160 * MIB);
  }, 60_000);

  test('messages that wait compressed while the output is stalled come out in order afterwards', async () => {
    const run = await startEngine(server('compression: true', '    in_flight: { messages: 4 }'));
    const peer = await rawUpgrade(await run.url(), DEFLATE);
    run.output().hold();
    const texts = Array.from({ length: 100 }, (_, number) => `${number} `.repeat(500));
    peer.socket.write(Buffer.concat(texts.map((text) => compressedFrame(deflated(text)))));
    await until('the write', () => run.output().writes === 1);
    expect((await run.inFlight()).messages).toBeLessThanOrEqual(5);
    run.output().release();
    expect(await run.output().count(100)).toEqual(texts);
  });

  test('a client that leaves while its messages wait compressed: all of them come out, and then its end is reported', async () => {
    const run = await startEngine(server('compression: true', '    in_flight: { messages: 4 }'));
    const client = await connectClient(await run.url(), { perMessageDeflate: { threshold: 0 } });
    run.output().hold();
    const texts = Array.from({ length: 50 }, (_, number) => `${number} `.repeat(500));
    await send(client, ...texts);
    client.socket.terminate();
    await until('the write', () => run.output().writes === 1);
    run.output().release();
    expect(await run.output().count(50)).toEqual(texts);
    await run.metricIs(0, 'millrace_connections_open', 'stage="input"');
  });
});

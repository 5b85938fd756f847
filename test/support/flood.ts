import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/**
 * A process that floods a WebSocket server: `node flood.ts <url> <connections> <bytes a message>`. A line `state` on
 * stdin is answered with a line of JSON; at `stop` it sends no more than it has begun to, and answers too.
 */

const [url = '', connections = '1', size = '1000'] = process.argv.slice(2);
const PACKET_BYTES = 64 * 1024;
let stopped = false;

class Sender {
  readonly #socket: Socket;
  readonly #name: number;
  sent = 0;
  /** True while the kernel takes no more, which means that the other side does not read. */
  blocked = false;

  constructor(socket: Socket, name: number) {
    this.#socket = socket;
    this.#name = name;
    socket.on('drain', () => this.send());
  }

  /** A packet at a time, so that all connections get their turn. */
  send(): void {
    this.blocked = false;
    if (stopped) return;
    this.blocked = !this.#socket.write(this.#packet());
    if (!this.blocked) setImmediate(() => this.send());
  }

  /** Frames of `sender:number:` and a filling. */
  #packet(): Buffer {
    const frames: Buffer[] = [];
    for (let bytes = 0; bytes < PACKET_BYTES; this.sent++) {
      const frame = maskedFrame(Buffer.from(`${this.#name}:${this.sent}:`.padEnd(Number(size), 'x')));
      bytes += frame.length;
      frames.push(frame);
    }
    return Buffer.concat(frames);
  }
}

/** With a mask of zeros, which the server must apply like any other; this process has enough to do. */
function maskedFrame(payload: Buffer): Buffer {
  const header = Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 0xff, 0, 0, 0, 0]);
  return Buffer.concat([header, payload]);
}

async function open(name: number): Promise<Sender> {
  const { hostname, port, pathname, host } = new URL(url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  socket.write(
    `GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await once(socket, 'data');
  socket.resume();
  return new Sender(socket, name);
}

if (Number(size) < 126 || Number(size) > 65_535) throw new Error('a message has 126 to 65535 bytes');
const senders = await Promise.all(Array.from({ length: Number(connections) }, (_, name) => open(name)));
createInterface({ input: process.stdin }).on('line', (line) => {
  stopped ||= line === 'stop';
  const blocked = senders.filter((sender) => sender.blocked).length;
  process.stdout.write(`${JSON.stringify({ blocked, sent: senders.map(({ sent }) => sent) })}\n`);
});
for (const sender of senders) sender.send();

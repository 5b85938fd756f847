import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { http } from '../node-http.ts';

/** The path as it was sent, not decoded or resolved; the target may be in absolute form (RFC 9112 section 3.2.2). */
export function pathOf(request: IncomingMessage): string {
  const target = (request.url ?? '').replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '');
  return /^[^?#]*/.exec(target)![0] || '/';
}

/** Refuses a request to upgrade. The peer has `grace` milliseconds to take the answer. */
export function refuseUpgrade(
  socket: Duplex,
  status: number,
  text: string,
  grace: number,
  more: Readonly<Record<string, string>> = {},
): void {
  const body = `${text}\n`;
  const headers = {
    Connection: 'close',
    'Content-Type': 'text/plain; charset=utf-8',
    'X-Content-Type-Options': 'nosniff',
    'Content-Length': Buffer.byteLength(body),
    ...more,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`);
  // Closing with unread data would reset the connection, and the peer might never see the answer. So read and drop
  // what it sends until it closes too, but not forever.
  const deadline = setTimeout(() => socket.destroy(), grace);
  socket.once('close', () => clearTimeout(deadline));
  socket.resume();
}

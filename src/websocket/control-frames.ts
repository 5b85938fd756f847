import type { WebSocket } from 'ws';
import { holds, sessionOf, type Session } from './session.ts';

/**
 * Answers the pings of a socket that was opened with `autoPong: false`. While a pong waits because the peer does not
 * read, only the last ping is remembered (RFC 6455 section 5.5.3), so a flood of pings costs nothing. `ws` itself cuts a
 * connection that brings 61 pings in one packet, as one does that was not read for a minute.
 */
export function answerPings(socket: WebSocket): void {
  socket.on('ping', pinged);
}

/** The last ping of each socket whose pong waits. Most have none, so they keep nothing for it. */
const unanswered = new WeakMap<WebSocket, Buffer | undefined>();

function pinged(this: WebSocket, data: Buffer): void {
  // A copy, because it is a view of everything that was read with it.
  if (unanswered.has(this)) unanswered.set(this, Buffer.from(data));
  else answer(this, data);
}

function answer(socket: WebSocket, data: Buffer): void {
  if (socket.readyState !== socket.OPEN) return;
  unanswered.set(socket, undefined);
  socket.pong(data, undefined, () => {
    const next = unanswered.get(socket);
    unanswered.delete(socket);
    if (next !== undefined) answer(socket, next);
  });
}

/** Pings and pongs that a session may send at once, and in so many milliseconds. */
const FRAMES = 8192;

/**
 * Has a session that floods pings or pongs wait. They are the one thing that can come in any number without becoming a
 * message: each byte of data with 64 KiB of them around it would keep all of that in memory, and count as one byte.
 */
export function limitControlFrames(session: Session): void {
  session.socket.on('ping', counted).on('pong', counted);
}

interface Count {
  left: number;
  since: number;
  waiting: boolean;
}

/** Of sessions that have sent any. */
const counts = new WeakMap<Session, Count>();

function counted(this: WebSocket): void {
  const session = sessionOf(this);
  let count = counts.get(session);
  if (count === undefined) {
    count = { left: FRAMES, since: performance.now(), waiting: false };
    counts.set(session, count);
  }
  if (--count.left > 0 || count.waiting) return;
  const early = FRAMES - (performance.now() - count.since);
  if (early <= 0) return begin(session, count);
  count.waiting = true;
  session.hold(holds.control);
  const timer = setTimeout(begin, early, session, count);
  session.socket.once('close', () => clearTimeout(timer));
}

function begin(session: Session, count: Count): void {
  count.left = FRAMES;
  count.since = performance.now();
  count.waiting = false;
  session.release(holds.control);
}

import type { WebSocket } from 'ws';
import { holds, sessionOf, type Session } from './session.ts';

/** The most pongs that may wait for one peer; beyond it, only the last ping is remembered (RFC 6455 section 5.5.3). */
const PONGS = 32;

/**
 * Answers the pings of a socket that was opened with `autoPong: false`: one pong per ping, as long as the peer takes
 * them. A flood of pings from a peer that does not read costs no more than `PONGS`.
 */
export function answerPings(socket: WebSocket): void {
  socket.on('ping', pinged);
}

interface Pongs {
  waiting: number;
  /** The last ping without a pong. */
  last: Buffer | undefined;
  readonly written: () => void;
}

/** The pongs of sockets that have some waiting. Most have none, and keep nothing for them. */
const pongs = new WeakMap<WebSocket, Pongs>();

function pinged(this: WebSocket, data: Buffer): void {
  // Copied, because it is a view that would keep everything read with it in memory.
  const copy = Buffer.allocUnsafeSlow(data.length);
  data.copy(copy);
  let state = pongs.get(this);
  if (state === undefined) {
    state = { waiting: 0, last: undefined, written: () => written(this) };
    pongs.set(this, state);
  }
  if (state.waiting < PONGS) answer(this, state, copy);
  else state.last = copy;
}

function answer(socket: WebSocket, state: Pongs, data: Buffer): void {
  if (socket.readyState !== socket.OPEN) return;
  state.waiting++;
  socket.pong(data, undefined, state.written);
}

function written(socket: WebSocket): void {
  const state = pongs.get(socket)!;
  state.waiting--;
  const { last } = state;
  state.last = undefined;
  if (last !== undefined) answer(socket, state, last);
  if (state.waiting === 0) pongs.delete(socket);
}

/** The number of pings and pongs that a session may send at once, and the period in milliseconds. */
const FRAMES = 8192;

/**
 * Makes a session that floods pings or pongs wait. Only they can arrive in any number without becoming a message: each
 * byte of data with 64 KiB of them around it would keep all of that in memory, and count as one byte.
 */
export function limitControlFrames(session: Session): void {
  session.socket.on('ping', counted).on('pong', counted);
}

interface Count {
  left: number;
  since: number;
  waiting: boolean;
  /** The timer that ends the wait; undefined until there has been one. */
  timer: NodeJS.Timeout | undefined;
}

/** The counts of sessions that have sent any. */
const counts = new WeakMap<Session, Count>();

function counted(this: WebSocket): void {
  const session = sessionOf(this);
  let count = counts.get(session);
  if (count === undefined) {
    count = { left: FRAMES, since: performance.now(), waiting: false, timer: undefined };
    counts.set(session, count);
  }
  if (--count.left > 0 || count.waiting) return;
  const early = FRAMES - (performance.now() - count.since);
  if (early <= 0) return begin(session, count);
  count.waiting = true;
  session.hold(holds.control);
  // One listener for all waits: a flood that lasts for days causes thousands of them.
  if (count.timer === undefined) session.socket.once('close', () => clearTimeout(count.timer));
  count.timer = setTimeout(begin, early, session, count);
}

function begin(session: Session, count: Count): void {
  count.left = FRAMES;
  count.since = performance.now();
  count.waiting = false;
  session.release(holds.control);
}

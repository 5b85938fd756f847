import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { Outgoing } from '../component/sessions.ts';
import { Waker } from '../component/waker.ts';
import { Fifo } from '../message/fifo.ts';
import { tickTime } from './tick-time.ts';

/** The rough cost of a waiting message besides its payload: two buffers and the stream's entries for them. In bytes. */
const MESSAGE_COST = 256;

/** The most droppable bytes that the socket itself is given: it cannot give anything back. */
const HANDED_OVER = 64 * 1024;

/** A peer that reads takes something within this time, in milliseconds. */
const PATIENCE = 1_000;

/** Node's account of a socket's writes: the bytes it was given, and those that the system has not taken. */
interface WithHandle {
  _handle?: { readonly bytesWritten: number; readonly writeQueueSize: number } | null;
}

interface Waiting {
  readonly payload: Uint8Array;
  readonly binary: boolean;
}

/** The messages that outputs send on one connection, counted, so that they are bounded whatever the peer does. */
export class Outbox implements Outgoing {
  sent = 0;
  written = 0;
  slow = false;
  readonly patience = PATIENCE;
  readonly confirmed = false;
  /** Called when the system has taken something, or never will. */
  progressed: (() => void) | undefined;
  readonly #socket: WebSocket;
  readonly #connection: Socket;
  /** The messages that the socket does not have yet. */
  readonly #queue = new Fifo<Waiting>();
  #queuedBytes = 0;
  /** The bytes up to which the socket is fed from the queue. */
  #share = HANDED_OVER;
  /** When the system last took something while something waited. */
  #progressAt = 0;
  /** The bytes it had taken, and the number of messages written, at the last check. */
  #seen = 0;
  #seenWritten = 0;
  readonly #waker = new Waker();
  #emptied: (() => void) | undefined;

  constructor(socket: WebSocket, connection: Socket) {
    this.#socket = socket;
    this.#connection = connection;
    socket.once('close', () => {
      this.clear();
      this.#look();
    });
  }

  get waiting(): number {
    return this.#handed + this.#queuedBytes;
  }

  get taken(): number {
    const handle = (this.#connection as WithHandle)._handle;
    return handle == null ? this.#seen : handle.bytesWritten - handle.writeQueueSize;
  }

  get stalled(): number {
    if (this.sent === this.written && this.#queue.length === 0) return 0;
    const { taken, written } = this;
    const now = performance.now();
    // A long message is taken piece by piece.
    if (written === this.#seenWritten && taken > this.#seen) this.#progressAt = now;
    this.#seen = taken;
    this.#seenWritten = written;
    return now - this.#progressAt;
  }

  hasRoom(size: number, limit: number, dropping = false): boolean {
    // Droppable messages are ahead of the others, and go first.
    if (this.#queue.length > 0 && !dropping) return false;
    const { waiting } = this;
    return waiting === 0 || waiting + size + MESSAGE_COST <= limit;
  }

  send(payload: Uint8Array, binary: boolean): void {
    if (this.sent === this.written) this.#progressAt = tickTime();
    this.sent++;
    this.#socket.send(payload, { binary }, this.#written);
  }

  /** Sends a text in two frames (RFC 6455 section 5.4), so that connections can share the second part. */
  sendText(start: Uint8Array, rest: Uint8Array): void {
    if (this.sent === this.written) this.#progressAt = tickTime();
    this.sent++;
    this.#socket.send(start, { binary: false, fin: false });
    this.#socket.send(rest, { binary: false, fin: true }, this.#written);
  }

  sendDropping(payload: Uint8Array, binary: boolean, limit: number): number {
    this.#share = Math.min(HANDED_OVER, limit / 2);
    if (this.#queue.length === 0 && this.#handed < this.#share) {
      this.send(payload, binary);
      return 0;
    }
    this.#queue.push({ payload, binary });
    this.#queuedBytes += costOf(payload);
    let dropped = 0;
    // The newest message stays, however long it is.
    while (this.waiting > limit && this.#queue.length > 1) {
      this.#shift();
      dropped++;
    }
    return dropped;
  }

  cork(): void {
    this.#connection.cork();
  }

  uncork(): void {
    this.#connection.uncork();
  }

  until(done: () => boolean, signal: AbortSignal, timeout?: number): Promise<boolean> {
    const over = (): boolean => this.#socket.readyState === this.#socket.CLOSED;
    return this.#waker.until(done, signal, { timeout, over });
  }

  /** Calls `emptied` when the socket has everything. Only the first call counts. */
  finish(emptied: () => void): void {
    if (this.#emptied !== undefined) return;
    this.#emptied = emptied;
    if (this.#queue.length === 0) emptied();
  }

  /** Forgets the messages that the socket does not have. */
  clear(): void {
    this.#queue.clear();
    this.#queuedBytes = 0;
  }

  get #handed(): number {
    return this.#socket.bufferedAmount + (this.sent - this.written) * MESSAGE_COST;
  }

  /** Called for each message, in order, when the system has taken it or never will. */
  readonly #written = (error?: Error | null): void => {
    if (error !== undefined && error !== null) return;
    this.written++;
    this.#progressAt = tickTime();
    this.#pump();
    this.#look();
  };

  #pump(): void {
    if (this.#queue.length === 0 || this.#handed >= this.#share) return;
    this.cork();
    while (this.#queue.length > 0 && this.#handed < this.#share) {
      const { payload, binary } = this.#shift();
      this.send(payload, binary);
    }
    this.uncork();
    if (this.#queue.length > 0) return;
    this.slow = false;
    this.#emptied?.();
  }

  #shift(): Waiting {
    const first = this.#queue.shift()!;
    this.#queuedBytes -= costOf(first.payload);
    return first;
  }

  #look(): void {
    this.#waker.wake();
    this.progressed?.();
  }
}

function costOf(payload: Uint8Array): number {
  return payload.length + MESSAGE_COST;
}

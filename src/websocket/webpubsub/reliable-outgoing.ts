import type { Outgoing } from '../../component/sessions.ts';
import { Waker } from '../../component/waker.ts';
import { Fifo } from '../../message/fifo.ts';
import type { Outbox } from '../outbox.ts';
import { tickTime } from '../tick-time.ts';
import type { KeptFrames } from './kept-frames.ts';
import { numbered } from './protocol.ts';
import type { ServerMessages } from './server-messages.ts';

/** The rough cost of a kept message besides its payload, in bytes. */
const MESSAGE_COST = 256;

/** The most bytes of kept messages that the socket is given; the rest follows as it takes them. */
const HANDED_OVER = 256 * 1024;

/**
 * The room for unconfirmed messages, in multiples of the bytes that may wait for the socket: the client confirms only
 * once a second, so more room is needed.
 */
const UNACKNOWLEDGED = 4;

/** The most messages kept until the client has them. */
const MAX_UNACKNOWLEDGED = 10_000;

/** A message of at least this many bytes is not copied for each client. */
const WORTH_SHARING = 16 * 1024;

/** A client that reads confirms something within this time, in milliseconds: the published ones do once a second. */
const PATIENCE = 3_000;

interface Kept {
  readonly sequenceId: number;
  /** The frame without its number. */
  readonly frame: Buffer;
}

/**
 * Sends on a connection that outlives its sockets: each message is numbered, and kept until the client confirms it.
 * When another socket takes over, unconfirmed messages are sent again.
 */
export class ReliableOutgoing implements Outgoing {
  sent = 0;
  /** The bytes that the client has confirmed. */
  taken = 0;
  slow = false;
  readonly patience = PATIENCE;
  readonly confirmed = true;
  readonly #messages: ServerMessages;
  /** Oldest first. */
  readonly #kept = new Fifo<Kept>();
  /** How many of them the socket has been given. */
  #handed = 0;
  #bytes = 0;
  #lastId = 0;
  #outbox: Outbox | undefined;
  #frames: KeptFrames | undefined;
  #ended = false;
  /** When the client last confirmed something while something waited. */
  #progressAt = 0;
  readonly #waker = new Waker();

  constructor(messages: ServerMessages) {
    this.#messages = messages;
  }

  /** The number of messages that the client has not confirmed. */
  get unacknowledged(): number {
    return this.#kept.length;
  }

  get waiting(): number {
    return this.#bytes;
  }

  /** Kept messages survive their socket, so nobody needs to wait for more. */
  get written(): number {
    return this.sent;
  }

  get stalled(): number {
    return this.unacknowledged === 0 ? 0 : performance.now() - this.#progressAt;
  }

  hasRoom(size: number, limit: number): boolean {
    if (this.unacknowledged === 0) return true;
    const bytes = this.#bytes + size + MESSAGE_COST;
    return this.unacknowledged < MAX_UNACKNOWLEDGED && bytes <= limit * UNACKNOWLEDGED;
  }

  send(payload: Uint8Array, binary: boolean, json?: boolean): void {
    this.sendFrame(this.#messages.frameOf(payload, binary, json));
  }

  sendFrame(frame: Buffer): void {
    if (this.unacknowledged === 0) this.#progressAt = tickTime();
    this.sent++;
    this.#kept.push({ sequenceId: ++this.#lastId, frame });
    this.#bytes += costOf(frame);
    this.#frames?.add(frame);
    this.#pump();
    this.#frames?.look();
  }

  sendDropping(payload: Uint8Array, binary: boolean, limit: number, json?: boolean): number {
    const frame = this.#messages.frameOf(payload, binary, json);
    let dropped = 0;
    while (!this.hasRoom(frame.length, limit)) {
      // A client that has been sent it may have it.
      if (this.#handed === 0) dropped++;
      this.#shift();
    }
    this.sendFrame(frame);
    return dropped;
  }

  cork(): void {
    this.#outbox?.cork();
  }

  uncork(): void {
    this.#outbox?.uncork();
  }

  until(done: () => boolean, signal: AbortSignal, timeout?: number): Promise<boolean> {
    return this.#waker.until(done, signal, { timeout, over: () => this.#ended });
  }

  /** The client has everything up to `sequenceId`. */
  acknowledge(sequenceId: number): void {
    const before = this.#bytes;
    // It cannot have messages that were not sent.
    while (this.#handed > 0 && this.#kept.first!.sequenceId <= sequenceId) this.#shift();
    if (this.#bytes < before) {
      this.taken += before - this.#bytes;
      this.#progressAt = tickTime();
    }
    // It has caught up with most of the waiting messages.
    if (this.#bytes <= before / 2) this.slow = false;
    this.#waker.wake();
  }

  /** Sends on another socket from now on, beginning again with the unconfirmed messages. */
  resume(outbox: Outbox): void {
    this.pause();
    this.#outbox = outbox;
    this.#progressAt = tickTime();
    outbox.progressed = () => this.#pump();
    this.#handed = 0;
    this.#pump();
  }

  /** Call when there is no socket. */
  pause(): void {
    if (this.#outbox !== undefined) this.#outbox.progressed = undefined;
    if (this.#outbox !== undefined) this.#progressAt = tickTime();
    this.#outbox = undefined;
  }

  /** Counts the kept messages in `frames` from now on. */
  keepIn(frames: KeptFrames | undefined): void {
    for (let at = 0; at < this.#kept.length; at++) {
      const { frame } = this.#kept.at(at)!;
      this.#frames?.delete(frame);
      frames?.add(frame);
    }
    this.#frames = frames;
    frames?.look();
  }

  /** Gives the socket all messages that it does not have. */
  flush(): void {
    this.#pump(Infinity);
  }

  /** Forgets everything. */
  end(): void {
    this.pause();
    this.keepIn(undefined);
    this.#ended = true;
    this.#kept.clear();
    this.#handed = 0;
    this.#bytes = 0;
    this.#waker.wake();
  }

  #pump(most = HANDED_OVER): void {
    const outbox = this.#outbox;
    if (outbox === undefined || this.#handed === this.#kept.length) return;
    const several = this.#handed + 1 < this.#kept.length;
    if (several) outbox.cork();
    while (this.#handed < this.#kept.length && outbox.waiting < most) {
      const { frame, sequenceId } = this.#kept.at(this.#handed++)!;
      const [start, rest] = numbered(frame, sequenceId);
      if (rest.length < WORTH_SHARING) outbox.send(Buffer.concat([start, rest]), false);
      else outbox.sendText(start, rest);
    }
    if (several) outbox.uncork();
  }

  #shift(): void {
    const { frame } = this.#kept.shift()!;
    this.#bytes -= costOf(frame);
    this.#frames?.delete(frame);
    this.#handed = Math.max(0, this.#handed - 1);
  }
}

function costOf(frame: Buffer): number {
  return frame.length + MESSAGE_COST;
}

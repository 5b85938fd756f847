import type { Outgoing } from '../../component/sessions.ts';
import { Waker } from '../../component/waker.ts';
import { Fifo } from '../../message/fifo.ts';
import type { Outbox } from '../outbox.ts';
import { tickTime } from '../tick-time.ts';
import type { KeptFrames } from './kept-frames.ts';
import { numbered } from './protocol.ts';
import type { ServerMessages } from './server-messages.ts';

/** What a message that is kept costs besides its payload, roughly. */
const MESSAGE_COST = 256;

/** As much as the socket gets of what is kept; the rest follows as it takes that. In bytes. */
const HANDED_OVER = 256 * 1024;

/**
 * The client confirms what it has received once a second, so there must be room for more than what may wait for the
 * socket: so many times as much.
 */
const UNACKNOWLEDGED = 4;

/** Messages that are kept until the client has them. */
const MAX_UNACKNOWLEDGED = 10_000;

/** A message of so many bytes is not copied for each client that gets it. */
const WORTH_SHARING = 16 * 1024;

/** A client that reads confirms something within so many milliseconds: the published ones do once a second. */
const PATIENCE = 3_000;

interface Kept {
  readonly sequenceId: number;
  /** Without its number. */
  readonly frame: Buffer;
}

/**
 * What is sent on a connection that outlives its sockets: each message is numbered, and kept until the client says that
 * it has it. When another socket takes over, it is sent again what was not confirmed.
 */
export class ReliableOutgoing implements Outgoing {
  sent = 0;
  /** What the client has confirmed, in bytes. */
  taken = 0;
  slow = false;
  readonly patience = PATIENCE;
  readonly confirmed = true;
  readonly #messages: ServerMessages;
  /** Oldest first. */
  readonly #kept = new Fifo<Kept>();
  /** How many of them the socket has. */
  #handed = 0;
  #bytes = 0;
  #lastId = 0;
  #outbox: Outbox | undefined;
  #frames: KeptFrames | undefined;
  #ended = false;
  /** When the client has last confirmed something while something waited. */
  #progressAt = 0;
  readonly #waker = new Waker();

  constructor(messages: ServerMessages) {
    this.#messages = messages;
  }

  /** Messages that the client has not confirmed. */
  get unacknowledged(): number {
    return this.#kept.length;
  }

  get waiting(): number {
    return this.#bytes;
  }

  /** What is kept is not lost with its socket, so that is as far as anybody needs to wait. */
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
      // Who has been sent it may have it.
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

  /** The client has everything up to that number. */
  acknowledge(sequenceId: number): void {
    const before = this.#bytes;
    // What it cannot have it has not got.
    while (this.#handed > 0 && this.#kept.first!.sequenceId <= sequenceId) this.#shift();
    if (this.#bytes < before) {
      this.taken += before - this.#bytes;
      this.#progressAt = tickTime();
    }
    // It has caught up with most of what waited.
    if (this.#bytes <= before / 2) this.slow = false;
    this.#waker.wake();
  }

  /** Sends on another socket from now on, first again what was not confirmed. */
  resume(outbox: Outbox): void {
    this.pause();
    this.#outbox = outbox;
    this.#progressAt = tickTime();
    outbox.progressed = () => this.#pump();
    this.#handed = 0;
    this.#pump();
  }

  /** There is no socket. */
  pause(): void {
    if (this.#outbox !== undefined) this.#outbox.progressed = undefined;
    if (this.#outbox !== undefined) this.#progressAt = tickTime();
    this.#outbox = undefined;
  }

  /** From now on `frames` counts what is kept. */
  keepIn(frames: KeptFrames | undefined): void {
    for (let at = 0; at < this.#kept.length; at++) {
      const { frame } = this.#kept.at(at)!;
      this.#frames?.delete(frame);
      frames?.add(frame);
    }
    this.#frames = frames;
    frames?.look();
  }

  /** Gives the socket all that it does not have. */
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

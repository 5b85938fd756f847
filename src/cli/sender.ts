import { commandErrors } from './command-errors.ts';
import { Waker } from '../component/waker.ts';
import { MillraceError, NotConnectedError } from '../errors.ts';
import { plural } from '../plural.ts';
import type { Acknowledgements } from './acknowledgements.ts';
import type { Connection, Link } from './connection.ts';
import type { Pace } from './pace.ts';
import type { Messages } from './send-source.ts';

/** The most bytes that may wait in the socket. */
const WAITING = 1024 * 1024;
/** Messages that go to the system together. */
const BURST = 512;

export interface SenderOptions {
  readonly connection: Connection;
  readonly source: Messages;
  readonly pace: Pace;
  readonly acknowledgements: Acknowledgements | undefined;
  /** Whether to send messages again that a lost connection has not written, without acknowledgements. */
  readonly resend: boolean;
  readonly signal: AbortSignal;
  /** Shows a line to the user. */
  readonly notice: (text: string) => void;
}

/** Sends messages in order over a connection that may be lost and restored. */
export class Sender {
  readonly #options: SenderOptions;
  readonly #waker = new Waker();
  #link: Link | undefined;
  /** Messages and bytes that were handed to a connection, each counted once. */
  #sent = 0;
  #bytes = 0;
  /** The number of unwritten messages of the previous connection that this one sent first. */
  #resent = 0;
  #sentBefore = 0;
  #writtenBefore = 0;
  /** Messages of this connection that may have to be sent again, from its message number `#trimmed` on. */
  #handed: Buffer[] = [];
  #trimmed = 0;

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  get sent(): number {
    return this.#sent;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** How many messages the system has taken, without a gap. */
  get written(): number {
    if (this.#link === undefined) return this.#writtenBefore;
    const { written } = this.#link.session.outgoing;
    return Math.max(this.#writtenBefore, this.#sentBefore + written - this.#resent);
  }

  /** Something has come, or the connection has gone: waiting code checks again. */
  wake(): void {
    this.#waker.wake();
  }

  /** Connects and sends everything. Resolves when the system has taken it, and every acknowledgement has come. */
  async run(): Promise<void> {
    const { connection, source, signal } = this.#options;
    this.#link = await connection.open(signal);
    const blocks = source.blocks();
    for (;;) {
      const { value: block, done } = await this.#next(blocks);
      if (done === true) break;
      for (let at = 0; at < block.length;) {
        await this.#ready(block[at]!.length);
        at = this.#burst(block, at);
      }
    }
    await this.#settled();
  }

  /** Resolves after `milliseconds`, or when the connection has closed. */
  async linger(milliseconds: number): Promise<void> {
    const { signal } = this.#options;
    const until = performance.now() + milliseconds;
    while (this.#open && !signal.aborted) {
      const left = until - performance.now();
      if (left <= 0) return;
      await this.#sleep(left);
    }
  }

  /**
   * Closes the connection.
   * @throws NotConnectedError when the server did not answer: messages that it had not read may be lost
   */
  async close(): Promise<void> {
    if (this.#link === undefined) return;
    const { session, ended } = this.#link;
    const ours = this.#open;
    if (ours) session.close(1000, 'done');
    const { code, text } = await ended;
    if (code === 1000 || code === 1005) return;
    const why = ours && code === 1006 ? `${text}: it did not answer the close` : text;
    throw new NotConnectedError(`${why}; the server may not have read the last messages`);
  }

  get #open(): boolean {
    return this.#link!.session.open;
  }

  /** The next block; meanwhile it handles a lost connection. */
  async #next(blocks: AsyncGenerator<readonly Buffer[], void, undefined>) {
    const input = { arrived: false };
    const next = blocks.next().finally(() => {
      input.arrived = true;
      this.wake();
    });
    // It is awaited below, unless something else fails first.
    next.catch(() => {});
    while (!input.arrived) {
      if (this.#open) await this.#sleep();
      else await this.#reconnect();
    }
    return await next;
  }

  /** Resolves when a message of `size` bytes can be sent. */
  async #ready(size: number): Promise<void> {
    const { acknowledgements, pace, signal } = this.#options;
    for (;;) {
      const { outgoing } = this.#link!.session;
      if (!this.#open) await this.#reconnect();
      else if (!outgoing.hasRoom(size, WAITING)) {
        await outgoing.until(() => outgoing.waiting <= WAITING / 2, signal);
      } else if (acknowledgements !== undefined && acknowledgements.room <= 0) await this.#acknowledged();
      else {
        const wait = pace.wait();
        if (wait === 0) return;
        await this.#sleep(wait);
      }
    }
  }

  /** Sends as many messages as may be sent now, at least one. @returns the index of the next */
  #burst(block: readonly Buffer[], start: number): number {
    const { acknowledgements, source, pace, resend } = this.#options;
    const { outgoing } = this.#link!.session;
    const room = Math.min(acknowledgements?.room ?? BURST, BURST, block.length - start);
    const end = start + pace.due(room);
    if (resend && outgoing.written - this.#trimmed >= BURST) this.#trim();
    let at = start;
    outgoing.cork();
    try {
      do {
        const payload = block[at]!;
        if (acknowledgements?.add(payload, this.#sent + 1) === false) {
          throw new MillraceError(
            commandErrors.MILLRACE_SEND_FAILED,
            `message ${this.#sent + 1} has nothing at the path of --id, so nothing can acknowledge it; expected JSON with a string or a number there`,
          );
        }
        outgoing.send(payload, source.isBinary(payload));
        if (resend) this.#handed.push(payload);
        this.#sent++;
        this.#bytes += payload.length;
        at++;
      } while (at < end && outgoing.hasRoom(block[at]!.length, WAITING));
    } finally {
      outgoing.uncork();
      pace.spend(at - start);
    }
    return at;
  }

  /** Resolves when nothing is left to wait for. */
  async #settled(): Promise<void> {
    const { acknowledgements, signal } = this.#options;
    for (;;) {
      const { outgoing } = this.#link!.session;
      const written = (): boolean => outgoing.written === outgoing.sent;
      const missing = acknowledgements?.missing ?? 0;
      if (written() && missing === 0) return;
      if (!this.#open) await this.#reconnect();
      else if (!written()) await outgoing.until(written, signal);
      else await this.#acknowledged();
    }
  }

  /** Waits for an acknowledgement, or anything else that happens. */
  async #acknowledged(): Promise<void> {
    const { patience } = this.#options.acknowledgements!;
    if (patience <= 0) {
      throw new MillraceError(
        commandErrors.MILLRACE_SEND_FAILED,
        'no acknowledgement came within --ack-timeout',
      );
    }
    await this.#sleep(patience);
  }

  /** Reconnects, and sends again the messages that the previous connection may not have delivered. */
  async #reconnect(): Promise<void> {
    const { connection, acknowledgements, source, notice, signal } = this.#options;
    const lost = this.#link!;
    const end = await lost.ended;
    this.#writtenBefore = this.written;
    this.#sentBefore = this.#sent;
    this.#trim();
    const again = acknowledgements === undefined ? this.#handed : [...acknowledgements.payloads()];
    this.#link = undefined;
    this.#link = await connection.open(signal, end);
    acknowledgements?.restart();
    this.#resent = again.length;
    this.#handed = acknowledgements === undefined ? again : [];
    this.#trimmed = 0;
    if (again.length > 0) notice(`sending ${plural(again.length, 'message')} again`);
    // These messages were in memory already.
    for (const payload of again) {
      this.#link.session.outgoing.send(payload, source.isBinary(payload));
    }
  }

  /** Forgets messages that have been written. */
  #trim(): void {
    const { written } = this.#link!.session.outgoing;
    this.#handed.splice(0, written - this.#trimmed);
    this.#trimmed = written;
  }

  /** Resolves after `milliseconds` or when `wake` is called. @throws the signal's reason when it aborts */
  async #sleep(milliseconds?: number): Promise<void> {
    const { signal } = this.#options;
    const timer =
      milliseconds === undefined
        ? undefined
        : setTimeout(() => this.wake(), Math.min(milliseconds, 2 ** 31 - 1));
    try {
      await this.#waker.wait(signal);
    } finally {
      clearTimeout(timer);
    }
    signal.throwIfAborted();
  }
}

import type { OpenSession, SlowConsumer } from '../../../component/sessions.ts';
import type { Corks } from './corks.ts';

/** Room in the buffers of sessions, and what is done with a session that has none. */
export class Room {
  /** Whether the oldest messages make room for new ones. */
  readonly dropping: boolean;
  /** How long a session may take before it is cut off, in milliseconds; undefined is for ever. */
  readonly patience: number | undefined;
  readonly #limit: number | undefined;

  /** `limit` in bytes, in place of each session's own; `patience` in milliseconds, for `disconnect`. */
  constructor(policy: SlowConsumer, limit: number | undefined, patience: number) {
    this.dropping = policy === 'drop_oldest';
    this.patience = policy === 'disconnect' ? patience : undefined;
    this.#limit = limit;
  }

  limitOf(session: OpenSession): number {
    return this.#limit ?? session.outgoingLimit;
  }

  /** Whether there is room for a message of `size` bytes. */
  has(session: OpenSession, size: number): boolean {
    return session.outgoing.hasRoom(size, this.limitOf(session), this.dropping);
  }

  /** Resolves when there is room for the message, or the session is not open any more. */
  async make(
    session: OpenSession,
    size: number,
    corks: Corks | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    // What it has not taken may be what it has only just been handed.
    if (corks?.holds(session.outgoing) === true) await corks.turn(signal);
    const hasRoom = (): boolean => this.has(session, size);
    if (!session.open || this.dropping || hasRoom()) return;
    if (this.patience === 0) return session.tooSlow();
    corks?.release();
    if (!(await session.outgoing.until(hasRoom, signal, this.patience))) session.tooSlow();
  }
}

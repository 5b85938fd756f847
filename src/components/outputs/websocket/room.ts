import type { OpenSession, SlowConsumer } from '../../../component/sessions.ts';
import { Patience } from '../../../websocket/patience.ts';
import { Corks } from './corks.ts';

/** Room in the buffers of sessions, and the policy for sessions that have none. */
export class Room {
  /** Whether the oldest messages make room for new ones. */
  readonly dropping: boolean;
  /**
   * How long a session may take before it is cut off, in milliseconds; undefined is forever, 0 as long as it reads.
   */
  readonly patience: number | undefined;
  readonly #limit: number | undefined;
  readonly #patience = new Patience();

  /** `limit` in bytes replaces each session's own; `patience` in milliseconds, for `disconnect`. */
  constructor(policy: SlowConsumer, limit: number | undefined, patience: number) {
    this.dropping = policy === 'drop_oldest';
    this.patience = policy === 'disconnect' ? patience : undefined;
    this.#limit = limit;
  }

  limitOf(session: OpenSession): number {
    return this.#limit ?? session.outgoingLimit;
  }

  /** Whether there is room for a message of `size` bytes, or room is made by dropping others. */
  has(session: OpenSession, size: number): boolean {
    const { outgoing } = session;
    return (this.dropping && outgoing.slow) || outgoing.hasRoom(size, this.limitOf(session), this.dropping);
  }

  /** Resolves when there is room for the message, the session is no longer open, or its oldest messages must go. */
  async make(
    session: OpenSession,
    size: number,
    corks: Corks | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    // The session may not have had a chance to take the last messages.
    await (corks ?? new Corks()).turn(signal);
    const { outgoing } = session;
    const limit = this.limitOf(session);
    // Once it waits, it pays to wait for room for more than one message.
    const hasRoom = (): boolean => this.has(session, size + limit / 2);
    if (!session.open || this.has(session, size)) return;
    const inTime =
      this.dropping || this.patience === 0
        ? await this.#patience.wait(session, hasRoom, limit, signal)
        : (await outgoing.until(hasRoom, signal, this.patience)) || this.has(session, size);
    if (inTime || !session.open) return;
    if (this.dropping) outgoing.slow = true;
    else session.tooSlow();
  }
}

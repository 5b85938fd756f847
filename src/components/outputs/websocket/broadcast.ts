import type { OpenSession, SlowConsumer } from '../../../component/sessions.ts';
import type { Batch } from '../../../message/batch.ts';
import type { ComponentEvents } from '../../../telemetry/events.ts';
import type { Audience } from './audience.ts';
import { Corks } from './corks.ts';
import { compact, isBinary } from './frames.ts';

export interface BroadcastOptions {
  readonly audience: Audience;
  readonly policy: SlowConsumer;
  /** In place of each session's own, in bytes. */
  readonly limit: number | undefined;
  readonly events: ComponentEvents;
}

/** Sends messages to all who are to get them, each within the bound of its buffer. */
export class Broadcast {
  readonly #options: BroadcastOptions;

  constructor(options: BroadcastOptions) {
    this.#options = options;
  }

  /** Resolves when each session's buffer has each message that is for it, or the policy has seen to it. */
  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    const { audience, events } = this.#options;
    const { payloads, runs } = batch;
    const corks = payloads.length > 1 ? new Corks() : undefined;
    let noValue = 0;
    let nobody = 0;
    let slow = 0;
    let run = 0;
    try {
      for (const [index, payload] of payloads.entries()) {
        while (runs[run + 1] !== undefined && runs[run + 1]!.start <= index) run++;
        const sessions = audience.of(batch, index, runs[run]!);
        if (sessions === undefined) {
          noValue++;
          continue;
        }
        let kept: Uint8Array | undefined;
        let binary: boolean | undefined;
        for (const session of sessions) {
          if (!session.open) continue;
          binary ??= isBinary(batch, runs[run], payload);
          if (!this.#hasRoom(session, payload) && !(await this.#makeRoom(session, payload, corks, signal))) {
            slow++;
            continue;
          }
          if (session.outgoing.waiting > 0) kept ??= compact(payload);
          slow += this.#send(session, kept ?? payload, binary, corks);
        }
        if (binary === undefined) nobody++;
      }
    } finally {
      corks?.release();
      if (noValue > 0) events.messagesDropped('no_value', noValue);
      if (nobody > 0) events.messagesDropped('nobody', nobody);
      if (slow > 0) events.messagesDropped('slow_consumer', slow);
    }
  }

  #limit(session: OpenSession): number {
    return this.#options.limit ?? session.outgoingLimit;
  }

  #hasRoom(session: OpenSession, payload: Uint8Array): boolean {
    const { policy } = this.#options;
    return session.outgoing.hasRoom(payload.length, this.#limit(session), policy === 'drop_oldest');
  }

  /** @returns false when the message is not for this session any more */
  async #makeRoom(
    session: OpenSession,
    payload: Uint8Array,
    corks: Corks | undefined,
    signal: AbortSignal,
  ): Promise<boolean> {
    const hasRoom = (): boolean => this.#hasRoom(session, payload);
    // What it has not taken may be what it has only just been handed.
    if (corks?.holds(session.outgoing) === true) await corks.turn(signal);
    if (!session.open) return false;
    const { policy } = this.#options;
    if (policy === 'drop_oldest' || hasRoom()) return true;
    if (policy === 'disconnect') {
      session.tooSlow();
      return false;
    }
    corks?.release();
    await session.outgoing.until(hasRoom, signal);
    return session.open;
  }

  /** @returns how many messages it dropped for it */
  #send(session: OpenSession, payload: Uint8Array, binary: boolean, corks: Corks | undefined): number {
    const { outgoing } = session;
    if (this.#options.policy !== 'drop_oldest') {
      corks?.hold(outgoing);
      outgoing.send(payload, binary);
      return 0;
    }
    const { sent } = outgoing;
    const dropped = outgoing.sendDropping(payload, binary, this.#limit(session));
    if (outgoing.sent > sent) corks?.hold(outgoing);
    return dropped;
  }
}

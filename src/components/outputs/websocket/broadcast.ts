import type { OpenSession, SlowConsumer } from '../../../component/sessions.ts';
import { framesOf, type Framer } from '../../../component/framing/framer.ts';
import type { WriteResult } from '../../../component/contracts.ts';
import type { Batch } from '../../../message/batch.ts';
import type { ComponentEvents } from '../../../telemetry/events.ts';
import type { Audience } from './audience.ts';
import { Corks } from './corks.ts';
import { compact, isBinary, isJson } from './frames.ts';
import { Room } from './room.ts';

/**
 * The event loop gets a turn after this many milliseconds, however long a batch is and however many sessions it has.
 */
const LONGEST_STRETCH = 50;

export interface BroadcastOptions {
  readonly audience: Audience;
  readonly policy: SlowConsumer;
  /** Replaces each session's own limit, in bytes. */
  readonly limit: number | undefined;
  /** Undefined if each message is a frame. */
  readonly framer: Framer | undefined;
  readonly events: ComponentEvents;
}

/** Sends messages to all sessions that should get them, each within the bound of its buffer. */
export class Broadcast {
  readonly #audience: Audience;
  readonly #events: ComponentEvents;
  readonly #room: Room;
  readonly #framer: Framer | undefined;

  constructor({ audience, policy, limit, framer, events }: BroadcastOptions) {
    this.#audience = audience;
    this.#events = events;
    this.#framer = framer;
    // Nobody waits for a slow session, unless `block` says so.
    this.#room = new Room(policy, limit, 0);
  }

  /** Resolves when each session's buffer has each of its messages, or the policy has been applied. */
  async write(messages: Batch, signal: AbortSignal): Promise<WriteResult> {
    const { batch, firsts, refusals } = framesOf(this.#framer, messages, this.#audience.apart(messages));
    const { payloads, runs } = batch;
    const corks = payloads.length > 1 ? new Corks() : undefined;
    let noValue = 0;
    let nobody = 0;
    let slow = 0;
    let run = 0;
    let turned = performance.now();
    try {
      for (const [index, payload] of payloads.entries()) {
        if (performance.now() - turned > LONGEST_STRETCH) {
          await corks!.turn(signal);
          turned = performance.now();
        }
        while (runs[run + 1] !== undefined && runs[run + 1]!.start <= index) run++;
        // All messages of a frame are for the same sessions.
        const first = firsts?.[index] ?? index;
        const own = firsts === undefined ? runs[run]! : messages.runAt(first);
        const sessions = this.#audience.of(messages, first, own);
        if (sessions === undefined) {
          noValue++;
          continue;
        }
        let kept: Uint8Array | undefined;
        let binary: boolean | undefined;
        for (const session of sessions) {
          if (!session.open) continue;
          binary ??= isBinary(batch, runs[run], payload);
          if (!this.#room.has(session, payload.length)) {
            await this.#room.make(session, payload.length, corks, signal);
            if (!session.open) {
              slow++;
              continue;
            }
          }
          if (session.outgoing.waiting > 0) kept ??= compact(payload);
          slow += this.#send(session, kept ?? payload, binary, isJson(batch, runs[run]), corks);
        }
        if (binary === undefined) nobody++;
      }
    } finally {
      corks?.release();
      if (noValue > 0) this.#events.messagesDropped('no_value', noValue);
      if (nobody > 0) this.#events.messagesDropped('nobody', nobody);
      if (slow > 0) this.#events.messagesDropped('slow_consumer', slow);
    }
    return { refused: refusals };
  }

  /** @returns how many messages it dropped for it */
  #send(
    session: OpenSession,
    payload: Uint8Array,
    binary: boolean,
    json: boolean | undefined,
    corks: Corks | undefined,
  ): number {
    const { outgoing } = session;
    if (!this.#room.dropping) {
      corks?.hold(outgoing);
      outgoing.send(payload, binary, json);
      return 0;
    }
    const { sent } = outgoing;
    const dropped = outgoing.sendDropping(payload, binary, this.#room.limitOf(session), json);
    if (outgoing.sent > sent) corks?.hold(outgoing);
    return dropped;
  }
}

import type { Context } from '../../../component/context.ts';
import type { Output, WriteCall, WriteResult } from '../../../component/contracts.ts';
import { framesOf, messagesOf, type Framer, type Frames } from '../../../component/framing/framer.ts';
import { openFramer } from '../../../component/framing/open-framing.ts';
import type { OpenSession, SessionDirectory } from '../../../component/sessions.ts';
import { declareErrors, MillraceError, type Rejection } from '../../../errors.ts';
import type { Batch, Run } from '../../../message/batch.ts';
import { metaText } from '../../../message/metadata.ts';
import type { ComponentEvents } from '../../../telemetry/events.ts';
import type { ReplyOutputConfig } from './config.ts';
import { Corks } from './corks.ts';
import { compact, isBinary, isJson } from './frames.ts';
import { Room } from './room.ts';

/** The code for a message whose session has closed. */
export const sessionErrors = declareErrors({
  MILLRACE_SESSION_CLOSED: {
    help: 'The WebSocket session of a message is no longer open. The message went to `error_output`.',
    told: 'the session that the message is for is no longer open',
  },
});

/** One session's share of a batch: the messages' places, and the session's count after each. */
interface Sent {
  readonly places: number[];
  readonly counts: number[];
}

/** Sends each message to the session that it came from. */
export class WebSocketReplyOutput implements Output {
  readonly toClients = true;
  readonly #sessions: SessionDirectory;
  readonly #events: ComponentEvents;
  readonly #room: Room;
  readonly #framer: Framer | undefined;

  constructor(config: ReplyOutputConfig, context: Context) {
    this.#sessions = context.sessions;
    this.#events = context.events;
    const { slow_consumer: policy, max_outgoing_bytes: limit, slow_timeout: patience } = config;
    this.#framer = openFramer(config, context);
    this.#room = new Room(policy, limit, patience);
    context.sessions.attach(undefined);
  }

  connect(): Promise<void> {
    return Promise.resolve();
  }

  async write(messages: Batch, { signal }: WriteCall): Promise<WriteResult> {
    const frames = framesOf(this.#framer, messages, (index) => messages.extAt(index, 'session_id'));
    const refused = await this.#send(messages, frames, signal);
    const refusals = [
      ...frames.refusals,
      ...refused.flatMap(({ index, error }) =>
        messagesOf(frames, index, messages.length).map((each) => ({ index: each, error })),
      ),
    ];
    return { refused: refusals };
  }

  /** Sends frames, and returns the messages that have no session. */
  async #send(
    messages: Batch,
    { batch, firsts }: Frames,
    signal: AbortSignal,
  ): Promise<readonly Rejection[]> {
    const { payloads, runs } = batch;
    const refusals: Rejection[] = [];
    const sent = new Map<OpenSession, Sent>();
    const corks = new Corks();
    let dropped = 0;
    let run = 0;
    try {
      for (const [index, payload] of payloads.entries()) {
        while (runs[run + 1] !== undefined && runs[run + 1]!.start <= index) run++;
        // All messages of a frame are for one session.
        const first = firsts?.[index] ?? index;
        const session = this.#find(
          messages,
          first,
          firsts === undefined ? runs[run]! : messages.runAt(first),
        );
        if (session instanceof MillraceError) {
          refusals.push({ index, error: session });
          continue;
        }
        if (!this.#room.has(session, payload.length)) {
          await this.#room.make(session, payload.length, corks, signal);
        }
        if (!session.open) {
          refusals.push({ index, error: closed(session.id) });
          continue;
        }
        const { outgoing } = session;
        const binary = isBinary(batch, runs[run], payload);
        const json = isJson(batch, runs[run]);
        const kept = outgoing.waiting > 0 ? compact(payload) : payload;
        corks.hold(outgoing);
        if (this.#room.dropping) {
          dropped += outgoing.sendDropping(kept, binary, this.#room.limitOf(session), json);
          continue;
        }
        outgoing.send(kept, binary, json);
        const known = sent.get(session);
        if (known === undefined) sent.set(session, { places: [index], counts: [outgoing.sent] });
        else {
          known.places.push(index);
          known.counts.push(outgoing.sent);
        }
      }
    } finally {
      corks.release();
      if (dropped > 0) this.#events.messagesDropped('slow_consumer', dropped);
    }
    await this.#confirm(sent, refusals, signal);
    return refusals;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** The session to reply to, or why there is none. */
  #find(batch: Batch, index: number, run: Run): OpenSession | MillraceError {
    const id = batch.extAt(index, 'session_id', run);
    if (id === undefined) {
      return new MillraceError(
        'MILLRACE_OUTPUT_REFUSED',
        'the message has no session_id in its __meta_ext, so there is nobody to reply to: it did not come from a WebSocket, or a processor removed the entry (an SQL query keeps it when it selects * or __meta_ext)',
      );
    }
    const session = this.#sessions.get(metaText(id));
    return session?.open === true ? session : closed(metaText(id));
  }

  /** Waits until the system has taken everything; messages that it will not take are refused. */
  async #confirm(
    sent: ReadonlyMap<OpenSession, Sent>,
    refusals: Rejection[],
    signal: AbortSignal,
  ): Promise<void> {
    const { patience } = this.#room;
    const deadline = patience === undefined ? undefined : performance.now() + patience;
    for (const [session, { places, counts }] of sent) {
      const { outgoing } = session;
      const last = counts.at(-1)!;
      if (outgoing.written >= last) continue;
      const left = deadline === undefined ? undefined : Math.max(1, deadline - performance.now());
      if (await outgoing.until(() => outgoing.written >= last, signal, left)) continue;
      session.tooSlow();
      for (const [at, index] of places.entries()) {
        if (counts[at]! > outgoing.written) refusals.push({ index, error: closed(session.id) });
      }
    }
  }
}

function closed(id: string): MillraceError {
  return new MillraceError(sessionErrors.MILLRACE_SESSION_CLOSED, `session ${id} is no longer open`);
}

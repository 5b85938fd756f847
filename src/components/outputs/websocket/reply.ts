import type { Output, OutputContext } from '../../../component/contracts.ts';
import type { OpenSession, SessionDirectory, SlowConsumer } from '../../../component/sessions.ts';
import { MessagesRefusedError, MillraceError, type Rejection } from '../../../errors.ts';
import type { Batch, Run } from '../../../message/batch.ts';
import type { ComponentEvents } from '../../../telemetry/events.ts';
import type { WebSocketOutputConfig } from './config.ts';
import { Corks } from './corks.ts';
import { compact, isBinary } from './frames.ts';

const SLOW_TIMEOUT = 5_000;

/** What one session was sent of a batch: the messages' places, and what it had been sent in all with each. */
interface Sent {
  readonly places: number[];
  readonly counts: number[];
}

/** Sends each message to the session that it came from. */
export class WebSocketReplyOutput implements Output {
  readonly #sessions: SessionDirectory;
  readonly #events: ComponentEvents;
  readonly #policy: SlowConsumer;
  readonly #limit: number | undefined;
  /** How long a session may take, in milliseconds; undefined is for ever. */
  readonly #patience: number | undefined;

  constructor(config: WebSocketOutputConfig, context: OutputContext) {
    this.#sessions = context.sessions;
    this.#events = context.events;
    this.#policy = config.slow_consumer ?? 'disconnect';
    this.#limit = config.outgoing_buffer;
    this.#patience = this.#policy === 'disconnect' ? (config.slow_timeout ?? SLOW_TIMEOUT) : undefined;
    context.sessions.attach(undefined);
  }

  connect(): Promise<void> {
    return Promise.resolve();
  }

  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    const { payloads, runs } = batch;
    const refusals: Rejection[] = [];
    const sent = new Map<OpenSession, Sent>();
    const corks = new Corks();
    let dropped = 0;
    let run = 0;
    try {
      for (const [index, payload] of payloads.entries()) {
        while (runs[run + 1] !== undefined && runs[run + 1]!.start <= index) run++;
        const session = this.#find(runs[run]!);
        if (session instanceof MillraceError) {
          refusals.push({ index, error: session });
          continue;
        }
        if (!this.#hasRoom(session, payload)) await this.#makeRoom(session, payload, corks, signal);
        if (!session.open) {
          refusals.push({ index, error: closed(session.id) });
          continue;
        }
        const { outgoing } = session;
        const binary = isBinary(batch, runs[run], payload);
        const kept = outgoing.waiting > 0 ? compact(payload) : payload;
        corks.hold(outgoing);
        if (this.#policy === 'drop_oldest') {
          dropped += outgoing.sendDropping(kept, binary, this.#limitOf(session));
          continue;
        }
        outgoing.send(kept, binary);
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
    if (refusals.length > 0) throw new MessagesRefusedError(refusals);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** The session to reply to, or why there is none. */
  #find({ origin: { ext } }: Run): OpenSession | MillraceError {
    const id = Object.hasOwn(ext, 'session_id') ? ext['session_id'] : undefined;
    if (id === undefined) {
      return new MillraceError(
        'MILLRACE_OUTPUT_REFUSED',
        'the message has no session_id in its __meta_ext, so there is nobody to reply to: it did not come from a WebSocket, or a processor left it out (an SQL query keeps it when it selects * or __meta_ext)',
      );
    }
    const session = this.#sessions.get(id);
    return session?.open === true ? session : closed(id);
  }

  #limitOf(session: OpenSession): number {
    return this.#limit ?? session.outgoingLimit;
  }

  #hasRoom(session: OpenSession, payload: Uint8Array): boolean {
    const dropping = this.#policy === 'drop_oldest';
    return session.outgoing.hasRoom(payload.length, this.#limitOf(session), dropping);
  }

  async #makeRoom(
    session: OpenSession,
    payload: Uint8Array,
    corks: Corks,
    signal: AbortSignal,
  ): Promise<void> {
    // What it has not taken may be what it has only just been handed.
    if (corks.holds(session.outgoing)) await corks.turn(signal);
    const hasRoom = (): boolean => this.#hasRoom(session, payload);
    if (this.#policy === 'drop_oldest' || hasRoom()) return;
    corks.release();
    if (!(await session.outgoing.until(hasRoom, signal, this.#patience))) session.tooSlow();
  }

  /** Waits until the system has taken everything; what it will not take is refused. */
  async #confirm(
    sent: ReadonlyMap<OpenSession, Sent>,
    refusals: Rejection[],
    signal: AbortSignal,
  ): Promise<void> {
    const deadline = this.#patience === undefined ? undefined : performance.now() + this.#patience;
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
  return new MillraceError('MILLRACE_SESSION_CLOSED', `session ${id} is not open any more`);
}

import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { Budget } from '../component/budget.ts';
import { Inbox } from '../component/inbox.ts';
import type { SessionDirectory } from '../component/sessions.ts';
import { createAck } from '../message/ack.ts';
import type { Batch, Origin } from '../message/batch.ts';
import type { ComponentEvents } from '../telemetry/events.ts';
import { CLOSE_TIMEOUT } from './client/dial.ts';
import { deadPeer, violation, type Ending } from './ending.ts';
import { Keepalive } from './keepalive.ts';
import { Session, holds } from './session.ts';

export interface SessionsOptions {
  readonly budget: Budget;
  readonly events: ComponentEvents;
  readonly directory: SessionDirectory;
  /** The path under which the directory knows them. */
  readonly path: string;
  /** Milliseconds. */
  readonly pingInterval: number;
  readonly pingTimeout: number;
  /** The part of the budget that one session may fill; 1 is all of it. */
  readonly share: number;
  /** Also tells of opened and closed sessions, each as a message. */
  readonly lifecycleEvents: boolean;
  /** Sees every message that a session sends; `size` in bytes. */
  readonly received?: (session: Session, size: number) => void;
  /** Called after each connection's end. */
  readonly closed: (session: Session, ending: Ending) => void;
}

/** How often a close that waits for its peers looks at the clock, in milliseconds. */
const CLOSING_TICK = 250;

/** The open connections of an input: what they send goes into one inbox, and they pause together when it is full. */
export class Sessions {
  readonly inbox: Inbox;
  readonly #options: SessionsOptions;
  readonly #open = new Map<Origin, Session>();
  readonly #keepalive: Keepalive<Session>;
  readonly #unsubscribe: () => void;
  #closing: NodeJS.Timeout | undefined;

  constructor(options: SessionsOptions) {
    this.#options = options;
    const { budget } = options;
    this.inbox = new Inbox(budget);
    this.#keepalive = new Keepalive({
      interval: options.pingInterval,
      timeout: options.pingTimeout,
      dead: (session) => session.cut(deadPeer),
    });
    this.#unsubscribe = budget.onChange({
      full: () => {
        this.#keepalive.suspend(true);
        for (const session of this.#open.values()) session.hold(holds.budget);
      },
      room: () => {
        this.#keepalive.suspend(false);
        for (const session of this.#open.values()) session.release(holds.budget);
      },
    });
  }

  get size(): number {
    return this.#open.size;
  }

  [Symbol.iterator](): Iterator<Session> {
    return this.#open.values();
  }

  /** Takes over a socket that has just opened; `ext` describes it in `__meta_ext`. */
  add(socket: WebSocket, connection: Socket, source: string, ext: Readonly<Record<string, string>>): Session {
    const { budget, events, directory, path, share, lifecycleEvents, received, closed } = this.#options;
    const session = new Session(socket, connection, source, ext);
    const { inbox } = this;
    const details = { session_id: session.id, remote_address: session.remoteAddress };
    socket.on('message', (data, isBinary) => {
      const payload = data as Buffer;
      received?.(session, payload.length);
      if (session.intercepts.length > 0 && session.intercepted(payload, isBinary)) return;
      session.sequence++;
      inbox.push(payload, session.origin, session.sequence, isBinary ? 'binary' : 'text');
      if (share < 1) this.#count(session, 1, payload.length);
    });
    let impatience: NodeJS.Timeout | undefined;
    socket.on('error', (error) => {
      session.ours ??= violation(error);
      impatience ??= setTimeout(() => socket.terminate(), CLOSE_TIMEOUT);
    });
    const leave = directory.add(path, session);
    socket.on('close', (code, reason) => {
      clearTimeout(impatience);
      this.#open.delete(session.origin);
      this.#keepalive.remove(session);
      leave();
      const ending = session.ours ?? { code, reason: reason.toString() };
      events.connectionClosed({ ...ending, ...details });
      if (lifecycleEvents) this.#tell(session, 'closed', ending);
      closed(session, ending);
    });
    this.#open.set(session.origin, session);
    this.#keepalive.add(session);
    events.connectionOpened(details);
    if (lifecycleEvents) this.#tell(session, 'opened');
    if (budget.full) session.hold(holds.budget);
    return session;
  }

  /** As `Input.read`. */
  async read(signal: AbortSignal): Promise<Batch> {
    const batch = await this.inbox.read(signal);
    return this.#options.share < 1 ? this.#counted(batch) : batch;
  }

  /**
   * Closes every connection with `code`; what peers send until they answer is still taken in. They have `timeout`
   * milliseconds to answer, which stand still while we don't read: what they sent before must not be lost because an
   * output is slow.
   */
  closeAll(code: number, reason: string, timeout = CLOSE_TIMEOUT): void {
    for (const session of this.#open.values()) session.close(code, reason);
    let left = timeout;
    this.#closing ??= setInterval(() => {
      if (!this.#options.budget.full) left -= CLOSING_TICK;
      if (left <= 0) this.#terminateAll();
    }, CLOSING_TICK);
  }

  dispose(): void {
    clearInterval(this.#closing);
    this.#unsubscribe();
    this.#terminateAll();
  }

  #terminateAll(): void {
    for (const { socket } of this.#open.values()) socket.terminate();
  }

  /** A session that fills its share of the budget waits by itself, so that it does not make the others wait. */
  #count(session: Session, messages: number, bytes: number): void {
    session.messages += messages;
    session.bytes += bytes;
    const { budget, share } = this.#options;
    const filled = Math.max(session.messages / budget.limits.messages, session.bytes / budget.limits.bytes);
    if (messages > 0 && filled >= share) session.hold(holds.share);
    else if (messages < 0 && filled <= share / 2) session.release(holds.share);
  }

  #counted(batch: Batch): Batch {
    const parts: { origin: Origin; messages: number; bytes: number }[] = [];
    for (const [index, { origin, start }] of batch.runs.entries()) {
      const end = batch.runs[index + 1]?.start ?? batch.length;
      let bytes = 0;
      for (let at = start; at < end; at++) bytes += batch.payloads[at]!.length;
      const last = parts.at(-1);
      if (last?.origin === origin) {
        last.messages += end - start;
        last.bytes += bytes;
      } else parts.push({ origin, messages: end - start, bytes });
    }
    return batch.withAck(
      createAck((error) => {
        if (error !== undefined) return batch.ack.nack(error);
        for (const { origin, messages, bytes } of parts) {
          const session = this.#open.get(origin);
          if (session !== undefined) this.#count(session, -messages, -bytes);
        }
        batch.ack.ack();
      }),
    );
  }

  #tell(session: Session, event: 'opened' | 'closed', ending?: Ending): void {
    const text = JSON.stringify({
      event: `session_${event}`,
      session_id: session.id,
      ...ending,
      ...session.ext,
    });
    const { source, ext } = session.origin;
    this.inbox.push(Buffer.from(text), { source, ext: { ...ext, event } });
  }
}

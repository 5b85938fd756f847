import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import type { Budget } from '../component/budget.ts';
import type { Unframer } from '../component/framing/unframer.ts';
import { Inbox } from '../component/inbox.ts';
import type { MillraceError } from '../errors.ts';
import type { SessionDirectory } from '../component/sessions.ts';
import type { Origin } from '../message/batch.ts';
import type { InputDelivery } from '../message/delivery.ts';
import { extText, type Ext } from '../message/metadata.ts';
import { relayReceipt } from '../message/receipt.ts';
import type { ComponentEvents } from '../telemetry/events.ts';
import type { Acknowledger } from './ack/acknowledger.ts';
import { limitControlFrames } from './control-frames.ts';
import type { Dialect, Incoming } from './dialect.ts';
import type { Ending } from './ending.ts';
import { forEachMessage } from './framed.ts';
import { Inflation } from './inflation.ts';
import { Keepalive } from './keepalive.ts';
import { atExpiry } from './server/expiry.ts';
import { IdleTimeout } from './server/idle.ts';
import { RateLimit, type Rate } from './server/rate-limit.ts';
import { Session, holds, type SessionOwner } from './session.ts';
import { CLOSE_TIMEOUT } from './timeouts.ts';

export interface SessionsOptions {
  readonly budget: Budget;
  /** Messages that windows and buffers of the stream hold, besides those in the budget. */
  readonly state?: { readonly messages: number };
  readonly events: ComponentEvents;
  readonly directory: SessionDirectory;
  /** The path under which the directory lists them. */
  readonly path: string;
  /** Milliseconds. */
  readonly pingInterval: number;
  readonly pingTimeout: number;
  /** The part of the budget that one session may fill; undefined if there is only one session, or no budget applies. */
  readonly share: number | undefined;
  /** Whether opened and closed sessions become messages, too. */
  readonly lifecycleEvents: boolean;
  /** Splits their frames into messages. */
  readonly unframer?: Unframer | undefined;
  /** Confirms messages to their senders. */
  readonly acknowledger?: Acknowledger | undefined;
  /** The rate at which each session may send. */
  readonly rate?: Rate | undefined;
  /** How long a session may send no message before it is closed, in milliseconds. */
  readonly idleTimeout?: number | undefined;
  /** The bytes that outputs may have waiting for one session. */
  readonly outgoingLimit?: number | undefined;
  /** Sends the first message that a session gets. */
  readonly welcome?: ((session: Session) => void) | undefined;
  /** Sees every message that a session sends; `size` in bytes. */
  readonly received?: (session: Session, size: number) => void;
  /** Called for each numbered message once it waits to be read. */
  readonly arrived?: (() => void) | undefined;
  /** Called after each connection's end. */
  readonly closed: (session: Session, ending: Ending) => void;
}

/** How often a close that waits for its peers checks the clock, in milliseconds. */
const CLOSING_TICK = 250;

/** How often a drain checks whether everything is confirmed, in milliseconds. */
const SETTLING_TICK = 10;

/** The most session messages while the budget is full; then no session may open. Ends of open ones come on top. */
const MAX_EVENTS = 1_000;
const MAX_EVENT_BYTES = 1024 * 1024;

const idle: Ending = { code: 1008, reason: 'idle' };
const expired: Ending = { code: 1008, reason: 'credentials expired' };

/** The open connections of an input. They send into one inbox, and pause together when it is full. */
export class Sessions {
  readonly inbox: Inbox;
  readonly #options: SessionsOptions;
  readonly #open = new Map<Origin, Session>();
  /** The sessions of the origins that a dialect gives to messages. */
  readonly #others = new WeakMap<Origin, Session>();
  readonly #keepalive: Keepalive;
  readonly #inflation = new Inflation();
  readonly #rate: RateLimit | undefined;
  readonly #idle: IdleTimeout | undefined;
  readonly #unsubscribe: () => void;
  #closing: NodeJS.Timeout | undefined;
  #emptied: PromiseWithResolvers<void> | undefined;
  /** The number of session messages since the budget became full. */
  #events = 0;
  #eventBytes = 0;

  constructor(options: SessionsOptions) {
    this.#options = options;
    const { budget } = options;
    this.inbox = new Inbox(budget);
    this.#keepalive = new Keepalive({
      interval: options.pingInterval,
      timeout: options.pingTimeout,
      held: (session) => this.#peek(session),
    });
    this.#rate = options.rate && new RateLimit(options.rate);
    this.#idle =
      options.idleTimeout === undefined
        ? undefined
        : new IdleTimeout(options.idleTimeout, (session) => session.expel(idle, CLOSE_TIMEOUT));
    this.#unsubscribe = budget.onChange({
      // A session with nothing waiting is read until it has something: it may only want to listen, or to leave.
      full: () => {
        for (const session of this.#open.values()) if (this.#hasWaiting(session)) session.hold(holds.budget);
      },
      exhausted: () => {
        for (const session of this.#open.values()) session.hold(holds.budget);
      },
      room: () => {
        this.#events = 0;
        this.#eventBytes = 0;
        for (const session of this.#open.values()) session.release(holds.budget);
      },
    });
  }

  get size(): number {
    return this.#open.size;
  }

  /** Whether too many sessions have come and gone while the budget was full: then none should open. */
  get tooMuchToTell(): boolean {
    return this.#events >= MAX_EVENTS || this.#eventBytes >= MAX_EVENT_BYTES;
  }

  [Symbol.iterator](): Iterator<Session> {
    return this.#open.values();
  }

  /**
   * Takes over a socket that has just opened. `ext` describes it in `__meta_ext`; `expires` is when its credentials do,
   * in milliseconds since the epoch.
   */
  add(
    socket: WebSocket,
    connection: Socket,
    source: string,
    ext: Ext,
    expires?: number,
    dialect?: Dialect<Session>,
  ): Session {
    const { budget, events, directory, path, lifecycleEvents, outgoingLimit, acknowledger } = this.#options;
    const session = new Session(socket, connection, source, ext, dialect);
    if (outgoingLimit !== undefined) session.outgoingLimit = outgoingLimit;
    // A client that speaks a dialect is answered in it.
    if (dialect === undefined) acknowledger?.add(session);
    this.#rate?.add(session);
    this.#inflation.guard(session);
    limitControlFrames(session);
    session.listen(this.#owner);
    const isNew = dialect?.attach(session) ?? true;
    if (isNew) this.#options.welcome?.(session);
    if (expires !== undefined) {
      const forget = atExpiry(expires, () => session.expel(expired, CLOSE_TIMEOUT));
      socket.once('close', forget);
    }
    if (dialect === undefined) directory.add(path, session);
    this.#open.set(session.origin, session);
    this.#keepalive.add(session);
    this.#idle?.add(session);
    events.connectionOpened(detailsOf(session));
    if (lifecycleEvents) this.#tell(session, 'session_opened');
    if (budget.exhausted) session.hold(holds.budget);
    return session;
  }

  /** Takes in a message that a dialect has parsed. */
  take(session: Session, { payload, origin, sequence, messageType }: Incoming): void {
    session.sequence = sequence;
    if (!this.#others.has(origin)) this.#others.set(origin, session);
    const held = this.inbox.push(payload, origin, sequence, messageType);
    this.#options.arrived?.();
    this.#taken(session, held);
  }

  /** As `Input.read`. */
  async read(signal: AbortSignal): Promise<InputDelivery> {
    const { acknowledger, share } = this.#options;
    const delivery = await this.inbox.read(signal);
    const counted = share === undefined ? delivery : this.#counted(delivery, share);
    // The replies are sent before there is room for more messages, and before a drain finds everything confirmed.
    return acknowledger === undefined ? counted : acknowledger.track(counted);
  }

  /**
   * Closes every connection with `code`. Messages that peers send until they answer are still taken in, unless they
   * wait for acknowledgements. Peers have `timeout` milliseconds to answer. The clock stops while we don't read: a slow
   * output must not lose messages that were sent before.
   */
  closeAll(code: number, reason: string, timeout = CLOSE_TIMEOUT): void {
    this.#keepalive.closeTimeout = timeout;
    for (const session of this.#open.values()) {
      session.close(code, reason);
      session.release(holds.drain);
      this.#leaveWhenAnswered(session);
    }
    let left = timeout;
    this.#closing ??= setInterval(() => {
      if (!this.#options.budget.full) left -= CLOSING_TICK;
      if (left <= 0) this.#terminateAll();
    }, CLOSING_TICK);
  }

  /** Ends the connection of a peer that has answered the close: it could leave its side of TCP open for ever. */
  #leaveWhenAnswered(session: Session): void {
    const { connection } = session;
    // `ws` ends our side when both have sent a close frame.
    if (connection.writableFinished) session.terminate();
    else connection.once('finish', () => session.terminate());
  }

  /** Whether a connection may still wait for something: an acknowledgement, or an output's answer. */
  get awaited(): boolean {
    const { acknowledger, directory, path } = this.#options;
    return acknowledger !== undefined || directory.attached(path) || this.#unconfirmed();
  }

  /**
   * Stops reading, and resolves when all messages taken in are confirmed, when nobody is left who could wait for an
   * answer, or after `timeout` milliseconds. Then `closeAll` can be called.
   */
  async settle(timeout: number, signal: AbortSignal): Promise<void> {
    for (const session of this.#open.values()) session.hold(holds.drain);
    const deadline = performance.now() + timeout;
    const { budget, state, directory, path } = this.#options;
    const attached = directory.attached(path);
    while (this.#open.size > 0 && performance.now() < deadline) {
      const held = budget.messages + (state?.messages ?? 0);
      if (!(attached && held > 0) && !this.#unconfirmed()) return;
      await pause(SETTLING_TICK, undefined, { signal });
    }
  }

  /** The same for one session, which is then read again. */
  async settleOne(session: Session, timeout: number, signal: AbortSignal): Promise<void> {
    session.hold(holds.drain);
    const deadline = performance.now() + timeout;
    while ((session.ledger?.pending ?? 0) > 0 && session.open && performance.now() < deadline) {
      await pause(SETTLING_TICK, undefined, { signal });
    }
    session.release(holds.drain);
  }

  #unconfirmed(): boolean {
    for (const session of this.#open.values()) if (session.awaitsUs) return true;
    return false;
  }

  /** Cuts every connection, and resolves when all have closed: until then they count in metrics. */
  async dispose(): Promise<void> {
    clearInterval(this.#closing);
    this.#unsubscribe();
    if (this.#open.size === 0) return;
    this.#emptied ??= Promise.withResolvers();
    this.#terminateAll();
    await this.#emptied.promise;
  }

  #terminateAll(): void {
    for (const session of this.#open.values()) session.terminate();
  }

  #taken(session: Session, bytes: number): void {
    const { budget, share } = this.#options;
    if (share !== undefined) this.#count(session, share, 1, bytes);
    if (budget.full) session.hold(holds.budget);
  }

  #hasWaiting(session: Session): boolean {
    return this.#options.share === undefined || session.messages > 0;
  }

  /**
   * Reads a session until its next message, though it waits for room: the answer to a ping, or the end of the session,
   * may come after the data that it sent.
   */
  #peek(session: Session): void {
    if (!this.#options.budget.exhausted) session.release(holds.budget | holds.share);
  }

  /** Makes a session that fills its share of the budget wait by itself, so that the others need not wait. */
  #count(session: Session, share: number, messages: number, bytes: number): void {
    session.messages += messages;
    session.bytes += bytes;
    if (messages > 0) {
      if (this.#filled(session) >= share) session.hold(holds.share);
    } else if (session.isHeld(holds.share) && this.#filled(session) <= share / 2)
      setImmediate(this.#releaseShare, session, share);
  }

  /** The part of the budget that a session fills. */
  #filled({ messages, bytes }: Session): number {
    const { limits } = this.#options.budget;
    return Math.max(messages / limits.messages, bytes / limits.bytes);
  }

  /**
   * Runs in the next turn of the event loop: Node reads a socket up to 32 times per turn, and a session released within
   * a turn would get all of them before the others get one.
   */
  readonly #releaseShare = (session: Session, share: number): void => {
    if (this.#filled(session) <= share / 2) session.release(holds.share);
  };

  #counted(delivery: InputDelivery, share: number): InputDelivery {
    const { batch, receipt } = delivery;
    const parts: { origin: Origin; messages: number; bytes: number }[] = [];
    for (const [index, { origin, start }] of batch.runs.entries()) {
      const end = batch.runs[index + 1]?.start ?? batch.length;
      let bytes = origin.size ?? 0;
      for (let at = start; at < end; at++) bytes += batch.payloads[at]!.length;
      const last = parts.at(-1);
      if (last?.origin === origin) {
        last.messages += end - start;
        last.bytes += bytes;
      } else parts.push({ origin, messages: end - start, bytes });
    }
    let counts = true;
    const release = (): void => {
      if (!counts) return;
      counts = false;
      for (const { origin, messages, bytes } of parts) {
        const session = this.#open.get(origin) ?? this.#others.get(origin);
        if (session !== undefined) this.#count(session, share, -messages, -bytes);
      }
    };
    const settled = (error: unknown): void => {
      if (error === undefined) release();
    };
    return { ...delivery, receipt: relayReceipt(receipt, settled, release) };
  }

  readonly #owner: SessionOwner = {
    message: (session, payload, binary) => {
      // It can no longer be confirmed, so its sender sends it again: taken in now, it would be delivered twice.
      if (session.ledger !== undefined && !session.open) return;
      const { unframer } = this.#options;
      // A dialect defines its own messages.
      if (unframer === undefined || session.dialect !== undefined)
        return this.#message(session, payload, binary, binary);
      this.#frame(session, unframer, payload, binary);
    },
    failed: (session) => session.expectClose(CLOSE_TIMEOUT),
    closed: (session, ending) => {
      const { events, directory, path, lifecycleEvents, closed } = this.#options;
      this.#open.delete(session.origin);
      session.dialect?.closed(session, ending);
      this.#keepalive.remove(session);
      this.#idle?.remove(session);
      this.#rate?.remove(session);
      if (session.dialect === undefined) directory.remove(path, session);
      events.connectionClosed({ ...ending, ...detailsOf(session) });
      if (lifecycleEvents) this.#tell(session, 'session_closed', ending);
      closed(session, ending);
      if (this.#open.size === 0) this.#emptied?.resolve();
    },
  };

  #message(
    session: Session,
    payload: Buffer,
    binary: boolean,
    hidden: boolean,
    refused?: MillraceError,
  ): void {
    if (this.#rate?.take(session, payload.length) === false) return;
    this.#options.received?.(session, payload.length);
    if (session.intercepted(payload, hidden)) return;
    if (session.dialect !== undefined) return session.dialect.message(session, payload, binary);
    session.sequence++;
    const type = binary ? 'binary' : 'text';
    const held = this.inbox.push(payload, session.origin, session.sequence, type, refused);
    session.ledger?.arrived();
    this.#options.arrived?.();
    this.#taken(session, held);
  }

  #frame(session: Session, unframer: Unframer, frame: Buffer, binary: boolean): void {
    const count = forEachMessage(unframer, frame, binary, (message, hidden, refused) =>
      this.#message(session, message, binary || unframer.binary, hidden, refused),
    );
    if (count > 0) return;
    // A frame without messages is a sign of life, and counts for the rate.
    if (this.#rate?.take(session, frame.length) !== false) session.intercepted(frame, binary);
  }

  #tell(session: Session, event: 'session_opened' | 'session_closed', ending?: Ending): void {
    const payload = Buffer.from(JSON.stringify({ event, ...session.ext, ...ending }));
    const { source, ext } = session.origin;
    if (this.#options.budget.full) {
      this.#events++;
      this.#eventBytes += payload.length;
    }
    this.inbox.push(payload, { source, ext: { ...ext, event } });
  }
}

function detailsOf(session: Session): { session_id: string; remote_address: string; subject?: string } {
  const { id: session_id, remoteAddress: remote_address } = session;
  const subject = extText(session.ext, 'subject');
  return { session_id, remote_address, ...(subject !== undefined && { subject }) };
}

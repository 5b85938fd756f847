import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { RawData, WebSocket } from 'ws';
import type { OpenSession } from '../component/sessions.ts';
import type { Origin } from '../message/batch.ts';
import { extText, type Ext } from '../message/metadata.ts';
import type { Dialect } from './dialect.ts';
import { violation, type Ending } from './ending.ts';
import { Outbox } from './outbox.ts';

/** Why a session is not read. */
export const holds = {
  /** The stream's budget is full. */
  budget: 1,
  /** It fills its share of the budget. */
  share: 2,
  /** It sends more than its rate. */
  rate: 4,
  /** The stream is ending, and first finishes the messages that it has. */
  drain: 8,
  /** It floods pings or pongs. */
  control: 16,
  /** Too many of its messages wait for their acknowledgement. */
  unconfirmed: 32,
  /** It does not read the acknowledgements that it gets. */
  replies: 64,
} as const;

/** The bytes that may wait for a connection whose configuration has no `limits.outgoing_bytes`. */
const OUTGOING_LIMIT = 1024 * 1024;

/** How long a peer that was too slow has to take the waiting data and the close frame after it, in milliseconds. */
const TOO_SLOW_GRACE = 5_000;

const tooSlow: Ending = { code: 1008, reason: 'too slow' };

/** Sees a message before it becomes data. Returns true to take it out. */
export type Intercept = (payload: Buffer, binary: boolean) => boolean;

/** A socket's own stream, whose reads `ws` can pause but not hold back entirely. */
interface WithHandle {
  _handle?: { reading: boolean; readStart: () => number; readStop: () => number } | null;
}

/** Receives the events of a session. */
export interface SessionOwner {
  message(session: Session, payload: Buffer, binary: boolean): void;
  /** Its peer broke the protocol, or the socket failed; it is closing. */
  failed?(session: Session): void;
  closed(session: Session, ending: Ending): void;
}

// A separate listener or table entry per session costs as much as the session: with ten thousand idle connections, it
// would be most of the memory. So the listeners are shared, and the socket knows its session.
const SESSION = Symbol('session');

interface WithSession {
  [SESSION]?: Session;
}

/** The session of a socket that has one. */
export function sessionOf(socket: WebSocket): Session {
  return (socket as WebSocket & WithSession)[SESSION]!;
}

function onMessage(this: WebSocket, data: RawData, binary: boolean): void {
  const session = sessionOf(this);
  session.owner!.message(session, data as Buffer, binary);
}

function onError(this: WebSocket, error: Error): void {
  const session = sessionOf(this);
  session.ours ??= violation(error);
  session.owner!.failed?.(session);
}

function onClose(this: WebSocket, code: number, reason: Buffer): void {
  const session = sessionOf(this);
  session.owner!.closed(session, session.ours ?? { code, reason: session.masked(reason.toString()) });
}

const asItIs = (text: string): string => text;

/** One open WebSocket connection, whichever side opened it. */
export class Session implements OpenSession {
  readonly id: string;
  readonly socket: WebSocket;
  readonly connection: Socket;
  readonly origin: Origin;
  /** The ledger of its messages, if they are acknowledged. */
  ledger: { readonly pending: number; arrived(): void } | undefined;
  /** The protocol that its client speaks over WebSocket frames, if any. */
  readonly dialect: Dialect<Session> | undefined;
  /** The number of the last message. */
  sequence = 0;
  /** How we ended it, if we did: the peer broke the protocol or a limit, or is dead. */
  ours: Ending | undefined;
  /** Its messages and bytes in flight, if it has a share. */
  messages = 0;
  bytes = 0;
  /** Undefined until `listen` is called. */
  owner: SessionOwner | undefined;
  /** For a client: its `on_open` is done. Until then it is an attempt, and its end only fails that attempt. */
  established = false;
  /** Masks a client's credentials in texts from the peer. */
  masked = asItIs;
  /** The bytes that outputs may have waiting for it. */
  outgoingLimit = OUTGOING_LIMIT;
  #holds = 0;
  #waiting: (() => void) | undefined;
  #closing = false;
  #impatient = false;
  #outbox: Outbox | undefined;
  #intercepts: Intercept[] | undefined;

  /** `ext` describes it in `__meta_ext`, besides `session_id`. */
  constructor(socket: WebSocket, connection: Socket, source: string, ext: Ext, dialect?: Dialect<Session>) {
    this.id = dialect?.id ?? newId();
    this.dialect = dialect;
    this.socket = socket;
    this.connection = connection;
    this.origin = { source, ext: { session_id: this.id, ...ext } };
    (socket as WebSocket & WithSession)[SESSION] = this;
  }

  /** Sends its events to `owner` from now on. */
  listen(owner: SessionOwner): void {
    this.owner = owner;
    this.socket.on('message', onMessage).on('error', onError).on('close', onClose);
  }

  /** They see each message in this order. Created for the first, because most sessions have none. */
  get intercepts(): Intercept[] {
    this.#intercepts ??= [];
    return this.#intercepts;
  }

  get ext(): Ext {
    return this.origin.ext;
  }

  get remoteAddress(): string {
    return extText(this.origin.ext, 'remote_address') ?? '';
  }

  get open(): boolean {
    return !this.#closing && this.socket.readyState === this.socket.OPEN;
  }

  /** Created for the first message: most sessions of most servers only listen. */
  get outgoing(): Outbox {
    this.#outbox ??= new Outbox(this.socket, this.connection);
    return this.#outbox;
  }

  /**
   * Sends one of our own messages, ahead of those that outputs have waiting and not counted with them. `sent` is called
   * when the system has taken it or never will.
   */
  send(payload: Uint8Array | string, binary: boolean, sent?: () => void): void {
    this.socket.send(payload, { binary }, sent);
  }

  close(code: number, reason: string): void {
    this.dialect?.closing(this, { code, reason });
    this.#closing = true;
    if (this.#outbox === undefined) this.socket.close(code, reason);
    else this.#outbox.finish(() => this.socket.close(code, reason));
  }

  tooSlow(): void {
    if (!this.open) return;
    this.#outbox?.clear();
    this.expel(tooSlow, TOO_SLOW_GRACE);
  }

  /** Closes it because of its peer's behaviour, and reports that when it has closed. */
  end(ending: Ending): void {
    this.dialect?.closing(this, ending);
    this.#closing = true;
    this.ours ??= ending;
    this.socket.close(ending.code, ending.reason);
    this.proceed();
  }

  /** Like `end`, but cuts it if its peer has not answered after `grace` milliseconds. */
  expel(ending: Ending, grace: number): void {
    this.end(ending);
    this.#impatient = false;
    this.expectClose(grace);
  }

  /** Cuts it if it has not closed after `grace` milliseconds. */
  expectClose(grace: number): void {
    if (this.#impatient) return;
    this.#impatient = true;
    const impatience = setTimeout(() => this.terminate(), grace);
    this.socket.once('close', () => clearTimeout(impatience));
  }

  /** Cuts it. */
  cut(ending: Ending): void {
    this.ours ??= ending;
    this.terminate();
  }

  terminate(): void {
    this.socket.terminate();
    // It closes once the data that it has read is handled.
    this.proceed();
  }

  /** Whether an intercept has taken the message out. */
  intercepted(payload: Buffer, binary: boolean): boolean {
    if (this.#intercepts === undefined) return false;
    for (const intercept of this.#intercepts) if (intercept(payload, binary)) return true;
    return false;
  }

  /**
   * Stops reading at once, until every reason is gone. Pausing only the stream lets Node read another 64 KiB into each
   * socket's own buffer, which for thousands of connections exceeds the budget; so the handle stops too.
   */
  hold(reason: number): void {
    const before = this.#holds;
    this.#holds |= reason;
    if (before !== 0) return;
    this.socket.pause();
    const handle = (this.connection as unknown as WithHandle)._handle;
    if (handle?.reading !== true) return;
    handle.reading = false;
    handle.readStop();
  }

  /** Node itself restarts a handle only if its stream was not waiting for data when it was stopped. */
  release(reason: number): void {
    const before = this.#holds;
    this.#holds &= ~reason;
    if (before === 0 || this.#holds !== 0) return;
    this.proceed();
    this.socket.resume();
    const handle = (this.connection as unknown as WithHandle)._handle;
    if (handle?.reading !== false || this.connection.readableEnded) return;
    handle.reading = true;
    if (handle.readStart() !== 0) this.connection.destroy();
  }

  get held(): boolean {
    return this.#holds !== 0;
  }

  /** Whether it is not read for a reason that its peer has not caused. */
  get heldByUs(): boolean {
    return (this.#holds & ~holds.replies) !== 0;
  }

  /** Whether its peer waits for our acknowledgement, and may send nothing until it has it. */
  get awaitsUs(): boolean {
    return ((this.dialect ?? this.ledger)?.pending ?? 0) > 0;
  }

  isHeld(reason: number): boolean {
    return (this.#holds & reason) !== 0;
  }

  /** Calls `act` at once, or when nothing holds it any more. Only one `act` can wait at a time. */
  whenFree(act: () => void): void {
    if (this.#holds === 0 || this.ours !== undefined) act();
    else this.#waiting = act;
  }

  /** Runs the waiting `act`, whatever holds the session. */
  proceed(): void {
    const act = this.#waiting;
    this.#waiting = undefined;
    act?.();
  }
}

/** A flat string: Node returns a tree of parts, which would take 500 bytes for as long as the session lives. */
function newId(): string {
  return Buffer.from(randomUUID()).toString('latin1');
}

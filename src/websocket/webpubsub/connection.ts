import { randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import type { OpenSession, Outgoing } from '../../component/sessions.ts';
import { Contiguous } from '../../delivery/contiguous.ts';
import type { MillraceError } from '../../errors.ts';
import type { Origin } from '../../message/batch.ts';
import { extText, type Ext } from '../../message/metadata.ts';
import type { Dialect, Incoming } from '../dialect.ts';
import type { Ending } from '../ending.ts';
import type { Patience } from '../patience.ts';
import { holds, type Session } from '../session.ts';
import type { Groups, Member } from './groups.ts';
import { PubSubOrigins, type Sender } from './origins.ts';
import type { KeptFrames } from './kept-frames.ts';
import { PlainOutgoing } from './plain-outgoing.ts';
import {
  PONG,
  ackFrame,
  connectedFrame,
  disconnectedFrame,
  duplicateFrame,
  messageFrame,
  type AckError,
  type DataType,
} from './protocol.ts';
import { ReliableOutgoing } from './reliable-outgoing.ts';
import { parseRequest, type AckId, type Request } from './requests.ts';
import type { ServerMessages } from './server-messages.ts';

/** The bytes that may wait for the socket of a client that is still read: one that reads no answers gets none. */
const UNREAD_ANSWERS = 256 * 1024;

/** How long a client that broke the protocol has to answer the close, in milliseconds. */
const CLOSE_GRACE = 5_000;

/**
 * The fraction of its buffer that a group member must take per second to be waited for when the buffer is full. Senders
 * to the group wait meanwhile.
 */
const EXPECTED = 1 / 16;

/** The ranges of a client's numbers that are remembered, 16 KiB in all: a client that counts up needs only one. */
const MAX_RANGES = 1_000;

/** The facts about a connection that are known from the beginning. */
export interface Identity {
  readonly reliable: boolean;
  /** The hub of the path that it belongs to. Other hubs see nothing of its groups. */
  readonly place: string;
  /** The key under which shared limits count it. */
  readonly owner: string;
}

/** Waits of a connection end with it at the latest. */
const never = new AbortController().signal;

/** The services that the connections of one server share. */
export interface HubServices {
  readonly groups: Groups<PubSubConnection>;
  readonly messages: ServerMessages;
  /** Patience with members of groups. */
  readonly patience: Patience;
  /** Takes in a message for the stream. */
  take(session: Session, message: Incoming): void;
  /** Outputs see the connection between `began` and `ended`. */
  began(connection: PubSubConnection): void;
  ended(connection: PubSubConnection): void;
  /** Its socket is gone; it may return on another. */
  lost(connection: PubSubConnection): void;
}

/** A message to a group, kept as small as possible. */
interface GroupMessage {
  readonly name: string;
  readonly type: DataType;
  readonly raw: Uint8Array;
  readonly noEcho: boolean;
}

/** The work to do when a message is confirmed. */
interface Pending {
  readonly ackId: AckId;
  readonly group?: GroupMessage | undefined;
}

/** One connection of Azure Web PubSub's protocol: on one socket, or, if it is reliable, on several in turn. */
export class PubSubConnection implements Dialect<Session>, OpenSession, Member, Sender {
  readonly id = randomUUID();
  readonly reliable: boolean;
  readonly place: string;
  readonly owner: string;
  ext: Ext = {};
  outgoingLimit = 0;
  readonly outgoing: Outgoing;
  readonly #reliable: ReliableOutgoing | undefined;
  readonly #plain: PlainOutgoing | undefined;
  readonly #services: HubServices;
  /** The only proof with which another socket may take over. */
  readonly #token = randomBytes(24).toString('base64url');
  #session: Session | undefined;
  #origins: PubSubOrigins | undefined;
  /** The number of the last message, which continues from one socket to the next. */
  #sequence = 0;
  /** Keyed by message number. The stream's budget bounds it. */
  readonly #pending = new Map<number, Pending>();
  readonly #inFlight = new Set<number>();
  /** The client's numbers that are done. */
  readonly #done = new Contiguous(0, MAX_RANGES);
  /** Settles when all confirmed messages have been passed on. */
  #passing: Promise<void> | undefined;
  /** Settles when it has room, or is slow. */
  #room: Promise<void> | undefined;
  #final = false;
  #ended = false;

  constructor({ reliable, place, owner }: Identity, services: HubServices) {
    this.reliable = reliable;
    this.place = place;
    this.owner = owner;
    this.#services = services;
    if (reliable) this.#reliable = new ReliableOutgoing(services.messages);
    else this.#plain = new PlainOutgoing(() => this.#session!.outgoing, services.messages);
    this.outgoing = (this.#reliable ?? this.#plain)!;
  }

  /** Whether outputs may send to it, which they may even while it has no socket. */
  get open(): boolean {
    if (this.#final || this.#ended) return false;
    return this.reliable || this.#session?.open === true;
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** The subject that the client authenticated as. */
  get userId(): string | undefined {
    return extText(this.ext, 'subject');
  }

  /** Compares in constant time. */
  isToken(token: string): boolean {
    const [given, right] = [Buffer.from(token), Buffer.from(this.#token)];
    return given.length === right.length && timingSafeEqual(given, right);
  }

  attach(session: Session): boolean {
    const before = this.#session;
    const isNew = this.#origins === undefined;
    this.#session = session;
    this.#origins = new PubSubOrigins(session, this);
    if (!isNew) this.#services.ended(this);
    this.ext = session.ext;
    this.outgoingLimit = session.outgoingLimit;
    session.sequence = this.#sequence;
    before?.cut({ code: 1006, reason: 'the client has reconnected on another socket' });
    const reconnectionToken = this.reliable ? this.#token : undefined;
    session.send(connectedFrame({ userId: this.userId, connectionId: this.id, reconnectionToken }), false);
    this.#reliable?.resume(session.outgoing);
    this.#services.began(this);
    return isNew;
  }

  message(session: Session, payload: Uint8Array, binary: boolean): void {
    const request = parseRequest(payload, binary);
    switch (request.kind) {
      case 'event':
      case 'sendToGroup':
        return this.#take(request);
      case 'joinGroup':
      case 'leaveGroup':
        return this.#change(request);
      case 'sequenceAck':
        return this.#reliable?.acknowledge(request.sequenceId);
      case 'ping':
        return this.#answer(PONG);
      case 'refused':
        return this.#answer(ackFrame(request.ackId, request.error));
      case 'answered':
        return this.#answer(request.frame);
      case 'ignored':
        return;
      case 'broken':
        return session.expel({ code: request.code, reason: request.reason }, CLOSE_GRACE);
    }
  }

  send(payload: Uint8Array | string, binary: boolean): void {
    this.outgoing.send(typeof payload === 'string' ? Buffer.from(payload) : payload, binary);
  }

  /** Whether it has room for a frame of `size` bytes; true if it is closed. */
  hasRoom(size: number): boolean {
    return !this.open || this.outgoing.hasRoom(size, this.outgoingLimit);
  }

  /** Resolves when it has room for a frame of `size` bytes, or is closed because it does not take its messages. */
  makeRoom(size: number): Promise<void> {
    this.#room ??= this.#waitForRoom(size).finally(() => (this.#room = undefined));
    return this.#room;
  }

  async #waitForRoom(size: number): Promise<void> {
    const { outgoingLimit: limit } = this;
    // Callers wait for the room of more than one message.
    const roomy = (): boolean => this.hasRoom(size + limit / 2);
    const { patience } = this.#services;
    // After this turn, the sockets have written the data that they were given.
    await setImmediate();
    await setImmediate();
    if (!(await patience.wait(this, roomy, limit * EXPECTED, never))) this.tooSlow();
  }

  confirmed(first: number, last: number): Promise<void> | undefined {
    // Messages that are confirmed later are passed on later.
    const before = this.#passing;
    const passing =
      before === undefined ? this.#pass(first, last) : before.then(() => this.#pass(first, last));
    if (passing === undefined) return undefined;
    const all = passing.finally(() => {
      if (this.#passing === all) this.#passing = undefined;
    });
    this.#passing = all;
    return all;
  }

  /** Passes confirmed messages on to groups, and tells the client. Waits for members that have no room. */
  #pass(first: number, last: number): Promise<void> | undefined {
    const connection = this.#session?.connection;
    connection?.cork();
    try {
      for (let sequence = first; sequence <= last && this.#pending.size > 0; sequence++) {
        const pending = this.#pending.get(sequence);
        if (pending === undefined) continue;
        const { ackId, group } = pending;
        const busy = group && this.#send(group);
        if (busy !== undefined) return Promise.all(busy).then(() => this.#pass(sequence, last));
        this.#pending.delete(sequence);
        if (ackId === undefined) continue;
        this.#inFlight.delete(ackId);
        this.#done.add(ackId);
        this.#answer(ackFrame(ackId));
      }
    } finally {
      connection?.uncork();
    }
    return undefined;
  }

  /** Sends to all in the group; if some have no room, to nobody yet. @returns the waits for room, if any */
  #send({ name, type, raw, noEcho }: GroupMessage): Promise<void>[] | undefined {
    const members = this.#services.groups.of(this.#groupOf(name));
    if (members === undefined) return undefined;
    const frame = messageFrame({ from: 'group', fromUserId: this.userId ?? null, group: name }, type, raw);
    let busy: Promise<void>[] | undefined;
    for (const member of members) {
      if (member.hasRoom(frame.length) || (noEcho && member === this)) continue;
      busy ??= [];
      busy.push(member.makeRoom(frame.length));
    }
    if (busy !== undefined) return busy;
    for (const member of members) if (member.open && !(noEcho && member === this)) member.sendFrame(frame);
    return undefined;
  }

  /** While it is away, `frames` counts the frames that it keeps. */
  keepIn(frames: KeptFrames | undefined): void {
    this.#reliable?.keepIn(frames);
  }

  sendFrame(frame: Buffer): void {
    (this.#reliable ?? this.#plain)!.sendFrame(frame);
  }

  rejected(sequence: number, error: MillraceError): void {
    const { ackId } = this.#pending.get(sequence) ?? {};
    this.#pending.delete(sequence);
    if (ackId === undefined) return;
    // It is not done: a message with the same number is tried again.
    this.#inFlight.delete(ackId);
    this.#answer(ackFrame(ackId, { name: error.code, message: error.told }));
  }

  close(code: number, reason: string): void {
    this.#final = true;
    if (this.#session === undefined) this.end();
    else this.#session.close(code, reason);
  }

  tooSlow(): void {
    this.#final = true;
    if (this.#session === undefined) this.end();
    else this.#session.tooSlow();
  }

  closing(session: Session, { code, reason }: Ending): void {
    if (session !== this.#session || !session.open) return;
    // After 1008 the client begins anew, and never asks for the messages kept for it.
    if (code === 1008) this.#final = true;
    else this.#reliable?.flush();
    session.send(disconnectedFrame(reason), false);
  }

  closed(session: Session, { code }: Ending): void {
    if (session !== this.#session) return;
    this.#reliable?.pause();
    // A client that is done closes with 1000. One that gives no code may have missed an answer to its pings.
    if (!this.reliable || this.#final || code === 1000 || code === 1008) return this.end();
    this.#session = undefined;
    this.#services.lost(this);
  }

  /** Call when it will not return. Its own messages are still on their way. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#services.groups.leaveAll(this);
    this.#services.ended(this);
    // A connection that is not reliable ends with its session, which outputs may still ask about.
    if (this.reliable) this.#session = undefined;
    this.#reliable?.end();
  }

  #take(request: Request & { kind: 'event' | 'sendToGroup' }): void {
    const { kind, name, data, ackId } = request;
    if (ackId !== undefined) {
      if (this.#done.has(ackId)) return this.#answer(duplicateFrame(ackId));
      // It is answered when the first one is.
      if (this.#inFlight.has(ackId)) return;
      this.#inFlight.add(ackId);
    }
    const sequence = ++this.#sequence;
    const { type, payload } = data;
    const origins = this.#origins!;
    const origin = origins.of(kind === 'event' ? 'event' : 'group', name, type);
    const group = kind === 'event' ? undefined : this.#keptMessage(origin, request);
    if (ackId !== undefined || group !== undefined) this.#pending.set(sequence, { ackId, group });
    // Includes late messages, from a socket that another has replaced.
    this.#services.take(origins.session, {
      payload,
      origin,
      sequence,
      messageType: type === 'json' || type === 'text' ? 'text' : 'binary',
    });
  }

  /** Shares the origin's name, and copies the data, which is a view of everything read with it. */
  #keptMessage(
    { ext }: Origin,
    { data: { type, raw }, noEcho }: Request & { kind: 'sendToGroup' },
  ): GroupMessage {
    return { name: extText(ext, 'pubsub.group')!, type, raw: Buffer.from(raw), noEcho };
  }

  /** Groups with the same name in two hubs are different groups. */
  #groupOf(name: string): string {
    return `${this.place} ${name}`;
  }

  #change({ kind, name, ackId }: Request & { kind: 'joinGroup' | 'leaveGroup' }): void {
    if (ackId !== undefined && this.#done.has(ackId)) return this.#answer(duplicateFrame(ackId));
    if (ackId !== undefined && this.#inFlight.has(ackId)) return;
    const { groups } = this.#services;
    let message: string | undefined;
    if (kind === 'leaveGroup') groups.leave(this, this.#groupOf(name));
    else message = groups.join(this, this.#groupOf(name));
    const error: AckError | undefined = message === undefined ? undefined : { name: 'BadRequest', message };
    if (ackId === undefined) return;
    if (error === undefined) this.#done.add(ackId);
    this.#answer(ackFrame(ackId, error));
  }

  /** Answers the client, if it is connected. A client without an answer asks again. */
  #answer(frame: string): void {
    const session = this.#session;
    if (session === undefined || !session.open) return;
    const { socket } = session;
    if (socket.bufferedAmount <= UNREAD_ANSWERS || session.isHeld(holds.replies))
      return session.send(frame, false);
    session.hold(holds.replies);
    session.send(frame, false, () => session.release(holds.replies));
  }
}

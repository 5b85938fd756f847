import { randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import type { OpenSession, Outgoing } from '../../component/sessions.ts';
import type { MillraceError } from '../../errors.ts';
import type { Dialect, Incoming } from '../dialect.ts';
import type { Ending } from '../ending.ts';
import { holds, type Session } from '../session.ts';
import type { Groups, Member } from './groups.ts';
import { IdRanges } from './id-ranges.ts';
import { PubSubOrigins, type Sender } from './origins.ts';
import { PlainOutgoing } from './plain-outgoing.ts';
import {
  PONG,
  ackFrame,
  connectedFrame,
  disconnectedFrame,
  duplicateFrame,
  messageFrame,
  type AckError,
} from './protocol.ts';
import { ReliableOutgoing } from './reliable-outgoing.ts';
import { parseRequest, type AckId, type Data, type Request } from './requests.ts';
import type { ServerMessages } from './server-messages.ts';

/** Bytes that may wait for the socket of a client that is still read. Answers are not sent to who does not read them. */
const UNREAD_ANSWERS = 256 * 1024;

/** How long a client that broke the protocol has to answer the close, in milliseconds. */
const CLOSE_GRACE = 5_000;

/** What the connections of one server share. */
export interface Surroundings {
  readonly groups: Groups<PubSubConnection>;
  readonly messages: ServerMessages;
  /** Takes in a message for the stream. */
  take(session: Session, message: Incoming): void;
  /** Outputs see it from now on, and from then on not any more. */
  began(connection: PubSubConnection): void;
  ended(connection: PubSubConnection): void;
  /** Its socket is gone; it may come back on another. */
  lost(connection: PubSubConnection): void;
}

/** What is to be done when a message is confirmed. */
interface Pending {
  readonly ackId: AckId;
  readonly group?: { readonly name: string; readonly frame: Buffer; readonly noEcho: boolean } | undefined;
}

/** One connection of Azure Web PubSub's protocol: of one socket, or where it is reliable of several after each other. */
export class PubSubConnection implements Dialect, OpenSession, Member, Sender {
  readonly id = randomUUID();
  readonly reliable: boolean;
  ext: Readonly<Record<string, string>> = {};
  outgoingLimit = 0;
  readonly outgoing: Outgoing;
  readonly #reliable: ReliableOutgoing | undefined;
  readonly #plain: PlainOutgoing | undefined;
  readonly #surroundings: Surroundings;
  /** With it, and nothing else, another socket may take over. */
  readonly #token = randomBytes(24).toString('base64url');
  #session: Session | undefined;
  #origins: PubSubOrigins | undefined;
  /** The number of the last message, which goes on from one socket to the next. */
  #sequence = 0;
  /** By the numbers of their messages. As many as the stream's budget has room for. */
  readonly #pending = new Map<number, Pending>();
  readonly #inFlight = new Set<number>();
  /** Of messages that are not confirmed, why they were rejected. */
  readonly #rejections = new Map<number, MillraceError>();
  /** The numbers of the messages that are confirmed. */
  readonly #confirmed = new IdRanges();
  readonly #done = new IdRanges();
  #final = false;
  #ended = false;

  constructor(reliable: boolean, surroundings: Surroundings) {
    this.reliable = reliable;
    this.#surroundings = surroundings;
    if (reliable) this.#reliable = new ReliableOutgoing(surroundings.messages);
    else this.#plain = new PlainOutgoing(() => this.#session!.outgoing, surroundings.messages);
    this.outgoing = (this.#reliable ?? this.#plain)!;
  }

  /** Whether outputs may send to it: also while it has no socket. */
  get open(): boolean {
    if (this.#final || this.#ended) return false;
    return this.reliable || this.#session?.open === true;
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** Who the client authenticated as. */
  get userId(): string | undefined {
    return this.ext['subject'];
  }

  /** In constant time. */
  isToken(token: string): boolean {
    const [given, right] = [Buffer.from(token), Buffer.from(this.#token)];
    return given.length === right.length && timingSafeEqual(given, right);
  }

  attach(session: Session): boolean {
    const before = this.#session;
    const isNew = this.#origins === undefined;
    this.#session = session;
    this.#origins = new PubSubOrigins(session, this);
    if (!isNew) this.#surroundings.ended(this);
    this.ext = session.ext;
    this.outgoingLimit = session.outgoingLimit;
    session.sequence = this.#sequence;
    before?.cut({ code: 1006, reason: 'the client has come back on another connection' });
    const reconnectionToken = this.reliable ? this.#token : undefined;
    session.send(connectedFrame({ userId: this.userId, connectionId: this.id, reconnectionToken }), false);
    this.#reliable?.resume(session.outgoing);
    this.#surroundings.began(this);
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

  deliver(frame: Buffer): void {
    if (!this.open) return;
    if (!this.outgoing.hasRoom(frame.length, this.outgoingLimit)) this.tooSlow();
    else (this.#reliable ?? this.#plain)!.sendFrame(frame);
  }

  confirmed(first: number, last: number): void {
    const { groups } = this.#surroundings;
    for (let sequence = first; sequence <= last; sequence++) {
      this.#confirmed.add(sequence);
      this.#rejections.delete(sequence);
    }
    const connection = this.#session?.connection;
    connection?.cork();
    for (let sequence = first; sequence <= last && this.#pending.size > 0; sequence++) {
      const pending = this.#pending.get(sequence);
      if (pending === undefined) continue;
      this.#pending.delete(sequence);
      const { ackId, group } = pending;
      if (group !== undefined) groups.send(group.name, group.frame, group.noEcho ? this : undefined);
      if (ackId === undefined) continue;
      this.#inFlight.delete(ackId);
      this.#done.add(ackId);
      this.#answer(ackFrame(ackId));
    }
    connection?.uncork();
  }

  rejected(sequence: number, error: MillraceError): void {
    // With `stored` it may have been confirmed before.
    if (!this.#confirmed.has(sequence)) this.#rejections.set(sequence, error);
    const { ackId } = this.#pending.get(sequence) ?? {};
    this.#pending.delete(sequence);
    if (ackId === undefined) return;
    // It is not done: what comes with the same number is tried again.
    this.#inFlight.delete(ackId);
    this.#answer(ackFrame(ackId, { name: error.code, message: error.told }));
  }

  rejection(sequence: number): MillraceError | undefined {
    return this.#rejections.get(sequence);
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
    // After 1008 the client begins anew, and what was kept for it is not asked for any more.
    if (code === 1008) this.#final = true;
    else this.#reliable?.flush();
    session.send(disconnectedFrame(reason), false);
  }

  closed(session: Session, { code }: Ending): void {
    if (session !== this.#session) return;
    this.#reliable?.pause();
    // A client that is done closes with 1000, one that does without a code may have missed an answer to its pings.
    if (!this.reliable || this.#final || code === 1000 || code === 1008) return this.end();
    this.#session = undefined;
    this.#surroundings.lost(this);
  }

  /** It will not come back. What it sent is still on its way. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#surroundings.groups.leaveAll(this);
    this.#surroundings.ended(this);
    // One that is not reliable goes with its session, of which outputs may still ask.
    if (this.reliable) this.#session = undefined;
    this.#reliable?.end();
  }

  #take(request: Request & { kind: 'event' | 'sendToGroup' }): void {
    const { kind, name, data, ackId } = request;
    if (ackId !== undefined) {
      if (this.#done.has(ackId)) return this.#answer(duplicateFrame(ackId));
      // It is answered when the first is.
      if (this.#inFlight.has(ackId)) return;
      this.#inFlight.add(ackId);
    }
    const sequence = ++this.#sequence;
    const { type, payload } = data;
    const group =
      kind === 'event' ? undefined : { name, frame: this.#groupMessage(name, data), noEcho: request.noEcho };
    if (ackId !== undefined || group !== undefined) this.#pending.set(sequence, { ackId, group });
    const origins = this.#origins!;
    // Also what comes late, on a socket that another has taken over from.
    this.#surroundings.take(origins.session, {
      payload,
      origin: origins.of(kind === 'event' ? 'event' : 'group', name, type),
      sequence,
      messageType: type === 'json' || type === 'text' ? 'text' : 'binary',
    });
  }

  #groupMessage(group: string, { type, raw }: Data): Buffer {
    return messageFrame({ from: 'group', fromUserId: this.userId ?? null, group }, type, raw);
  }

  #change({ kind, name, ackId }: Request & { kind: 'joinGroup' | 'leaveGroup' }): void {
    if (ackId !== undefined && this.#done.has(ackId)) return this.#answer(duplicateFrame(ackId));
    if (ackId !== undefined && this.#inFlight.has(ackId)) return;
    const { groups } = this.#surroundings;
    let error: AckError | undefined;
    if (kind === 'leaveGroup') groups.leave(this, name);
    else if (!groups.join(this, name)) error = { name: 'BadRequest', message: 'in too many groups' };
    if (ackId === undefined) return;
    if (error === undefined) this.#done.add(ackId);
    this.#answer(ackFrame(ackId, error));
  }

  /** Answers the client, if it is there. One that has not is going to ask again. */
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

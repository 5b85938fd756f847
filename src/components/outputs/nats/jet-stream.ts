import type { JetStreamManager } from '@nats-io/jetstream';
import type * as transport from '@nats-io/transport-node';
import { valueIn, type MessageColumn } from '../../../clients/message-value.ts';
import type { NatsLink } from '../../../clients/nats/link.ts';
import { NotConnectedError } from '../../../errors.ts';
import { setHeaders, type Outgoing } from './outgoing.ts';
import { isForGood, isNobodys, PubAcks, type PubProblem } from './pub-acks.ts';

/** The most messages that the server stores whole or not at all, and that wait for their confirmation. */
const CHUNK = 1000;

/** How many streams are remembered by their subject. */
const REMEMBERED = 10_000;

/** Bytes that our own headers add to those of the file: the id of the message, and its place in an atomic batch. */
export const OWN_HEADER_BYTES = 256;

/** Messages that go to a stream. */
export interface StreamMessages extends Outgoing {
  /** By which the stream knows repeats. */
  readonly ids: MessageColumn;
  /** Whether the message at the place must not be written. */
  readonly isLeftOut: (index: number) => boolean;
}

/** The messages that are not stored. */
export interface Unstored {
  /** These never will be. */
  readonly refused: readonly PubProblem[];
  /** The first that is to be written again, if there is one. */
  readonly failed: PubProblem | undefined;
}

/** Publishes to streams over one connection. */
export class JetStreamPublisher {
  readonly #link: NatsLink;
  readonly #manager: JetStreamManager;
  /** The stream of the file. */
  readonly #stream: string | undefined;
  readonly #library: typeof transport;
  readonly #acks: PubAcks;
  /** Whether the stream of a subject stores batches whole or not at all. */
  readonly #atomic = new Map<string, boolean>();

  private constructor(
    link: NatsLink,
    manager: JetStreamManager,
    stream: string | undefined,
    library: typeof transport,
  ) {
    this.#link = link;
    this.#manager = manager;
    this.#stream = stream;
    this.#library = library;
    this.#acks = new PubAcks(library.createInbox());
    link.nc.subscribe(this.#acks.subject, { callback: this.#acks.answer });
  }

  static async open(link: NatsLink, stream: string | undefined): Promise<JetStreamPublisher> {
    const [library, { jetstreamManager }] = await Promise.all([
      import('@nats-io/transport-node'),
      import('@nats-io/jetstream'),
    ]);
    const manager = await jetstreamManager(link.nc, { checkAPI: false });
    return new JetStreamPublisher(link, manager, stream, library);
  }

  /**
   * Publishes the messages in order, up to one that is to be written again: those behind it may be stored as well.
   * @throws NotConnectedError; the signal's reason
   */
  async publish(messages: StreamMessages, signal: AbortSignal): Promise<Unstored> {
    const refused: PubProblem[] = [];
    const places: number[] = [];
    for (let index = 0; index < messages.payloads.length; index++)
      if (!messages.isLeftOut(index)) places.push(index);
    const nowhere = new Map<string, boolean>();
    for (let at = 0; at < places.length; at += CHUNK) {
      const problems = await this.#chunk(messages, places.slice(at, at + CHUNK), signal);
      for (const problem of problems.toSorted((a, b) => a.index - b.index)) {
        const isRefused =
          isForGood(problem) ||
          (isNobodys(problem) && (await this.#isNowhere(messages.subjects, problem.index, nowhere, signal)));
        if (!isRefused) return { refused, failed: problem };
        refused.push(problem);
      }
    }
    return { refused, failed: undefined };
  }

  /**
   * Whether no stream has the subject of the message, as the server knows for certain. With one subject for all,
   * somebody can create the stream, and nothing is written until then.
   */
  async #isNowhere(
    subjects: MessageColumn,
    index: number,
    known: Map<string, boolean>,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (typeof subjects === 'string') return false;
    const subject = subjects[index]!;
    let nowhere = known.get(subject);
    if (nowhere === undefined) {
      nowhere = await this.#isUnknown(subject, signal);
      known.set(subject, nowhere);
    }
    return nowhere;
  }

  async #isUnknown(subject: string, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#link.answer('find the stream', this.#manager.streams.find(subject), signal);
      return false;
    } catch (error) {
      if ((error as Error).name === 'StreamNotFoundError') return true;
      throw error;
    }
  }

  async #chunk(
    messages: StreamMessages,
    places: readonly number[],
    signal: AbortSignal,
  ): Promise<readonly PubProblem[]> {
    if (places.length > 1 && (await this.#isAtomic(messages, places, signal))) {
      const [problem] = await this.#round(messages, places, this.#library.nuid.next(), signal);
      if (problem === undefined) return [];
    }
    // One by one, the server says which message it is about. It knows those that it has already by their ids.
    return await this.#round(messages, places, undefined, signal);
  }

  async #round(
    { payloads, subjects, headers, ids }: StreamMessages,
    places: readonly number[],
    batch: string | undefined,
    signal: AbortSignal,
  ): Promise<readonly PubProblem[]> {
    const last = places.at(-1)!;
    const [first] = places;
    const count = batch === undefined ? places.length : 1;
    const answered = this.#acks.begin(first!, last + 1 - first!, count);
    const { nc } = this.#link;
    if (nc.isClosed()) throw this.#link.gone.reason ?? new NotConnectedError('not connected');
    let sequence = 0;
    for (const index of places) {
      const own = this.#library.headers();
      setHeaders(own, headers, index);
      own.set('Nats-Msg-Id', valueIn(ids, index)!);
      if (this.#stream !== undefined) own.set('Nats-Expected-Stream', this.#stream);
      if (batch !== undefined) setBatch(own, batch, ++sequence, index === last);
      const options: transport.PublishOptions = { headers: own };
      if (batch === undefined || index === last) options.reply = this.#acks.replyTo(index);
      nc.publish(valueIn(subjects, index)!, payloads[index], options);
    }
    return await this.#link.answer('confirm messages', answered, signal);
  }

  /** Whether all go to one stream that stores batches whole or not at all. */
  async #isAtomic(
    { subjects }: StreamMessages,
    places: readonly number[],
    signal: AbortSignal,
  ): Promise<boolean> {
    if (this.#stream === undefined && typeof subjects !== 'string') return false;
    const subject = valueIn(subjects, places[0]!)!;
    const key = this.#stream ?? subject;
    let atomic = this.#atomic.get(key);
    if (atomic === undefined) {
      atomic = await this.#ask(subject, signal);
      if (this.#atomic.size >= REMEMBERED) this.#atomic.clear();
      this.#atomic.set(key, atomic);
    }
    return atomic;
  }

  async #ask(subject: string, signal: AbortSignal): Promise<boolean> {
    const { streams } = this.#manager;
    const find = async (): Promise<boolean> => {
      const name = this.#stream ?? (await streams.find(subject));
      return (await streams.info(name)).config.allow_atomic === true;
    };
    try {
      return await this.#link.answer('find the stream', find(), signal);
    } catch (error) {
      if (error instanceof NotConnectedError || signal.aborted) throw error;
      // Without the permission to ask, or without such a stream: each message hears for itself.
      return false;
    }
  }
}

function setBatch(headers: transport.MsgHdrs, id: string, sequence: number, isLast: boolean): void {
  headers.set('Nats-Batch-Id', id);
  headers.set('Nats-Batch-Sequence', String(sequence));
  if (isLast) headers.set('Nats-Batch-Commit', '1');
}

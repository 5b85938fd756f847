import type { Form, MessageValues } from '../../component/message-template.ts';
import type { MillraceError, Rejection } from '../../errors.ts';
import type { Batch } from '../../message/batch.ts';
import type { InputDelivery } from '../../message/delivery.ts';
import { jsonWith, parseJsonPath, textAt, tokenAt, type JsonPath } from '../../message/json-path.ts';
import { withoutDepths } from '../../message/json-validate.ts';
import { relayReceipt } from '../../message/receipt.ts';
import type { ComponentEvents } from '../../telemetry/events.ts';
import type { Session } from '../session.ts';
import type { AckConfig } from './ack-schema.ts';
import { Frames } from './frames.ts';
import { Ledger, ledgerOf } from './ledger.ts';
import { Replies } from './replies.ts';
import { compileReply, rejectReplyNames, replyNames, type Reply } from './reply.ts';

/** The most ids in a reply for several messages. */
const MAX_IDS = 1000;

/** Consecutive messages of one session in a batch. */
interface Part {
  /** The index of the first. */
  readonly start: number;
  readonly end: number;
  /** The number of the first. */
  readonly sequence: number;
  readonly utf8: boolean;
}

/** Messages whose senders wait for a reply. */
type Unconfirmed = Pick<Batch, 'runs' | 'length' | 'payloads'>;

const NOTHING = Buffer.alloc(0);

/** Why messages were rejected, by their places in the batch. */
type Errors = ReadonlyMap<number, MillraceError>;

/** Tells the senders of messages that they are confirmed or rejected. */
export class Acknowledger {
  readonly #when: AckConfig['when'];
  readonly #path: JsonPath | undefined;
  readonly #reply: Reply;
  readonly #rejectReply: Reply | undefined;
  readonly #batch: boolean;
  readonly #limit: number;
  readonly #frames: Frames | undefined;
  readonly #events: ComponentEvents;

  constructor(config: AckConfig, mode: 'client' | 'server', events: ComponentEvents) {
    this.#when = config.when;
    this.#path = config.id === undefined ? undefined : parseJsonPath(config.id);
    this.#reply = compileReply(config.reply, replyNames);
    this.#rejectReply =
      config.reject_reply === undefined ? undefined : compileReply(config.reject_reply, rejectReplyNames);
    this.#batch = config.batch;
    this.#limit = config.max_unacknowledged;
    this.#frames = mode === 'server' ? new Frames() : undefined;
    this.#events = events;
  }

  /** Confirms the session's messages to it from now on. */
  add(session: Session): void {
    session.ledger = new Ledger(session, this.#limit);
  }

  /** Returns the delivery with a receipt that sends the replies to its messages. */
  track(delivery: InputDelivery): InputDelivery {
    const { runs, length, payloads } = delivery.batch;
    let awaited: Unconfirmed = { runs, length, payloads };
    const settled = (error: unknown, rejected: readonly Rejection[]): void => {
      if (error === undefined) this.#confirm(awaited, rejected);
    };
    const parked = (): void => {
      awaited = { ...awaited, payloads: this.#idsOf(awaited) };
    };
    return { ...delivery, confirm: this.#when, receipt: relayReceipt(delivery.receipt, settled, parked) };
  }

  /**
   * Payloads that have nothing but the id of each message. A message may be parked for hours, and then counts nowhere, so
   * the rest of it must not stay for the sake of the reply.
   */
  #idsOf({ runs, length, payloads }: Unconfirmed): Uint8Array[] {
    const path = this.#path;
    if (path === undefined) return [];
    const ids: Uint8Array[] = [];
    for (const [at, { messageType, sequence }] of runs.entries()) {
      const end = runs[at + 1]?.start ?? length;
      for (let index = ids.length; index < end; index++) {
        const payload = payloads[index]!;
        const utf8 = messageType === 'text';
        const id =
          sequence === undefined
            ? undefined
            : (tokenAt(payload, path, utf8) ?? tokenAt(withoutDepths(payload), path, utf8));
        ids.push(id === undefined ? NOTHING : Buffer.from(jsonWith(path, id)));
      }
    }
    return ids;
  }

  #confirm(batch: Unconfirmed, rejected: readonly Rejection[]): void {
    const { runs, length } = batch;
    const errors: Errors = new Map(rejected.map(({ index, error }) => [index, error]));
    const parts = new Map<Ledger, Part[]>();
    for (const [index, { origin, start, sequence, messageType }] of runs.entries()) {
      // Messages about sessions are not numbered, and nobody sent them.
      const ledger = sequence === undefined ? undefined : ledgerOf(origin);
      if (ledger === undefined) continue;
      const end = runs[index + 1]?.start ?? length;
      const part = { start, end, sequence: sequence!, utf8: messageType === 'text' };
      const list = parts.get(ledger);
      if (list === undefined) parts.set(ledger, [part]);
      else list.push(part);
    }
    for (const [ledger, list] of parts) {
      const last = list.at(-1)!;
      const range = [list[0]!.sequence, last.sequence + last.end - last.start - 1] as const;
      if (!ledger.session.open || !ledger.session.connection.writable) ledger.confirm(...range);
      else if (this.#batch) this.#replyToAll(ledger, batch, list, range, errors);
      else this.#replyToEach(ledger, batch, list, range, errors);
    }
  }

  #replyToEach(
    ledger: Ledger,
    { payloads }: Unconfirmed,
    parts: readonly Part[],
    range: readonly [number, number],
    errors: Errors,
  ): void {
    const replies = new Replies(ledger, this.#frames, this.#events);
    for (const { start, end, sequence, utf8 } of parts) {
      for (let index = start; index < end; index++) {
        const number = sequence + index - start;
        const error = errors.get(index);
        if (error !== undefined) {
          this.#reject(replies, error, number, payloads[index]!, utf8);
          continue;
        }
        replies.add(
          this.#reply,
          this.#reply.render((name, _, form) =>
            name === 'sequence' ? String(number) : this.#idOf(payloads[index]!, number, utf8, form),
          ),
        );
      }
    }
    ledger.confirm(...range);
    replies.send();
  }

  #replyToAll(
    ledger: Ledger,
    { payloads }: Unconfirmed,
    parts: readonly Part[],
    range: readonly [number, number],
    errors: Errors,
  ): void {
    const replies = new Replies(ledger, this.#frames, this.#events);
    const { uses } = this.#reply;
    const wantsIds = uses.has('ids');
    let ids: string[] = [];
    const lists = [ids];
    let count = 0;
    for (const { start, end, sequence, utf8 } of parts) {
      for (let index = start; index < end; index++) {
        const number = sequence + index - start;
        const error = errors.get(index);
        if (error !== undefined) {
          this.#reject(replies, error, number, payloads[index]!, utf8);
          continue;
        }
        count++;
        if (!wantsIds) continue;
        const id = this.#idOf(payloads[index]!, number, utf8, 'value');
        if (id === undefined) {
          replies.withoutId++;
          continue;
        }
        if (ids.length === MAX_IDS) lists.push((ids = []));
        ids.push(id);
      }
    }
    const before = ledger.confirmed;
    ledger.confirm(...range);
    const advanced = ledger.confirmed > before;
    if (wantsIds) {
      for (const each of lists) {
        if (each.length > 0) {
          replies.add(
            this.#reply,
            this.#reply.render((name) => (name === 'ids' ? each.join(',') : String(ledger.confirmed))),
          );
        }
      }
    } else if (uses.has('sequence') ? advanced : count > 0) {
      replies.add(
        this.#reply,
        this.#reply.render(() => String(ledger.confirmed)),
      );
    }
    replies.send();
  }

  /** Tells the sender that the message was rejected, if the configuration has a reply for that. */
  #reject(replies: Replies, error: MillraceError, number: number, payload: Uint8Array, utf8: boolean): void {
    const reply = this.#rejectReply;
    if (reply === undefined) return;
    const values: MessageValues = (name, _, form) => {
      if (name === 'id') {
        return (
          this.#idOf(payload, number, utf8, form) ?? this.#idOf(withoutDepths(payload), number, utf8, form)
        );
      }
      if (name === 'sequence') return String(number);
      const text = name === 'code' ? error.code : error.told;
      return form === 'text' ? text : JSON.stringify(text);
    };
    replies.add(reply, reply.render(values));
  }

  #idOf(payload: Uint8Array, number: number, utf8: boolean, form: Form): string | undefined {
    if (this.#path === undefined) return String(number);
    return form === 'text' ? textAt(payload, this.#path, utf8) : tokenAt(payload, this.#path, utf8);
  }
}

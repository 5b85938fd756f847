import type { Batch } from '../message/batch.ts';
import type { InputDelivery } from '../message/delivery.ts';
import { Fifo } from '../message/fifo.ts';
import { textAt, type JsonPath } from '../message/json-path.ts';
import { relayReceipt } from '../message/receipt.ts';
import type { ComponentEvents } from '../telemetry/events.ts';
import { Contiguous } from './contiguous.ts';
import { CursorFile } from './cursor-file.ts';
import { rewound, type Rewind } from './rewind.ts';

export interface CursorOptions {
  /** The file's path. */
  readonly file: string;
  /** The cursor's key in the file. Holds no secret. */
  readonly key: string;
  /** The key that an earlier version used. */
  readonly formerKey: string;
  /** The path of the cursor in a message. */
  readonly path: JsonPath;
  readonly rewind: Rewind | undefined;
  readonly events: ComponentEvents;
}

/**
 * Tracks how far the messages from one URL are confirmed. The cursor is that of the last message which is confirmed
 * together with all before it, in order of arrival, whichever connection to the URL they came on.
 */
export class Cursor {
  readonly #options: CursorOptions;
  /** The confirmed messages, by their order of arrival, with their cursors. */
  readonly #done = new Contiguous<string>(1);
  #slots = 0;
  #users = 0;
  #opening: Promise<CursorFile> | undefined;
  #file: CursorFile | undefined;
  #order = 0;
  #toldMisfit = false;

  constructor(options: CursorOptions) {
    this.#options = options;
  }

  /** A slot for one connection at a time. */
  slot(): CursorSlot {
    this.#slots++;
    this.#users++;
    return new CursorSlot({
      path: this.#options.path,
      nextOrder: () => ++this.#order,
      confirmed: (orders, cursor) => this.#confirmed(orders, cursor),
      alone: () => this.#slots === 1,
    });
  }

  /** Reads the file, once. @throws MillraceError (fatal) when it cannot be used */
  async open(): Promise<void> {
    const { file, key, formerKey, events } = this.#options;
    this.#opening ??= CursorFile.open(file, { key, formerKey }, (error) =>
      events.cursorNotSaved(file, error),
    );
    this.#file = await this.#opening;
  }

  /** The cursor to ask for when connecting, after the rewind. Undefined while there is none. */
  current(): string | undefined {
    const { key, rewind, events } = this.#options;
    const cursor = this.#file?.get(key);
    if (cursor === undefined || rewind === undefined) return cursor;
    const back = rewound(cursor, rewind);
    if (back === undefined && !this.#toldMisfit) {
      this.#toldMisfit = true;
      const wanted = typeof rewind === 'number' ? 'a whole number' : 'a time (ISO 8601)';
      events.noticed(
        { cursor },
        `the cursor ${cursor} is not ${wanted}, so \`resume.rewind\` does not go back before it`,
      );
    }
    return back ?? cursor;
  }

  /** Says that the cursor is not on disk while its write is retried. */
  get trouble(): string | undefined {
    return this.#file?.trouble;
  }

  /** Call once for each slot; the last call closes the file. */
  async close(): Promise<void> {
    if (--this.#users > 0 || this.#opening === undefined) return;
    const file = await this.#opening.catch(() => undefined);
    await file?.close(this.#options.key);
  }

  /** Takes the latest cursor before which nothing is in flight on any connection. */
  #confirmed(orders: readonly Range[], cursor: string | undefined): void {
    for (const [at, { first, last }] of orders.entries()) {
      this.#done.add(first, last, at === orders.length - 1 ? cursor : undefined);
    }
    const { value } = this.#done;
    if (value !== undefined) this.#file?.set(this.#options.key, value);
  }
}

/** A range of arrival orders without a gap. */
interface Range {
  readonly first: number;
  last: number;
}

interface SlotOptions {
  readonly path: JsonPath;
  readonly nextOrder: () => number;
  /** Called when a batch is confirmed, with the orders of its messages and the cursor of the last. */
  readonly confirmed: (orders: readonly Range[], cursor: string | undefined) => void;
  readonly alone: () => boolean;
}

/** The part of a cursor that belongs to one connection and its successors. */
export class CursorSlot {
  readonly #options: SlotOptions;
  /** The arrival order of each message that waits to be read. */
  readonly #unread = new Fifo<number>();

  constructor(options: SlotOptions) {
    this.#options = options;
  }

  /** A numbered message has arrived and waits to be read. */
  arrived(): void {
    // On one connection, messages are read in the order in which they arrive.
    if (!this.#options.alone()) this.#unread.push(this.#options.nextOrder());
  }

  /** A batch has been read. */
  track(delivery: InputDelivery): InputDelivery {
    const { batch } = delivery;
    const messages = numbered(batch);
    if (messages === 0) return delivery;
    const orders = this.#take(messages);
    // Read now: the receipt may be parked for hours, and must not keep the messages.
    const cursor = lastCursor(batch, this.#options.path);
    const receipt = relayReceipt(delivery.receipt, (error) => {
      if (error === undefined) this.#options.confirmed(orders, cursor);
    });
    return { ...delivery, receipt };
  }

  /** The orders of the next messages; a single connection gets one range for all of them. */
  #take(messages: number): Range[] {
    const orders: Range[] = [];
    for (let left = messages; left > 0; left--) {
      const order = this.#unread.shift();
      if (order === undefined) break;
      const before = orders.at(-1);
      if (before?.last === order - 1) before.last = order;
      else orders.push({ first: order, last: order });
    }
    if (orders.length > 0) return orders;
    const order = this.#options.nextOrder();
    return [{ first: order, last: order }];
  }
}

/** The number of messages from the feed: messages about sessions are not numbered. */
function numbered(batch: Batch): number {
  let count = 0;
  for (const [index, { start, sequence }] of batch.runs.entries()) {
    if (sequence !== undefined) count += (batch.runs[index + 1]?.start ?? batch.length) - start;
  }
  return count;
}

/** The cursor of the last message that has one. */
function lastCursor(batch: Batch, path: JsonPath): string | undefined {
  for (let index = batch.length - 1; index >= 0; index--) {
    if (batch.runAt(index).sequence === undefined) continue;
    const cursor = textAt(batch.payloads[index]!, path);
    if (cursor !== undefined) return cursor;
  }
  return undefined;
}

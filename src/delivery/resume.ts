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
  /** Under which the file has it. No secret in it. */
  readonly key: string;
  /** Under which an earlier version had it. */
  readonly formerKey: string;
  /** Where a message has its cursor. */
  readonly path: JsonPath;
  readonly rewind: Rewind | undefined;
  readonly events: ComponentEvents;
}

/**
 * How far what came from one URL is confirmed. The cursor is that of the last message that is confirmed with all before
 * it, in the order of their arrival, on whichever connection to the URL they came.
 */
export class Cursor {
  readonly #options: CursorOptions;
  /** The orders of messages that are confirmed, with their cursors. */
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

  /** For one connection at a time. */
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

  /** What an attempt to connect asks for: the cursor, rewound. Undefined while there is none. */
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
        `the cursor ${cursor} is not ${wanted}, so \`resume.rewind\` does not go back behind it`,
      );
    }
    return back ?? cursor;
  }

  /** That it is not on disk, while that is tried again. */
  get trouble(): string | undefined {
    return this.#file?.trouble;
  }

  /** To be called for each slot; the last one closes the file. */
  async close(): Promise<void> {
    if (--this.#users > 0 || this.#opening === undefined) return;
    const file = await this.#opening.catch(() => undefined);
    await file?.close(this.#options.key);
  }

  /** Takes the latest cursor behind which nothing is in flight on any connection. */
  #confirmed(orders: readonly Range[], cursor: string | undefined): void {
    for (const [at, { first, last }] of orders.entries()) {
      this.#done.add(first, last, at === orders.length - 1 ? cursor : undefined);
    }
    const { value } = this.#done;
    if (value !== undefined) this.#file?.set(this.#options.key, value);
  }
}

/** Orders without a gap. */
interface Range {
  readonly first: number;
  last: number;
}

interface SlotOptions {
  readonly path: JsonPath;
  readonly nextOrder: () => number;
  /** A batch is confirmed: the orders of its messages, and the cursor of the last. */
  readonly confirmed: (orders: readonly Range[], cursor: string | undefined) => void;
  readonly alone: () => boolean;
}

/** The part of a cursor that one connection and its successors have. */
export class CursorSlot {
  readonly #options: SlotOptions;
  /** The order of each message that waits to be read. */
  readonly #unread = new Fifo<number>();

  constructor(options: SlotOptions) {
    this.#options = options;
  }

  /** A numbered message has come in and waits to be read. */
  arrived(): void {
    // On one connection messages come in the order in which they are read.
    if (!this.#options.alone()) this.#unread.push(this.#options.nextOrder());
  }

  /** A batch has been read. */
  track(delivery: InputDelivery): InputDelivery {
    const { batch } = delivery;
    const messages = numbered(batch);
    if (messages === 0) return delivery;
    const orders = this.#take(messages);
    const receipt = relayReceipt(delivery.receipt, (error) => {
      if (error === undefined) this.#options.confirmed(orders, lastCursor(batch, this.#options.path));
    });
    return { ...delivery, receipt };
  }

  /** The orders of the next messages; a connection that is alone has one for them all. */
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

/** How many of the messages are of the feed: what tells of sessions is not numbered. */
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

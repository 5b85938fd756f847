import type { Batch } from '../message/batch.ts';
import type { InputDelivery } from '../message/delivery.ts';
import { Fifo } from '../message/fifo.ts';
import { textAt, type JsonPath } from '../message/json-path.ts';
import { relayReceipt } from '../message/receipt.ts';
import type { ComponentEvents } from '../telemetry/events.ts';
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
  readonly #slots: CursorSlot[] = [];
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
    const slot: CursorSlot = new CursorSlot({
      path: this.#options.path,
      nextOrder: () => ++this.#order,
      confirmed: () => this.#advance(),
      alone: () => this.#slots.length === 1,
    });
    this.#slots.push(slot);
    this.#users++;
    return slot;
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
  #advance(): void {
    let best: Reached | undefined;
    for (const slot of this.#slots) {
      const { reached } = slot;
      if (reached === undefined || (best !== undefined && reached.order < best.order)) continue;
      const first = this.#slots.every((other) => other === slot || other.oldest > reached.order);
      if (first) best = reached;
    }
    if (best === undefined) return;
    for (const slot of this.#slots) slot.forget(best.order);
    if (best.cursor !== undefined) this.#file?.set(this.#options.key, best.cursor);
  }
}

/** How far one connection's messages are confirmed without a gap. */
interface Reached {
  readonly order: number;
  readonly cursor: string | undefined;
}

/** A batch that has been read. */
interface Entry {
  /** The order of its first message. */
  readonly first: number;
  /** The order of its last message. */
  readonly last: number;
  confirmed: boolean;
  cursor: string | undefined;
}

interface SlotOptions {
  readonly path: JsonPath;
  readonly nextOrder: () => number;
  readonly confirmed: () => void;
  readonly alone: () => boolean;
}

/** The part of a cursor that one connection and its successors have. */
export class CursorSlot {
  readonly #options: SlotOptions;
  /** From the oldest that is not confirmed. */
  #entries: Entry[] = [];
  #compactAt = 64;
  /** The order of each message that waits to be read. */
  readonly #unread = new Fifo<number>();
  reached: Reached | undefined;

  constructor(options: SlotOptions) {
    this.#options = options;
  }

  /** A numbered message has come in and waits to be read. */
  arrived(): void {
    // On one connection messages come in the order in which they are read.
    if (!this.#options.alone()) this.#unread.push(this.#options.nextOrder());
  }

  /** The order of the oldest message that is not confirmed. */
  get oldest(): number {
    return this.#entries[0]?.first ?? this.#unread.first ?? Infinity;
  }

  /** A batch has been read. */
  track(delivery: InputDelivery): InputDelivery {
    const { batch } = delivery;
    const messages = numbered(batch);
    if (messages === 0) return delivery;
    const entry: Entry = { ...this.#take(messages), confirmed: false, cursor: undefined };
    this.#entries.push(entry);
    if (this.#entries.length >= this.#compactAt) this.#compact();
    const receipt = relayReceipt(delivery.receipt, (error) => {
      if (error !== undefined) return;
      entry.cursor = lastCursor(batch, this.#options.path);
      entry.confirmed = true;
      if (entry === this.#entries[0]) this.#settle();
    });
    return { ...delivery, receipt };
  }

  /** The orders of the next messages. */
  #take(messages: number): { first: number; last: number } {
    const first = this.#unread.first ?? this.#options.nextOrder();
    let last = first;
    for (let left = messages; left > 0 && this.#unread.first !== undefined; left--) {
      last = this.#unread.first;
      this.#unread.shift();
    }
    return { first, last };
  }

  forget(order: number): void {
    if (this.reached !== undefined && this.reached.order <= order) this.reached = undefined;
  }

  #settle(): void {
    let count = 0;
    let { reached } = this;
    for (; this.#entries[count]?.confirmed === true; count++) {
      const { last, cursor } = this.#entries[count]!;
      reached = { order: last, cursor: cursor ?? reached?.cursor };
    }
    this.#entries.splice(0, count);
    this.reached = reached;
    this.#options.confirmed();
  }

  /** Joins neighbours that are confirmed, so that a batch that takes long keeps no list of all that came after it. */
  #compact(): void {
    const kept: Entry[] = [];
    for (const entry of this.#entries) {
      const last = kept.at(-1);
      if (last?.confirmed === true && entry.confirmed) {
        kept[kept.length - 1] = { ...entry, cursor: entry.cursor ?? last.cursor };
      } else kept.push(entry);
    }
    this.#entries = kept;
    this.#compactAt = Math.max(64, kept.length * 2);
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

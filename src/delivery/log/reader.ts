import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { StoredEntry } from './entry.ts';
import { decodeEntry, entryNumber } from './entry-codec.ts';
import { damaged, failed, Flaw, isNoDescriptor, waitsForDescriptor } from './faults.ts';
import { recordTypes, segmentName } from './format.ts';
import { Scanner } from './scanner.ts';
import type { Segment } from './segment.ts';

/** A reader's view of its log. */
export interface LogView {
  readonly path: string;
  /** Oldest first. */
  readonly segments: () => readonly Segment[];
  readonly acknowledged: (number: number) => boolean;
  /** Called with the reason when nothing can be read for now, and with undefined once it can. */
  readonly blocked: (reason: string | undefined) => void;
}

/** How long to wait before opening a file again after a failure. In milliseconds. */
const RETRY_DELAY = 1000;

/** Reads entries in order. Holds one chunk of a segment, or one record, and follows the writer. */
export class LogReader {
  readonly #view: LogView;
  #from: number;
  #segment: Segment | undefined;
  #scanner: Scanner | undefined;

  constructor(view: LogView, from: number) {
    this.#view = view;
    this.#from = from;
  }

  /**
   * The next entry that is not acknowledged; undefined at the end of the committed ones. Waits while the process has no
   * file descriptor left.
   * @throws MillraceError MILLRACE_WAL_DAMAGED for a part that is not as it was written, MILLRACE_WAL_FAILED
   * @throws the signal's reason when it aborts
   */
  async next(signal?: AbortSignal): Promise<StoredEntry | undefined> {
    for (;;) {
      const scanner = (this.#scanner ??= await this.#open(signal));
      if (scanner === undefined) return undefined;
      const segment = this.#segment!;
      // Asked before its size is read: entries committed after a segment are not in it.
      const whole = this.#view.segments().at(-1) !== segment;
      const entry = await this.#nextOf(scanner, segment);
      if (entry !== undefined) return entry;
      if (!whole) return undefined;
      await this.close();
      this.#from = Math.max(this.#from, segment.lastEntry + 1);
    }
  }

  async close(): Promise<void> {
    const scanner = this.#scanner;
    this.#scanner = undefined;
    await scanner?.close();
  }

  async #open(signal: AbortSignal | undefined): Promise<Scanner | undefined> {
    const { path, segments, blocked } = this.#view;
    for (;;) {
      const from = this.#from;
      const segment = segments().find(({ lastEntry }) => lastEntry >= from);
      if (segment === undefined) return undefined;
      const place = segment.places.findLast(({ entry }) => entry <= from) ?? segment.places[0]!;
      this.#segment = segment;
      try {
        const scanner = await Scanner.open(join(path, segmentName(segment.number)), segment.seed, place);
        blocked(undefined);
        return scanner;
      } catch (error) {
        // Deleted meanwhile, because all of its entries are acknowledged.
        if (!segments().includes(segment)) continue;
        if (!isNoDescriptor(error)) throw failed(path, 'read', error);
        blocked(waitsForDescriptor(path, error));
        await delay(RETRY_DELAY, undefined, { signal }).catch(() => signal?.throwIfAborted());
      }
    }
  }

  async #nextOf(scanner: Scanner, segment: Segment): Promise<StoredEntry | undefined> {
    const { path, acknowledged } = this.#view;
    try {
      for (;;) {
        const record = await scanner.next(segment.readable);
        if (record === undefined) return undefined;
        if (record.type !== recordTypes.entry) continue;
        const number = entryNumber(record.content);
        if (number < this.#from) continue;
        this.#from = number + 1;
        if (!acknowledged(number)) return decodeEntry(record.content);
      }
    } catch (error) {
      if (error instanceof Flaw) throw damaged(path, segmentName(segment.number), error);
      throw failed(path, 'read', error);
    }
  }
}

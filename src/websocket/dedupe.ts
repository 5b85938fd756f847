import { hash } from 'node:crypto';
import { createAck, type Ack } from '../message/ack.ts';
import type { Batch } from '../message/batch.ts';
import { textAt, type JsonPath } from '../message/json-path.ts';

/** A key longer than this is remembered by its hash, so that memory is bounded by the number of keys. In characters. */
const LONGEST_KEY = 128;

/** Messages of one batch that were the first with their keys. */
interface First {
  readonly keys: string[];
  /** How many of the keys have been forgotten. */
  forgotten: number;
  /** When they were confirmed, in milliseconds of `performance.now()`; undefined while they are in flight. */
  confirmedAt: number | undefined;
  /** Of batches from which messages with the same keys were dropped: they wait for these. */
  waiting: Ack[];
}

/**
 * Drops messages whose key was there before. A key is remembered while its message is in flight and for `window` after
 * that, but never more than `maxKeys` of them.
 *
 * A dropped message is confirmed when the one that was passed on is, and no sooner: whoever counts what is confirmed
 * would else count one that is still in flight.
 */
export class Dedupe {
  readonly #path: JsonPath;
  readonly #window: number;
  readonly #maxKeys: number;
  readonly #dropped: (count: number) => void;
  readonly #seen = new Map<string, First>();
  /** Oldest first, from `#head` on. */
  #firsts: First[] = [];
  #head = 0;

  /** `window` in milliseconds; `dropped` is told how many messages were, for each batch. */
  constructor(options: {
    path: JsonPath;
    window: number;
    maxKeys: number;
    dropped: (count: number) => void;
  }) {
    this.#path = options.path;
    this.#window = options.window;
    this.#maxKeys = options.maxKeys;
    this.#dropped = options.dropped;
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#seen.size;
  }

  /** The batch without what was there before; undefined, and its ack seen to, when nothing is left. */
  filter(batch: Batch): Batch | undefined {
    this.#forgetOld();
    const first: First = { keys: [], forgotten: 0, confirmedAt: undefined, waiting: [] };
    const dropped: number[] = [];
    const others = new Set<First>();
    const { payloads, runs } = batch;
    for (let at = 0; at < runs.length; at++) {
      const run = runs[at]!;
      // Only what a peer sent is numbered; what tells of sessions is always passed on.
      if (run.sequence === undefined) continue;
      const end = runs[at + 1]?.start ?? payloads.length;
      for (let index = run.start; index < end; index++) {
        const key = this.#keyOf(payloads[index]!, run.messageType === 'text');
        if (key === undefined) continue;
        const known = this.#seen.get(key);
        if (known === undefined) {
          if (first.keys.length === 0) this.#firsts.push(first);
          this.#seen.set(key, first);
          first.keys.push(key);
          if (this.#seen.size > this.#maxKeys) this.#forget(1);
        } else {
          dropped.push(index);
          if (known !== first && known.confirmedAt === undefined) others.add(known);
        }
      }
    }
    for (const other of others) other.waiting.push(batch.ack.fork());
    if (dropped.length > 0) this.#dropped(dropped.length);
    if (dropped.length === batch.length) {
      batch.ack.ack();
      return undefined;
    }
    if (first.keys.length === 0) return batch.without(dropped);
    const ack = createAck((error) => {
      settle(first, error);
      if (error === undefined) batch.ack.ack();
      else batch.ack.nack(error);
    });
    return batch.without(dropped).withAck(ack);
  }

  #keyOf(payload: Uint8Array, knownUtf8: boolean): string | undefined {
    const key = textAt(payload, this.#path, knownUtf8);
    return key === undefined || key.length <= LONGEST_KEY ? key : hash('sha256', key, 'base64');
  }

  #forgetOld(): void {
    const before = performance.now() - this.#window;
    while (this.#head < this.#firsts.length) {
      const { confirmedAt } = this.#firsts[this.#head]!;
      if (confirmedAt === undefined || confirmedAt > before) return;
      this.#forget(Infinity);
    }
  }

  /** Forgets keys of the oldest, at most `count`. */
  #forget(count: number): void {
    const oldest = this.#firsts[this.#head]!;
    const end = Math.min(oldest.keys.length, oldest.forgotten + count);
    for (; oldest.forgotten < end; oldest.forgotten++) this.#seen.delete(oldest.keys[oldest.forgotten]!);
    if (end < oldest.keys.length) return;
    this.#head++;
    if (this.#head < 1024 || this.#head * 2 < this.#firsts.length) return;
    this.#firsts = this.#firsts.slice(this.#head);
    this.#head = 0;
  }
}

function settle(first: First, error: unknown): void {
  if (error === undefined) first.confirmedAt = performance.now();
  const { waiting } = first;
  first.waiting = [];
  for (const ack of waiting) {
    if (error === undefined) ack.ack();
    else ack.nack(error);
  }
}

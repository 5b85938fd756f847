import { hash } from 'node:crypto';
import type { Durability } from '../component/contracts.ts';
import type { MillraceError } from '../errors.ts';
import { createAck, noAck, type Ack } from '../message/ack.ts';
import type { Batch, Origin, Run } from '../message/batch.ts';
import { textAt, type JsonPath } from '../message/json-path.ts';

/** A key longer than this is remembered by its hash, so that memory is bounded by the number of keys. In characters. */
const LONGEST_KEY = 128;

/** Among whom a key is unique: all senders; those who authenticated as one subject; those of one connection. */
export type Scope = 'all' | 'subject' | 'session';

export interface DedupeOptions {
  readonly path: JsonPath;
  readonly per: Scope;
  /** Milliseconds. */
  readonly window: number;
  readonly maxKeys: number;
  /** Under which name the stream's log keeps the keys. */
  readonly space: string;
  /** The stream's log, if it has one. */
  readonly durability: Durability | undefined;
  /** Told how many messages were dropped, for each batch. */
  readonly dropped: (count: number) => void;
}

/** Messages of a batch that were dropped. */
interface Copies {
  readonly batch: Batch;
  readonly indices: readonly number[];
}

/** Messages of one batch that were the first with their keys. */
interface First {
  keys: readonly string[];
  /** How many of the keys have been forgotten. */
  forgotten: number;
  /** When they were confirmed, in milliseconds of `performance.now()`; undefined while they are in flight. */
  confirmedAt: number | undefined;
  /** Copies wait for these, those of the same batch without an ack of their own. */
  waiting: { readonly ack: Ack; readonly copies: Copies }[];
  /** The number of their entry in the log, when it is of before the start and may not have been delivered yet. */
  entry: number | undefined;
  /** Why messages with these keys were rejected. */
  rejections: ReadonlyMap<string, MillraceError> | undefined;
}

/**
 * Drops messages whose key was there before. A key is remembered while its message is in flight and for `window` after
 * that, but never more than `maxKeys` of them. Where the stream has a log, it keeps the keys with the messages.
 *
 * A dropped message is confirmed when the one that was passed on is, and no sooner: whoever counts what is confirmed
 * would else count one that is still in flight. Its sender is told the same, that it is safe or that it was rejected.
 */
export class Dedupe {
  readonly #options: DedupeOptions;
  readonly #seen = new Map<string, First>();
  /** Oldest first, from `#head` on. */
  #firsts: First[] = [];
  #head = 0;
  #recovered = false;

  constructor(options: DedupeOptions) {
    this.#options = options;
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#seen.size;
  }

  /** The batch without what was there before; undefined, and its ack seen to, when nothing is left. */
  filter(batch: Batch): Batch | undefined {
    this.#recover();
    this.#forgetOld();
    const keys: string[] = [];
    /** Of these, the ones that may come again after a restart. */
    const lasting: string[] = [];
    const first: First = { ...fresh(keys), confirmedAt: undefined };
    const dropped: number[] = [];
    const others = new Set<First>();
    const { payloads, runs } = batch;
    for (let at = 0; at < runs.length; at++) {
      const run = runs[at]!;
      // Only what a peer sent is numbered; what tells of sessions is always passed on.
      if (run.sequence === undefined) continue;
      const scope = this.#scopeOf(run.origin);
      const end = runs[at + 1]?.start ?? payloads.length;
      for (let index = run.start; index < end; index++) {
        const key = this.#keyOf(payloads[index]!, run, scope);
        if (key === undefined) continue;
        const known = this.#seen.get(key);
        if (known === undefined) {
          if (keys.length === 0) this.#firsts.push(first);
          this.#seen.set(key, first);
          keys.push(key);
          if (!scope.startsWith(SESSION)) lasting.push(key);
          this.#forgetSurplus();
        } else {
          dropped.push(index);
          others.add(known);
        }
      }
    }
    const copies = { batch, indices: dropped };
    for (const other of others) this.#follow(other, copies, other === first ? noAck : batch.ack);
    if (dropped.length > 0) this.#options.dropped(dropped.length);
    if (dropped.length === batch.length) {
      batch.ack.ack();
      return undefined;
    }
    const rest = batch.without(dropped);
    if (keys.length === 0) return rest;
    const ack = createAck((error) => {
      this.#settle(first, rest, error);
      if (error === undefined) batch.ack.ack();
      else batch.ack.nack(error);
    });
    return this.#remembered(rest.withAck(ack), lasting);
  }

  /** Copies are confirmed when the first is, and told that they are rejected where it is. */
  #follow(first: First, copies: Copies, ack: Ack): void {
    if (first.confirmedAt === undefined) {
      first.waiting.push({ ack: ack.fork(), copies });
      return;
    }
    this.#tell(first, copies);
    const { entry } = first;
    // What is stored is safe; who wants more waits until the log's entry has been delivered.
    if (entry === undefined || copies.batch.intake?.when !== 'delivered') return;
    const fork = ack.fork();
    this.#options.durability!.whenDelivered(entry, () => {
      first.entry = undefined;
      fork.ack();
    });
  }

  #settle(first: First, batch: Batch, error: unknown): void {
    if (error === undefined) {
      first.confirmedAt = performance.now();
      first.rejections = this.#rejectionsOf(batch);
    } else this.#fail(first);
    const { waiting } = first;
    first.waiting = [];
    for (const { ack, copies } of waiting) {
      if (error === undefined) {
        this.#tell(first, copies);
        ack.ack();
      } else ack.nack(error);
    }
  }

  /** What has not been taken is not known: it may come again. */
  #fail(first: First): void {
    for (const key of first.keys) this.#delete(key, first);
    first.keys = [];
    first.forgotten = 0;
    first.confirmedAt = -Infinity;
  }

  /** Why messages of the batch were rejected, by their keys; undefined when none was. */
  #rejectionsOf({ payloads, runs }: Batch): ReadonlyMap<string, MillraceError> | undefined {
    let found: Map<string, MillraceError> | undefined;
    for (const [at, run] of runs.entries()) {
      const { origin, sequence } = run;
      if (sequence === undefined || origin.rejection === undefined) continue;
      const end = runs[at + 1]?.start ?? payloads.length;
      for (let index = run.start; index < end; index++) {
        const error = origin.rejection(sequence + index - run.start);
        const key = error && this.#keyOf(payloads[index]!, run, this.#scopeOf(origin));
        if (key !== undefined) (found ??= new Map()).set(key, error!);
      }
    }
    return found;
  }

  #tell({ rejections }: First, { batch, indices }: Copies): void {
    if (rejections === undefined) return;
    for (const index of indices) {
      const run = batch.runAt(index);
      const key = this.#keyOf(batch.payloads[index]!, run, this.#scopeOf(run.origin));
      const error = key === undefined ? undefined : rejections.get(key);
      if (error !== undefined) run.origin.rejected?.(run.sequence! + index - run.start, error);
    }
  }

  #scopeOf({ ext }: Origin): string {
    const { per } = this.#options;
    if (per === 'all') return '';
    const subject = per === 'subject' ? ext['subject'] : undefined;
    return subject === undefined ? `${SESSION}${ext['session_id']}` : `${subject.length}:${subject}`;
  }

  #keyOf(payload: Uint8Array, { messageType }: Run, scope: string): string | undefined {
    const text = textAt(payload, this.#options.path, messageType === 'text');
    if (text === undefined) return undefined;
    const key = scope + text;
    return key.length <= LONGEST_KEY ? key : hash('sha256', key, 'base64');
  }

  /** The batch, with the keys for the log to keep. */
  #remembered(batch: Batch, keys: readonly string[]): Batch {
    const { durability, space, window, maxKeys: max } = this.#options;
    if (durability === undefined || keys.length === 0) return batch;
    return batch.withIntake({ keys: { space, keys, expires: Date.now() + window, max } });
  }

  /** Takes over what the log remembers, once. */
  #recover(): void {
    if (this.#recovered) return;
    this.#recovered = true;
    const { durability, space, window } = this.#options;
    for (const { keys, expires, entry } of durability?.recoveredKeys(space) ?? []) {
      const confirmedAt = performance.now() + expires - Date.now() - window;
      const first: First = { ...fresh(keys), confirmedAt, entry };
      for (const key of keys) this.#seen.set(key, first);
      this.#firsts.push(first);
    }
    this.#forgetSurplus();
  }

  #forgetOld(): void {
    const before = performance.now() - this.#options.window;
    while (this.#head < this.#firsts.length) {
      const { confirmedAt } = this.#firsts[this.#head]!;
      if (confirmedAt === undefined || confirmedAt > before) return;
      this.#forget(Infinity);
    }
  }

  #forgetSurplus(): void {
    while (this.#seen.size > this.#options.maxKeys) this.#forget(1);
  }

  /** Forgets keys of the oldest, at most `count`. */
  #forget(count: number): void {
    const oldest = this.#firsts[this.#head]!;
    const end = Math.min(oldest.keys.length, oldest.forgotten + count);
    for (; oldest.forgotten < end; oldest.forgotten++) this.#delete(oldest.keys[oldest.forgotten]!, oldest);
    if (end < oldest.keys.length) return;
    this.#head++;
    if (this.#head < 1024 || this.#head * 2 < this.#firsts.length) return;
    this.#firsts = this.#firsts.slice(this.#head);
    this.#head = 0;
  }

  /** Another message may have the key by now. */
  #delete(key: string, first: First): void {
    if (this.#seen.get(key) === first) this.#seen.delete(key);
  }
}

/** Begins the keys of a session. Those of a subject begin with a digit. */
const SESSION = '#';

function fresh(keys: readonly string[]): Omit<First, 'confirmedAt'> {
  return { keys, forgotten: 0, waiting: [], entry: undefined, rejections: undefined };
}

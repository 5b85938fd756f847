import { hash } from 'node:crypto';
import type { Durability } from '../component/context.ts';
import type { MillraceError, Rejection } from '../errors.ts';
import { Batch, type Origin, type Run } from '../message/batch.ts';
import { positioned, type InputDelivery } from '../message/delivery.ts';
import { Fifo } from '../message/fifo.ts';
import { keyAt, type JsonPath } from '../message/json-path.ts';
import { extText } from '../message/metadata.ts';
import { ownerOf } from '../message/owned-key.ts';
import { relayReceipt, type Receipt } from '../message/receipt.ts';
import { Shares } from '../message/shares.ts';

/** In characters. A longer key is remembered by its hash, so that the number of keys bounds the memory. */
const LONGEST_KEY = 128;

/** The scope in which a key is unique: all senders, those who authenticated as one subject, or one connection. */
export type Scope = 'all' | 'subject' | 'session';

export interface DedupeOptions {
  readonly path: JsonPath;
  readonly per: Scope;
  /** Milliseconds. */
  readonly window: number;
  readonly maxKeys: number;
  /** The name under which the stream's log keeps the keys. */
  readonly space: string;
  /** The name that earlier versions used. */
  readonly formerSpace: string;
  /** The stream's log, if it has one. */
  readonly durability: Durability | undefined;
  /** Called with the number of messages dropped from each batch. */
  readonly dropped: (count: number) => void;
}

/** The messages of a delivery that were dropped. */
interface Copies {
  readonly receipt: Receipt;
  readonly confirm: InputDelivery['confirm'];
  /** They, or their keys once they are parked. */
  known: Known;
}

/** A copy that waits for its first message. */
interface Waiting {
  /** Of the receipt of the delivery that it came with. */
  readonly fork: Receipt;
  readonly copies: Copies;
  /** The number of messages that are parked: all, or none. */
  parked: number;
}

/**
 * Messages, or only their keys with their senders, by position. While messages are parked, nothing counts them in a budget
 * here, so their payloads must not stay.
 */
type Known = Batch | ReadonlyMap<number, string>;

/** The messages of one batch that were the first with their keys. */
interface First {
  /** Their keys. */
  readonly groups: Group[];
  /** When they were confirmed, in milliseconds of `performance.now()`; undefined while they are in flight. */
  confirmedAt: number | undefined;
  /** The copies that wait for them, each with a fork of its delivery's receipt. */
  waiting: Waiting[];
  /** Some operator keeps them as state, so their copies count as state too. */
  parked: boolean;
  /** The number of their log entry, if it is older than this start and may not have been delivered yet. */
  entry: number | undefined;
  /** Why messages with these keys were rejected. */
  rejections: ReadonlyMap<string, MillraceError> | undefined;
  /** They are older than this start: only messages that ended the process are known to have been rejected. */
  recovered: boolean;
}

/** The keys of one sender. */
interface Group {
  readonly first: First;
  readonly sender: Sender;
  keys: string[];
  /** The number of keys that have been forgotten. */
  forgotten: number;
}

/** A sender, among whose messages keys are unique. */
interface Sender {
  readonly name: string;
  readonly seen: Map<string, First>;
  /** Oldest first. */
  readonly groups: Fifo<Group>;
}

/**
 * Drops messages whose key has been seen before. A key is remembered while its message is in flight and for `window`
 * after that. At most `maxKeys` are remembered: beyond that, the sender with the most keys loses its oldest, so that no
 * sender loses its share to another. If the stream has a log, it keeps the keys with the messages.
 *
 * A dropped message is confirmed when its original is, and no sooner: otherwise a count of confirmed messages would
 * include one that is still in flight. Its sender is told the same: that it is safe, or that it was rejected.
 */
export class Dedupe {
  readonly #options: DedupeOptions;
  readonly #senders = new Map<string, Sender>();
  #size = 0;
  /** The number of keys of each sender, except those in `#changed`. Consulted only when there are too many keys. */
  readonly #shares = new Shares();
  readonly #changed = new Set<Sender>();
  /** Oldest first. */
  readonly #firsts = new Fifo<First>();
  #recovered = false;
  /** The number of copies that are parked. */
  #parked = 0;

  constructor(options: DedupeOptions) {
    this.#options = options;
  }

  /** The number of keys that are remembered. */
  get size(): number {
    return this.#size;
  }

  /** Returns the delivery without its copies. If nothing is left, settles its receipt and returns undefined. */
  filter(delivery: InputDelivery): InputDelivery | undefined {
    const { batch, receipt } = delivery;
    this.#recover();
    this.#forgetOld();
    const first = fresh(undefined);
    /** The keys that must survive a restart. */
    const lasting: string[] = [];
    const dropped: number[] = [];
    const others = new Set<First>();
    const { payloads, runs } = batch;
    for (let at = 0; at < runs.length; at++) {
      const run = runs[at]!;
      // Only messages of a peer are numbered; messages about sessions always pass.
      if (run.sequence === undefined) continue;
      const name = this.#senderOf(run.origin);
      const sender = this.#senders.get(name) ?? { name, seen: new Map(), groups: new Fifo() };
      const end = runs[at + 1]?.start ?? payloads.length;
      let group: Group | undefined;
      for (let index = run.start; index < end; index++) {
        const key = this.#keyOf(payloads[index]!, run);
        if (key === undefined) continue;
        const known = sender.seen.get(key);
        if (known === undefined) {
          group ??= this.#groupOf(sender, first);
          this.#remember(key, group);
          if (!name.startsWith(SESSION)) lasting.push(name + key);
          this.#forgetSurplus();
          if (group.keys.length === 0) group = undefined;
        } else {
          dropped.push(index);
          others.add(known);
        }
      }
    }
    if (first.groups.length > 0) this.#firsts.push(first);
    if (dropped.length > 0) {
      const copies = { receipt, confirm: delivery.confirm, known: batch.select(dropped) };
      for (const other of others) this.#follow(other, copies);
      for (const { parked, waiting } of others) if (parked && waiting.length > 0) this.#park(waiting.at(-1)!);
    }
    if (dropped.length > 0) this.#options.dropped(dropped.length);
    if (dropped.length === batch.length && delivery.rejected === undefined) {
      receipt.done();
      return undefined;
    }
    const rest = { ...delivery, batch: batch.without(dropped) };
    if (first.groups.length === 0) return rest;
    let known: Known = rest.batch;
    const own = relayReceipt(
      receipt,
      (error, rejected) => this.#settle(first, known, error, rejected),
      () => {
        known = this.#keysOf(known);
        first.parked = true;
        for (const each of first.waiting) this.#park(each);
      },
    );
    return this.#remembered({ ...rest, receipt: own }, lasting);
  }

  /** Confirms copies when the first is confirmed, and rejects them where the first is rejected. */
  #follow(first: First, copies: Copies): void {
    const fork = copies.receipt.fork();
    if (first.confirmedAt === undefined) {
      first.waiting.push({ fork, copies, parked: 0 });
      return;
    }
    const rejected = this.#rejectedOf(first, copies);
    const { entry } = first;
    // A stored message is safe; a copy that needs more waits until the log's entry has been delivered.
    if (entry === undefined || copies.confirm !== 'delivered') return fork.done(rejected);
    this.#options.durability!.whenDelivered(entry, () => {
      first.entry = undefined;
      fork.done(rejected);
    });
  }

  #settle(first: First, known: Known, error: unknown, rejected: readonly Rejection[]): void {
    if (error === undefined) {
      first.confirmedAt = performance.now();
      first.rejections = this.#rejectionsOf(known, rejected);
    } else this.#fail(first);
    const { waiting } = first;
    first.waiting = [];
    for (const { fork, copies, parked } of waiting) {
      this.#parked -= parked;
      if (error === undefined) fork.done(this.#rejectedOf(first, copies));
      else fork.failed(error);
    }
  }

  /** Forgets the keys of messages that were not taken: they may come again. */
  #fail(first: First): void {
    for (const group of first.groups) this.#forget(group, Infinity);
    first.groups.length = 0;
    first.confirmedAt = -Infinity;
  }

  /**
   * A copy is kept as long as its first message is. No more are parked than keys are remembered: the others stay in flight,
   * so that whoever repeats one message again and again has to wait.
   */
  #park(waiting: Waiting): void {
    if (waiting.parked > 0 || this.#parked >= this.#options.maxKeys) return;
    const { fork, copies } = waiting;
    const keys = this.#keysOf(copies.known);
    copies.known = keys;
    waiting.parked = keys.size;
    this.#parked += keys.size;
    fork.park();
  }

  #keysOf(known: Known): ReadonlyMap<number, string> {
    if (!(known instanceof Batch)) return known;
    const keys = new Map<number, string>();
    for (let index = 0; index < known.length; index++) {
      const [position, key] = [known.positionAt(index), this.#ownedKeyAt(known, index)];
      if (position !== undefined && key !== undefined) keys.set(position, key);
    }
    return keys;
  }

  /** The key of a message, with its sender; undefined if it has none. */
  #ownedKeyAt(batch: Batch, index: number): string | undefined {
    const run = batch.runAt(index);
    if (run.sequence === undefined) return undefined;
    const key = this.#keyOf(batch.payloads[index]!, run);
    return key === undefined ? undefined : this.#senderOf(run.origin) + key;
  }

  /** Why messages were rejected, by their keys; undefined when none was. */
  #rejectionsOf(
    known: Known,
    rejected: readonly Rejection[],
  ): ReadonlyMap<string, MillraceError> | undefined {
    if (rejected.length === 0) return undefined;
    const keys = this.#keysOf(known);
    const found = new Map<string, MillraceError>();
    for (const { index, error } of rejected) {
      const key = keys.get(index);
      if (key !== undefined) found.set(key, error);
    }
    return found;
  }

  /** The copies that are rejected because the first was, by their positions. */
  #rejectedOf({ rejections, recovered }: First, { known }: Copies): Rejection[] {
    const found: Rejection[] = [];
    if (recovered && known instanceof Batch) {
      for (const [index, payload] of known.payloads.entries()) {
        const error = this.#options.durability?.refusal(payload);
        if (error !== undefined) found.push({ index, error });
      }
      return positioned(known, found);
    }
    if (rejections === undefined) return found;
    for (const [index, key] of this.#keysOf(known)) {
      const error = rejections.get(key);
      if (error !== undefined) found.push({ index, error });
    }
    return found;
  }

  #senderOf({ ext }: Origin): string {
    const { per } = this.#options;
    if (per === 'all') return '';
    const subject = per === 'subject' ? extText(ext, 'subject') : undefined;
    return subject === undefined ? `${SESSION}${extText(ext, 'session_id')}` : `${subject.length}:${subject}`;
  }

  #keyOf(payload: Uint8Array, { messageType }: Run): string | undefined {
    const key = keyAt(payload, this.#options.path, messageType === 'text');
    return key === undefined || key.length <= LONGEST_KEY ? key : `#${hash('sha256', key, 'base64')}`;
  }

  /** The delivery, with the keys that the log is to keep. */
  #remembered(delivery: InputDelivery, keys: readonly string[]): InputDelivery {
    const { durability, space, window, maxKeys: max } = this.#options;
    if (durability === undefined || keys.length === 0) return delivery;
    return { ...delivery, keys: { space, keys, expires: Date.now() + window, max } };
  }

  /** Takes over the keys that the log remembers, once. */
  #recover(): void {
    if (this.#recovered) return;
    this.#recovered = true;
    const { durability, space, formerSpace } = this.#options;
    if (durability === undefined) return;
    for (const { keys, expires, entry } of durability.recoveredKeys(formerSpace))
      this.#takeOver(keys.flatMap(currentKeys), expires, entry);
    for (const { keys, expires, entry } of durability.recoveredKeys(space))
      this.#takeOver(keys, expires, entry);
    this.#forgetSurplus();
  }

  #takeOver(keys: readonly string[], expires: number, entry: number): void {
    const first = fresh(performance.now() + expires - Date.now() - this.#options.window);
    first.entry = entry;
    first.recovered = true;
    for (const [name, owned] of Map.groupBy(keys, ownerOf)) {
      const sender = this.#senders.get(name) ?? { name, seen: new Map(), groups: new Fifo() };
      const group = this.#groupOf(sender, first);
      for (const key of owned) this.#remember(key.slice(name.length), group);
    }
    this.#firsts.push(first);
  }

  /** The group for the keys that a sender adds with a batch. */
  #groupOf(sender: Sender, first: First): Group {
    const last = sender.groups.last;
    if (last?.first === first) return last;
    const group: Group = { first, sender, keys: [], forgotten: 0 };
    first.groups.push(group);
    sender.groups.push(group);
    this.#senders.set(sender.name, sender);
    return group;
  }

  #remember(key: string, { sender, first, keys }: Group): void {
    const { seen } = sender;
    const before = seen.size;
    seen.set(key, first);
    this.#size += seen.size - before;
    this.#changed.add(sender);
    keys.push(key);
  }

  #forgetOld(): void {
    const before = performance.now() - this.#options.window;
    for (;;) {
      const oldest = this.#firsts.first;
      if (oldest?.confirmedAt === undefined || oldest.confirmedAt > before) return;
      this.#firsts.shift();
      for (const group of oldest.groups) this.#forget(group, Infinity);
    }
  }

  #forgetSurplus(): void {
    while (this.#size > this.#options.maxKeys) {
      // One by one, because another sender may then have the most.
      this.#forget(this.#largest.groups.first!, 1);
    }
  }

  /** The sender with the most keys. */
  get #largest(): Sender {
    if (this.#senders.size === 1) return this.#senders.values().next().value!;
    for (const sender of this.#changed) {
      const { name, seen } = sender;
      // A sender that had none left may have come back since.
      if (this.#senders.get(name) === sender) this.#shares.set(name, seen.size);
    }
    this.#changed.clear();
    return this.#senders.get(this.#shares.largest!)!;
  }

  /** Forgets at most `count` of the oldest keys of a group. */
  #forget(group: Group, count: number): void {
    const { sender, keys, first } = group;
    const { name, seen, groups } = sender;
    const before = seen.size;
    const end = Math.min(keys.length, group.forgotten + count);
    for (; group.forgotten < end; group.forgotten++) {
      const key = keys[group.forgotten]!;
      // Another message may hold the key by now.
      if (seen.get(key) === first) seen.delete(key);
    }
    if (end === keys.length) {
      group.keys = [];
      group.forgotten = 0;
    }
    while (groups.first?.keys.length === 0) groups.shift();
    if (seen.size === before) return;
    this.#size -= before - seen.size;
    this.#changed.add(sender);
    if (seen.size > 0) return;
    this.#changed.delete(sender);
    this.#senders.delete(name);
    this.#shares.set(name, 0);
  }
}

/** The first character of a session's name. A subject's name begins with a digit. */
const SESSION = '#';

function fresh(confirmedAt: number | undefined): First {
  return {
    groups: [],
    confirmedAt,
    waiting: [],
    parked: false,
    entry: undefined,
    rejections: undefined,
    recovered: false,
  };
}

/** The keys that a former key may be now: older logs did not tell `1` from `"1"`. A long key was stored as its hash. */
function currentKeys(former: string): string[] {
  const owner = ownerOf(former);
  const text = former.slice(owner.length);
  const string = `${owner}"${text}`;
  return /^(?:-?\d[\d.eE+-]*|true|false)$/.test(text) ? [string, owner + text] : [string];
}

import type { Keys } from '../../message/delivery.ts';
import { ownerOf } from '../../message/owned-key.ts';
import { Shares } from '../../message/shares.ts';
import { decodeKeys, encodeKeys } from './entry-codec.ts';
import { u48 } from '../../message/u48.ts';
import { FRAME_BYTES } from './format.ts';

/** The keys that came with one entry. */
export type KeyGroup = Keys & { readonly entry: number };

interface Held {
  readonly group: KeyGroup;
  /** The newest segment that holds them. */
  segment: number;
}

/** How often expired keys are sought while there are too many, in milliseconds. */
const SWEEP = 1000;

/** The keys that still count, so that those of a segment can be written again before it is deleted. */
export class RememberedKeys {
  readonly #spaces = new Map<string, Space>();

  add(group: KeyGroup, segment: number, now: number): void {
    let space = this.#spaces.get(group.space);
    if (space === undefined) this.#spaces.set(group.space, (space = new Space()));
    space.add(group, segment, now);
  }

  /** The keys that count, oldest first: per entry, one group for each owner. */
  list(now: number): KeyGroup[] {
    return this.#all(now)
      .map(({ group }) => group)
      .toSorted((a, b) => a.entry - b.entry);
  }

  /** The keys to write again, as content of a record, before the segments up to `segment` are deleted. */
  carry(segment: number, now: number): { readonly groups: KeyGroup[]; moved(to: number): void } {
    const held = this.#all(now).filter((each) => each.segment <= segment);
    return {
      groups: held.map(({ group }) => group),
      moved: (to) => {
        for (const each of held) each.segment = to;
      },
    };
  }

  #all(now: number): Held[] {
    return [...this.#spaces.values()].flatMap((space) => space.all(now));
  }
}

/** The groups of one owner, oldest first. Those before `first` are forgotten, and removed now and then. */
interface Queue {
  held: Held[];
  first: number;
}

/** The keys of one space. When there are too many, the owner with the most loses its oldest. */
class Space {
  readonly #queues = new Map<string, Queue>();
  readonly #shares = new Shares();
  /** The limit on keys, as the newest entry states it. */
  #max = 0;
  #newest = -1;
  #sweepAt = 0;

  add(group: KeyGroup, segment: number, now: number): void {
    if (group.entry >= this.#newest) {
      this.#newest = group.entry;
      this.#max = group.max;
    }
    for (const [owner, keys] of Map.groupBy(group.keys, ownerOf)) {
      this.#add(owner, { group: { ...group, keys }, segment });
    }
    this.#trim(now);
  }

  all(now: number): Held[] {
    this.#expire(now);
    return [...this.#queues.values()].flatMap(({ held, first }) =>
      held.slice(first).filter(({ group }) => group.expires > now),
    );
  }

  #add(owner: string, added: Held): void {
    let queue = this.#queues.get(owner);
    if (queue === undefined) this.#queues.set(owner, (queue = { held: [], first: 0 }));
    const { held, first } = queue;
    const { entry, keys } = added.group;
    // Keys carried over from a deleted segment are read after newer ones, and may be read twice.
    let place = held.length;
    while (place > first && held[place - 1]!.group.entry > entry) place--;
    const before = place > first ? held[place - 1] : undefined;
    if (before?.group.entry === entry) {
      before.segment = Math.max(before.segment, added.segment);
      return;
    }
    if (place === held.length) held.push(added);
    else held.splice(place, 0, added);
    this.#shares.change(owner, keys.length);
  }

  #trim(now: number): void {
    if (this.#shares.total <= this.#max) return;
    if (now >= this.#sweepAt || now < this.#sweepAt - SWEEP) {
      this.#sweepAt = now + SWEEP;
      this.#expire(now);
    }
    for (;;) {
      const owner = this.#shares.largest;
      const queue = owner === undefined ? undefined : this.#queues.get(owner);
      // Bounded by their number as well, so that a clock that was set back cannot keep them.
      if (queue === undefined || this.#shares.total - queue.held[queue.first]!.group.keys.length < this.#max)
        return;
      this.#shift(owner!, queue);
    }
  }

  #expire(now: number): void {
    for (const [owner, queue] of this.#queues) {
      while (queue.first < queue.held.length && queue.held[queue.first]!.group.expires <= now) {
        this.#shift(owner, queue);
      }
    }
  }

  /** Forgets the oldest group of an owner. */
  #shift(owner: string, queue: Queue): void {
    this.#shares.change(owner, -queue.held[queue.first]!.group.keys.length);
    queue.first++;
    if (queue.first === queue.held.length) this.#queues.delete(owner);
    else if (queue.first >= queue.held.length / 2) {
      queue.held = queue.held.slice(queue.first);
      queue.first = 0;
    }
  }
}

/** A record, not yet sealed, that says which segments are deleted and keeps the keys that were in them. */
export function encodeReclaimed(oldest: number, groups: readonly KeyGroup[]): Buffer {
  const parts: Buffer[] = [Buffer.alloc(FRAME_BYTES + u48.bytes)];
  u48.write(parts[0]!, oldest, FRAME_BYTES);
  for (const group of groups) {
    const text = encodeKeys(group);
    const head = Buffer.alloc(u48.bytes + 4);
    head.writeUInt32LE(text.length, u48.write(head, group.entry, 0));
    parts.push(head, text);
  }
  return Buffer.concat(parts);
}

export function decodeReclaimed(content: Buffer): {
  readonly oldest: number;
  readonly groups: readonly KeyGroup[];
} {
  const groups: KeyGroup[] = [];
  for (let at = u48.bytes; at < content.length;) {
    const start = at + u48.bytes + 4;
    const end = start + content.readUInt32LE(at + u48.bytes);
    groups.push({ entry: u48.read(content, at), ...decodeKeys(content.subarray(start, end)) });
    at = end;
  }
  return { oldest: u48.read(content, 0), groups };
}

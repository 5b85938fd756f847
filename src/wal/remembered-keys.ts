import type { Keys } from '../message/batch.ts';
import { decodeKeys, encodeKeys } from './entry-codec.ts';
import { FRAME_BYTES, u48 } from './format.ts';

/** The keys that came with one entry. */
export type KeyGroup = Keys & { readonly entry: number };

interface Held {
  readonly group: KeyGroup;
  /** The newest segment that they are written in. */
  segment: number;
}

/** The groups of one space, the oldest first. Those before `first` are forgotten, and removed now and then. */
interface Space {
  held: Held[];
  first: number;
  count: number;
}

/** The keys that still count, so that those in a segment that goes can be written again. */
export class RememberedKeys {
  readonly #spaces = new Map<string, Space>();

  add(group: KeyGroup, segment: number, now: number): void {
    let space = this.#spaces.get(group.space);
    if (space === undefined) this.#spaces.set(group.space, (space = { held: [], first: 0, count: 0 }));
    const { held } = space;
    // What was carried over from a deleted segment is read after newer ones, and may be read twice.
    let place = held.length;
    while (place > space.first && held[place - 1]!.group.entry > group.entry) place--;
    const before = place > space.first ? held[place - 1] : undefined;
    if (before?.group.entry === group.entry) {
      before.segment = Math.max(before.segment, segment);
      return;
    }
    if (place === held.length) held.push({ group, segment });
    else held.splice(place, 0, { group, segment });
    space.count += group.keys.length;
    this.#trim(space, now);
  }

  /** Those that count, the oldest first. */
  list(now: number): KeyGroup[] {
    return this.#all(now)
      .map(({ group }) => group)
      .toSorted((a, b) => a.entry - b.entry);
  }

  /** What must be written again before the segments up to `segment` go, as content of a record. */
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
    for (const space of this.#spaces.values()) this.#trim(space, now);
    return [...this.#spaces.values()].flatMap(({ held, first }) =>
      held.slice(first).filter(({ group }) => group.expires > now),
    );
  }

  #trim(space: Space, now: number): void {
    const { held } = space;
    const max = held.at(-1)?.group.max ?? 0;
    while (space.first < held.length) {
      const { keys, expires } = held[space.first]!.group;
      // Bounded by their number as well: a clock that was set back makes none of them stay.
      if (expires > now && space.count - keys.length < max) break;
      space.count -= keys.length;
      space.first++;
    }
    if (space.first < held.length / 2) return;
    space.held = held.slice(space.first);
    space.first = 0;
  }
}

/** A record, not sealed yet, that says which segments are deleted, and keeps the keys that were in them. */
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

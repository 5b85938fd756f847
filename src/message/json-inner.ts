import { ValueReader } from './json-kinds.ts';
import { endOfKey, endOfSpace, endOfString } from './json-skip.ts';
import { createSlices, type Slices } from './json-slices.ts';
import { textOf, unquote } from './text.ts';

// Constants of this module rather than imported ones: V8 folds these into the code, which makes it a third faster.
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const CLOSE_ARRAY = 0x5d;
const CLOSE_OBJECT = 0x7d;

/** Values inside arrays, and for each its payload. */
export interface Items {
  readonly payloads: readonly Uint8Array[];
  readonly slices: Slices;
  /** The start of the items of each array, and the end of the last ones. */
  readonly offsets: Uint32Array;
}

/**
 * The items of the arrays that start at `starts`; an entry for each payload. Where `valid` is 0 there is no array.
 */
export function itemsOf(
  payloads: readonly Uint8Array[],
  starts: ArrayLike<number>,
  valid: Uint8Array | undefined,
): Items {
  const reader = new ValueReader();
  const offsets = new Uint32Array(payloads.length + 1);
  const owners: Uint8Array[] = [];
  let slices = createSlices(payloads.length * 4);
  let count = 0;
  for (let row = 0; row < payloads.length; row++) {
    const payload = payloads[row]!;
    if (valid?.[row] !== 0) {
      const length = payload.length;
      let at = endOfSpace(payload, starts[row]! + 1, length);
      while (payload[at] !== CLOSE_ARRAY) {
        if (count === slices.kinds.length) slices = grown(slices);
        slices.starts[count] = at;
        at = reader.read(payload, at, length);
        slices.ends[count] = at;
        slices.kinds[count] = reader.kind;
        owners.push(payload);
        count++;
        at = endOfSpace(payload, at, length);
        if (payload[at] === COMMA) at = endOfSpace(payload, at + 1, length);
      }
    }
    offsets[row + 1] = count;
  }
  return { payloads: owners, slices, offsets };
}

function grown({ kinds, starts, ends }: Slices): Slices {
  const slices = createSlices(Math.max(16, kinds.length * 2));
  slices.kinds.set(kinds);
  slices.starts.set(starts);
  slices.ends.set(ends);
  return slices;
}

/**
 * The members of these names in the objects that start at `starts`; an entry for each payload. Where `valid` is 0 there
 * is no object. Of members with the same name, the last counts.
 */
export function membersOf(
  payloads: readonly Uint8Array[],
  starts: ArrayLike<number>,
  valid: Uint8Array | undefined,
  names: readonly string[],
): readonly Slices[] {
  const reader = new ValueReader();
  const keys = names.map((name) => Buffer.from(JSON.stringify(name)));
  const places = new Map(names.map((name, place) => [name, place]));
  const slices = names.map(() => createSlices(payloads.length));
  for (let row = 0; row < payloads.length; row++) {
    if (valid?.[row] === 0) continue;
    const payload = payloads[row]!;
    const length = payload.length;
    let at = starts[row]! + 1;
    // Objects mostly have their members in the order of the type.
    let expected = 0;
    for (;;) {
      const byte = payload[at++];
      if (byte === CLOSE_OBJECT) break;
      if (byte !== QUOTE) continue;
      let place: number | undefined = expected;
      const start = at - 1;
      at = endOfKey(keys[expected], payload, start);
      if (at < 0) {
        const end = endOfString(payload, start + 1, length);
        at = end < 0 ? ~end : end;
        place = places.get(unquote(textOf(payload, start, at)));
      }
      if (payload[at] !== COLON) at = endOfSpace(payload, at, length);
      at++;
      if (payload[at]! <= SPACE) at = endOfSpace(payload, at, length);
      const valueStart = at;
      at = reader.read(payload, at, length);
      if (place === undefined) continue;
      const { kinds, starts: from, ends } = slices[place]!;
      kinds[row] = reader.kind;
      from[row] = valueStart;
      ends[row] = at;
      expected = place + 1;
    }
  }
  return slices;
}

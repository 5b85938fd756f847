import { textsOf, type Test } from './compare.ts';
import { FALSE, TRUE } from './truth.ts';

/** Patterns that are one text with `%` or nothing before it and behind it. */
const PLAIN = /^(%?)([^%_]*)(%?)$/;

/**
 * The test of texts with a LIKE pattern; undefined for a pattern that is more than a prefix, a suffix, a part or a
 * whole.
 */
export function like(pattern: string): Test | undefined {
  const [, before, text = '', behind] = PLAIN.exec(pattern) ?? [];
  if (before === undefined) return undefined;
  const wanted = Buffer.from(text);
  if (before === '')
    return behind === '' ? compareEnds(wanted, false, false) : compareEnds(wanted, false, true);
  return behind === '' ? compareEnds(wanted, true, true) : contains(wanted);
}

/** `atEnd`: compares the end of each text rather than its beginning; `isPart`: the text may be longer. */
function compareEnds(wanted: Uint8Array, atEnd: boolean, isPart: boolean): Test {
  return (values, length, truths) => {
    const { data, offsets } = textsOf(values);
    for (let row = 0; row < length; row++) {
      const start = offsets[row]!;
      const spare = offsets[row + 1]! - start - wanted.length;
      const fits = isPart ? spare >= 0 : spare === 0;
      truths[row] = fits && isAt(data, atEnd ? start + spare : start, wanted) ? TRUE : FALSE;
    }
  };
}

/** One search through the texts of all rows, so that no view is made of each. */
function contains(wanted: Uint8Array): Test {
  return (values, length, truths) => {
    const { data, offsets } = textsOf(values);
    const all = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    let next = -1;
    for (let row = 0; row < length; row++) {
      const start = offsets[row]!;
      if (next < start) {
        const found = all.indexOf(wanted, start);
        next = found < 0 ? Infinity : found;
      }
      // If it runs into the next text, this one has no other.
      truths[row] = next + wanted.length <= offsets[row + 1]! ? TRUE : FALSE;
    }
  };
}

function isAt(data: Uint8Array, start: number, wanted: Uint8Array): boolean {
  for (let at = 0; at < wanted.length; at++) if (data[start + at] !== wanted[at]) return false;
  return true;
}

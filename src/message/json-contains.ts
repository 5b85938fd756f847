import { decimalValue, ExactNumber } from './decimal.ts';
import { elementAt, isNumberAt, memberAt, numberAt, startOf, stepTo, stringAt } from './json-path.ts';
import { findJsonError } from './json-validate.ts';

/** True if the value that starts at `at` matches. */
type Test = (payload: Uint8Array, at: number) => boolean;

/** Two texts of this kind are equal only if they are identical. */
const PLAIN_INTEGER = /^-?[1-9]\d*$/;

const QUOTE = 0x22;
const OPEN_ARRAY = 0x5b;
const LOWER_F = 0x66;
const LOWER_N = 0x6e;
const LOWER_T = 0x74;
const OPEN_OBJECT = 0x7b;

/**
 * True if a message is JSON that has everything that `part` has: it compares objects by field, lists by place, numbers
 * by their value to the last digit, and everything else by equality.
 */
export function compileContains(part: unknown): (payload: Uint8Array) => boolean {
  const test = compile(part);
  return (payload) => findJsonError(payload) < 0 && test(payload, startOf(payload));
}

function compile(part: unknown): Test {
  if (typeof part === 'string') {
    return (payload, at) => payload[at] === QUOTE && stringAt(payload, at) === part;
  }
  if (typeof part === 'number' || part instanceof ExactNumber) {
    const text = String(part);
    const value = decimalValue(text);
    const isPlain = PLAIN_INTEGER.test(text);
    return (payload, at) => {
      if (!isNumberAt(payload, at)) return false;
      const found = numberAt(payload, at);
      if (found === text) return true;
      return !(isPlain && PLAIN_INTEGER.test(found)) && decimalValue(found) === value;
    };
  }
  if (Array.isArray(part)) {
    const items = part.map(compile);
    return (payload, at) =>
      payload[at] === OPEN_ARRAY &&
      items.every((test, index) => isAt(test, payload, elementAt(payload, at, index)));
  }
  if (typeof part === 'object' && part !== null) {
    const fields = Object.entries(part).map(([name, each]) => ({ name: stepTo(name), test: compile(each) }));
    return (payload, at) =>
      payload[at] === OPEN_OBJECT &&
      fields.every(({ name, test }) => isAt(test, payload, memberAt(payload, at, name)));
  }
  const first = part === null ? LOWER_N : part === true ? LOWER_T : LOWER_F;
  return (payload, at) => payload[at] === first;
}

function isAt(test: Test, payload: Uint8Array, at: number): boolean {
  return at >= 0 && test(payload, at);
}

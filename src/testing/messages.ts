import { isDeepStrictEqual } from 'node:util';

/** The messages to send where the subject names none. */
export const MESSAGES: readonly string[] = Array.from(
  { length: 6 },
  (_, n) => `{"n":${n},"text":"message ${n}"}`,
);

/**
 * @throws Error when the messages are not those expected, in that order; with `repeats`, one may come again after the
 * first time
 */
export function mustBe(
  what: string,
  actual: readonly string[],
  expected: readonly string[],
  repeats = false,
): void {
  const seen = repeats ? [...new Set(actual)] : actual;
  if (isDeepStrictEqual([...seen], [...expected])) return;
  throw new Error(`${what}: expected ${shown(expected)}, and there were ${shown(actual)}`);
}

export function must(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Error(otherwise);
}

export function shown(messages: readonly string[]): string {
  const cut = messages.map((each) => (each.length > 80 ? `${each.slice(0, 80)}…` : each));
  const rest = cut.length > 20 ? `, and ${cut.length - 20} more` : '';
  return `${cut.length}: ${JSON.stringify(cut.slice(0, 20))}${rest}`;
}

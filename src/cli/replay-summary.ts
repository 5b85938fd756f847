import type { Letters } from './replay-letters.ts';

/** How far a replay came. */
export interface Replayed {
  /** How many letters are confirmed. */
  readonly confirmed: number;
  /** How many of the first ones are, with none missing between them. */
  readonly safe: number;
  /** What the user is told of why it is not all; undefined when it is. */
  readonly failure: string | undefined;
  /** What else there is to say, a sentence each. */
  readonly notes: readonly string[];
}

/** The last line of `millrace replay`. */
export async function replaySummary(letters: Letters, { confirmed, safe, notes }: Replayed): Promise<string> {
  const { total, others } = letters;
  const parts = [`replayed ${confirmed} of ${total}`, ...notes];
  if (others > 0) parts.push(`${others} others left out by --code and --stage`);
  if (safe < total) {
    const next = await letters.lineOf(safe + 1).catch(() => undefined);
    if (next !== undefined && next > 1) parts.push(`--skip ${next - 1} goes on from there`);
  }
  return parts.join('; ');
}

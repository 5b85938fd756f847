import type { Letters } from './replay-letters.ts';

/** The progress of a replay. */
export interface Replayed {
  /** How many letters are confirmed. */
  readonly confirmed: number;
  /** How many letters are confirmed before the first that is not. */
  readonly safe: number;
  /** Tells the user why not all are confirmed; undefined when they are. */
  readonly failure: string | undefined;
  /** Further notes, a sentence each. */
  readonly notes: readonly string[];
}

/** The last line of `millrace replay`. */
export async function replaySummary(letters: Letters, { confirmed, safe, notes }: Replayed): Promise<string> {
  const { total, others } = letters;
  const parts = [`replayed ${confirmed} of ${total}`, ...notes];
  if (others > 0) parts.push(`${others} others left out by --code and --stage`);
  if (safe < total) {
    const next = await letters.lineOf(safe + 1).catch(() => undefined);
    if (next !== undefined && next > 1) parts.push(`--skip ${next - 1} continues from there`);
  }
  return parts.join('; ');
}

import { jsonMembers } from '../message/json.ts';
import { fold } from './database.ts';
import type { Candidate, FlowSchema } from './flow-schema.ts';

/**
 * The candidates without those that differ only in case from another field of the message that is spelled as the query,
 * or `schema`, writes the column. A text as the result says why the message cannot be taken: no field has that
 * spelling.
 */
export function takeSpellings(
  schema: FlowSchema,
  payload: Uint8Array,
  candidates: readonly Candidate[],
): readonly Candidate[] | string {
  const keys = new Set<string>();
  const doubted = new Set<string>();
  for (const { name } of candidates) {
    const key = fold(name);
    if (keys.has(key) || (schema.column(name)?.name ?? name) !== name) doubted.add(key);
    keys.add(key);
  }
  if (doubted.size === 0) return candidates;
  const spellings = new Map<string, string>();
  const clashes = new Map<string, readonly [string, string]>();
  for (const { name } of jsonMembers(payload) ?? []) {
    const key = fold(name);
    const other = spellings.get(key);
    const wanted = schema.spellingOf(name);
    if (name === wanted) clashes.delete(key);
    else if (other === wanted && other !== undefined) continue;
    else if (other !== undefined && doubted.has(key)) clashes.set(key, [other, name]);
    spellings.set(key, name);
  }
  const [clash] = clashes.values();
  if (clash !== undefined)
    return `the fields ${shorten(clash[0])} and ${shorten(clash[1])} differ only in case, and SQL does not tell them apart`;
  return candidates.filter(({ name }) => spellings.get(fold(name)) === name);
}

/** A field's name on one line, in quotes only where it needs them. */
export function shorten(name: string): string {
  const short = name.length > 100 ? `${name.slice(0, 100)}…` : name;
  return /^[\w.…-]+$/.test(short) ? short : JSON.stringify(short);
}

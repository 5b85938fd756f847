import { pathKey, type Path } from '../message/field-path.ts';
import type { BatchSlices, Slices } from '../message/json-slices.ts';

/** At most this many other spellings of a column are read; fields in more are ignored. */
const MAX_SPELLINGS = 16;

/**
 * The other spellings in which messages have had columns: SQL does not tell upper and lower case apart. Where a message
 * has a field of the column's own spelling, that is the column; otherwise, the first of its others is.
 */
export class Spellings {
  /** By the `pathKey` of the column. */
  readonly #others = new Map<string, { readonly column: Path; readonly paths: Path[] }>();

  /** Columns that have other spellings. */
  get columns(): Iterable<Path> {
    return this.#others.values().map(({ column }) => column);
  }

  of(column: Path): readonly Path[] {
    return this.#others.get(pathKey(column))?.paths ?? [];
  }

  /** @returns false if the column has too many of them */
  add(column: Path, other: Path): boolean {
    const key = pathKey(column);
    const others = this.#others.get(key) ?? { column, paths: [] };
    if (others.paths.length >= MAX_SPELLINGS) return false;
    others.paths.push(other);
    this.#others.set(key, others);
    return true;
  }

  /** Where the column's values are. */
  slices(column: Path, batch: BatchSlices): Slices | undefined {
    const own = batch.of(column);
    const others = this.of(column).flatMap((path) => batch.of(path) ?? []);
    if (others.length === 0) return own;
    const { length } = batch;
    const [kinds, starts, ends] = [new Uint16Array(length), new Uint32Array(length), new Uint32Array(length)];
    for (let index = 0; index < length; index++) {
      let first = own?.kinds[index] === 0 ? undefined : own;
      if (first === undefined)
        for (const other of others)
          if (other.kinds[index] !== 0 && !(other.starts[index]! > (first?.starts[index] ?? Infinity)))
            first = other;
      if (first === undefined) continue;
      kinds[index] = first.kinds[index]!;
      starts[index] = first.starts[index]!;
      ends[index] = first.ends[index]!;
    }
    return { kinds, starts, ends };
  }
}

/** A field's name on one line, in quotes only where it needs them. */
export function shorten(name: string): string {
  const short = name.length > 100 ? `${name.slice(0, 100)}…` : name;
  return /^[\w.…-]+$/.test(short) ? short : JSON.stringify(short);
}

import { pathKey, type Path, type PathStep } from './field-path.ts';

/** Where values are in payloads: an entry for each payload. */
export interface Slices {
  /** Bits of `fieldKinds` and `valueFlags`; 0 if there is no value. */
  readonly kinds: Uint16Array;
  /** The offsets of each value’s first byte, and of the byte after it. */
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
}

export function createSlices(length: number): Slices {
  return { kinds: new Uint16Array(length), starts: new Uint32Array(length), ends: new Uint32Array(length) };
}

/** The slices of a batch, as far as it has been scanned. */
export class BatchSlices {
  /** The number of messages. */
  readonly length: number;
  readonly #slices = new Map<string, Slices>();

  constructor(length: number) {
    this.length = length;
  }

  /** The values at a path; undefined if no message has one, or the path was not allowed when it was scanned. */
  of(path: Path): Slices | undefined {
    return this.#slices.get(pathKey(path));
  }

  /** Adds empty slices for a path. */
  add(path: readonly PathStep[]): Slices {
    const slices = createSlices(this.length);
    this.#slices.set(pathKey(path), slices);
    return slices;
  }
}

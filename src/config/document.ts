import type { NumberTexts } from './numbers.ts';
import { type Path, pathKey } from './problem.ts';

export interface Position {
  readonly line: number;
  readonly column: number;
}

/** A mistake whose file and position are not yet known. */
export interface Finding {
  readonly path: Path;
  readonly message: string;
  /** The place of the mistake, as an offset into the text. */
  readonly offset: number;
}

/** A configuration file as its format's parser leaves it: plain data, and the place of each part of it. */
export interface SourceDocument {
  readonly value: unknown;
  readonly places: Places;
  readonly numbers: NumberTexts;
  readonly findings: readonly Finding[];
  /** True when the syntax is wrong, so that `value` does not show what the author meant. */
  readonly broken: boolean;
}

/** Where the fields and values of a document stand in its text. */
export class Places {
  readonly #text: string;
  readonly #lineStarts: number[] = [0];
  readonly #keys = new Map<string, number>();
  readonly #values = new Map<string, number>();

  constructor(text: string) {
    this.#text = text;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.#lineStarts.push(at + 1);
  }

  has(path: Path): boolean {
    return this.#values.has(pathKey(path));
  }

  setKey(path: Path, offset: number): void {
    this.#keys.set(pathKey(path), offset);
  }

  setValue(path: Path, offset: number): void {
    this.#values.set(pathKey(path), offset);
  }

  /** The position of the value at `path`, or of the nearest part around it that is in the text. */
  value(path: Path): Position {
    return this.#nearest(path, (key) => this.#values.get(key));
  }

  /** The position of the name of the field at `path`; of the value, if it has no name (in a list). */
  key(path: Path): Position {
    return this.#nearest(path, (key) => this.#keys.get(key) ?? this.#values.get(key));
  }

  /**
   * The position of a place within the text that is the value at `path`, such as a query; `line` and `column` count from
   * 1. Undefined if the file writes the text in another way than line for line: with escapes, or folded.
   */
  inside(path: Path, line: number, column: number): Position | undefined {
    const start = this.#values.get(pathKey(path));
    if (start === undefined) return undefined;
    const first = this.#text.slice(start, this.#endOfLine(start));
    if (/^\|[+-]?\s*(?:#.*)?$/.test(first)) return this.#inBlock(this.position(start).line, line, column);
    if (/^(?:"""|''')\r?$/.test(first)) {
      // TOML: the text begins on the next line, and is not indented.
      return { line: this.position(start).line + line, column };
    }
    const quoted = /^(["'])((?:(?!\1|\\).)*)\1/.exec(first);
    const written = quoted === null ? (/^["'>&!*]/.test(first) ? '' : first) : quoted[2]!;
    if (line !== 1 || column > written.length + 1) return undefined;
    return this.position(start + (quoted === null ? 0 : 1) + column - 1);
  }

  /** In a literal block of YAML, whose text begins on the line after `above` with the indentation of its first line. */
  #inBlock(above: number, line: number, column: number): Position {
    let indent = 0;
    for (const start of this.#lineStarts.slice(above)) {
      const text = this.#text.slice(start, this.#endOfLine(start));
      if (text.trim() === '') continue;
      indent = text.length - text.trimStart().length;
      break;
    }
    return { line: above + line, column: indent + column };
  }

  #endOfLine(offset: number): number {
    const end = this.#text.indexOf('\n', offset);
    return end < 0 ? this.#text.length : end;
  }

  /** Offset of the name of the field at `path`, if there is one. */
  keyOffset(path: Path): number | undefined {
    return this.#keys.get(pathKey(path));
  }

  position(offset: number): Position {
    let low = 0;
    let high = this.#lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#lineStarts[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: offset - this.#lineStarts[low]! + 1 };
  }

  #nearest(path: Path, find: (key: string) => number | undefined): Position {
    for (let length = path.length; length > 0; length--) {
      const offset = find(pathKey(path.slice(0, length)));
      if (offset !== undefined) return this.position(offset);
    }
    return this.position(this.#values.get('[]') ?? 0);
  }
}

/** The mistake for a field that is given more than once. */
export function givenTwice(places: Places, path: Path, offset: number): Finding {
  const { line } = places.key(path);
  return {
    path,
    offset,
    message: `is given a second time (first on line ${line}); expected each field once`,
  };
}

import { parse } from 'smol-toml';
import { Places } from './document.ts';
import { digitsOf, type NumberTexts } from './numbers.ts';
import { type Path, pathKey } from './problem.ts';

/**
 * The places of the fields and values of a TOML document, and its digits. The text is valid: the parser has read it
 * before.
 */
export function locateToml(text: string): { places: Places; numbers: NumberTexts } {
  const locator = new TomlLocator(text);
  locator.document();
  return { places: locator.places, numbers: locator.numbers };
}

class TomlLocator {
  readonly places: Places;
  readonly numbers = new Map<string, string>();
  readonly #text: string;
  /** For each list of tables (`[[streams]]`), named by its keys without indices, how many there are so far. */
  readonly #tables = new Map<string, number>();
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.places = new Places(text);
  }

  document(): void {
    let table: Path = [];
    for (this.#blanks(); this.#at < this.#text.length; this.#blanks()) {
      if (this.#text[this.#at] === '[') table = this.#header();
      else this.#pair(table);
    }
  }

  #header(): Path {
    const start = this.#at;
    const list = this.#text.startsWith('[[', start);
    this.#at += list ? 2 : 1;
    const keys = this.#keys();
    this.#at += list ? 2 : 1;
    const path: (string | number)[] = [];
    for (const [index, key] of keys.entries()) {
      path.push(key);
      this.#note(path, start);
      const name = pathKey(keys.slice(0, index + 1));
      if (list && index === keys.length - 1) this.#tables.set(name, (this.#tables.get(name) ?? 0) + 1);
      const count = this.#tables.get(name);
      if (count !== undefined) path.push(count - 1);
      this.#note(path, start);
    }
    return path;
  }

  #pair(table: Path): void {
    const start = this.#at;
    const path = [...table, ...this.#keys()];
    for (let length = table.length + 1; length <= path.length; length++)
      this.#note(path.slice(0, length), start);
    this.#at++; // =
    this.#blanks();
    this.places.setValue(path, this.#at);
    this.#value(path);
  }

  /** Notes where a key and its value begin, unless they began before. */
  #note(path: Path, offset: number): void {
    if (this.places.has(path)) return;
    this.places.setKey(path, offset);
    this.places.setValue(path, offset);
  }

  /** Dotted keys up to the `=` or `]` after them. */
  #keys(): string[] {
    const keys: string[] = [];
    for (;;) {
      this.#blanks();
      const quote = this.#text[this.#at];
      if (quote === '"') keys.push(unquote(this.#take(/"(?:[^"\\]|\\.)*"/y)));
      else if (quote === "'") keys.push(this.#take(/'[^']*'/y).slice(1, -1));
      else keys.push(this.#take(/[\w-]+/y));
      this.#blanks();
      if (this.#text[this.#at] !== '.') return keys;
      this.#at++;
    }
  }

  #value(path: Path): void {
    const next = this.#text[this.#at];
    if (next === '[') {
      this.#items(']', (index) => {
        const item = [...path, index];
        this.places.setValue(item, this.#at);
        this.#value(item);
      });
    } else if (next === '{') this.#items('}', () => this.#pair(path));
    else if (this.#text.startsWith('"""', this.#at)) this.#take(/"""(?:[^\\]|\\[^])*?"{3,5}(?!")/y);
    else if (this.#text.startsWith("'''", this.#at)) this.#take(/'''[^]*?'{3,5}(?!')/y);
    else if (next === '"') this.#take(/"(?:[^"\\]|\\.)*"/y);
    else if (next === "'") this.#take(/'[^']*'/y);
    else this.#scalar(path, this.#take(/[^,\]}#\n]+/y).trim());
  }

  #scalar(path: Path, source: string): void {
    // A date has a hyphen or a colon inside.
    if (!/^[+-]?\d[^:-]*(?:[eE]-?\d+)?$/.test(source)) return;
    const { value } = parse(`value = ${source}`, { integersAsBigInt: true });
    const digits = digitsOf(source, Number(value));
    if (digits !== undefined) this.numbers.set(pathKey(path), digits);
  }

  #items(close: string, each: (index: number) => void): void {
    this.#at++;
    for (let index = 0; ; index++) {
      this.#blanks();
      if (this.#text[this.#at] === close || this.#at >= this.#text.length) break;
      each(index);
      this.#blanks();
      if (this.#text[this.#at] === ',') this.#at++;
    }
    this.#at++;
  }

  #blanks(): void {
    this.#take(/(?:\s|#[^\n]*)*/y);
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text)?.[0];
    // The parser took this text, so only a bug leads here; better no place than no more places.
    if (match === undefined) this.#at = this.#text.length;
    else this.#at += match.length;
    return match ?? '';
  }
}

function unquote(key: string): string {
  return Object.keys(parse(`${key} = 0`))[0] ?? '';
}

import { isJson } from '../message/text.ts';
import { type Finding, givenTwice, Places, type SourceDocument } from './document.ts';
import { digitsOf } from './numbers.ts';
import { type Path, pathKey } from './problem.ts';

const MAX_DEPTH = 200;
const MAX_FINDINGS = 50;

/**
 * Reads JSON (RFC 8259), with the place of each value. It reads on after a mistake, so that it finds all at once; the
 * value itself is always that of `JSON.parse`.
 */
export function readJson(text: string): SourceDocument {
  const reader = new JsonReader(text);
  reader.document();
  const { places, numbers, findings, broken } = reader;
  return { value: broken ? undefined : (JSON.parse(text) as unknown), places, numbers, findings, broken };
}

class JsonReader {
  readonly places: Places;
  readonly findings: Finding[] = [];
  readonly numbers = new Map<string, string>();
  broken = false;
  readonly #text: string;
  readonly #wrongLines = new Set<number>();
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.places = new Places(text);
  }

  document(): void {
    this.#blanks();
    if (this.#at === this.#text.length) {
      this.#wrong('the file is empty; expected an object or a list');
      return;
    }
    this.#value([], 0);
    this.#blanks();
    if (this.#at < this.#text.length && !this.broken)
      this.#wrong('there is more after the end; expected one value');
  }

  #value(path: Path, depth: number): void {
    this.places.setValue(path, this.#at);
    const next = this.#text[this.#at];
    if (depth > MAX_DEPTH) {
      this.#wrong(`nested too deeply; expected at most ${MAX_DEPTH} levels`);
      this.#at = this.#text.length;
    } else if (next === '{') this.#collection('}', (each) => this.#member(path, depth, each));
    else if (next === '[') this.#collection(']', (each) => this.#value([...path, each], depth + 1));
    else if (next === '"') this.#string();
    else if (next === "'") this.#singleQuoted();
    else {
      const start = this.#at;
      const word = this.#word();
      if (word === '') {
        this.#wrong(next === undefined ? 'the file ends too early; expected a value' : `expected a value`);
        if (next !== undefined && !',]}'.includes(next)) this.#at++;
      } else if (!isJson(word)) this.#wrong('this is not JSON; expected text in double quotes', start);
      else if (/^[-\d]/.test(word)) {
        const digits = digitsOf(word, Number(word));
        if (digits !== undefined) this.numbers.set(pathKey(path), digits);
      }
    }
  }

  /** Reads `each` and the commas between them, from the opening to `close`. */
  #collection(close: ']' | '}', each: (index: number) => void): void {
    const start = this.#at++;
    for (let index = 0; ; index++) {
      this.#blanks();
      const next = this.#text[this.#at];
      if (next === undefined) {
        this.#wrong(`this is never closed; expected a ${close}`, start);
        return;
      }
      if (next === close) {
        this.#at++;
        return;
      }
      if (next === ']' || next === '}') {
        this.#wrong(`this does not match the opening bracket; expected a ${close}`);
        this.#at++;
        return;
      }
      each(index);
      this.#blanks();
      if (this.#text[this.#at] === ',') {
        const comma = this.#at++;
        this.#blanks();
        if (this.#text[this.#at] === close) this.#wrong('a comma after the last item; expected none', comma);
      } else if (this.#at < this.#text.length && !']}'.includes(this.#text[this.#at]!)) {
        this.#wrong('no comma between two items; expected one');
      }
    }
  }

  #member(path: Path, depth: number, index: number): void {
    const start = this.#at;
    let name: string | undefined;
    if (this.#text[start] === '"') name = this.#string();
    else if (this.#text[start] === "'") this.#singleQuoted();
    else if (this.#word() === '') this.#at++;
    if (this.#text[start] !== '"' && this.#text[start] !== "'") {
      this.#wrong('a name without double quotes; expected them around it', start);
    }
    const at = [...path, name ?? `?${index}`];
    const twice = this.places.has(at);
    if (twice) this.#find(givenTwice(this.places, at, start));
    this.#blanks();
    if (this.#text[this.#at] !== ':') {
      this.#wrong('no colon after a name; expected one');
      return;
    }
    this.#at++;
    this.#blanks();
    if (!twice) this.places.setKey(at, start);
    // The second value is read for its mistakes; the places of the first stay.
    this.#value(twice ? [...at, '?twice'] : at, depth + 1);
  }

  #string(): string | undefined {
    const start = this.#at;
    const match = /"(?:[^"\\\n]|\\[^\n])*"/y;
    match.lastIndex = start;
    const raw = match.exec(this.#text)?.[0];
    if (raw === undefined) {
      this.#wrong('text that does not end on its line; expected a double quote');
      this.#toEndOfLine();
      return undefined;
    }
    this.#at += raw.length;
    if (isJson(raw)) {
      const text: string = JSON.parse(raw);
      return text;
    }
    this.#wrong('text with an escape or a control character that JSON does not have', start);
    return undefined;
  }

  #singleQuoted(): void {
    const start = this.#at;
    const match = /'(?:[^'\\\n]|\\[^\n])*'/y;
    match.lastIndex = start;
    const length = match.exec(this.#text)?.[0].length;
    this.#wrong('text in single quotes; expected double quotes', start);
    if (length === undefined) this.#toEndOfLine();
    else this.#at += length;
  }

  #word(): string {
    const match = /[^\s,:[\]{}"'#/]+/y;
    match.lastIndex = this.#at;
    const word = match.exec(this.#text)?.[0] ?? '';
    this.#at += word.length;
    return word;
  }

  #blanks(): void {
    for (;;) {
      while (' \t\r\n'.includes(this.#text[this.#at] ?? 'x')) this.#at++;
      const start = this.#at;
      if (this.#text.startsWith('/*', start)) {
        const end = this.#text.indexOf('*/', start + 2);
        this.#at = end < 0 ? this.#text.length : end + 2;
      } else if (this.#text[start] === '#' || this.#text.startsWith('//', start)) this.#toEndOfLine();
      else return;
      this.#wrong('a comment; JSON has none (a .yaml file may have comments)', start);
    }
  }

  #toEndOfLine(): void {
    const end = this.#text.indexOf('\n', this.#at);
    this.#at = end < 0 ? this.#text.length : end;
  }

  #wrong(message: string, offset = this.#at): void {
    this.broken = true;
    // One mistake makes the rest of the line look wrong too, so each line reports only its first.
    const { line } = this.places.position(offset);
    if (!this.#wrongLines.has(line)) this.#find({ path: [], offset, message: `not valid JSON: ${message}` });
    this.#wrongLines.add(line);
  }

  #find(finding: Finding): void {
    if (this.findings.length < MAX_FINDINGS) this.findings.push(finding);
  }
}

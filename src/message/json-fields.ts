import { pathKey, type Path, type PathStep } from './field-path.ts';
import {
  addElement,
  checkLength,
  createField,
  createNode,
  fieldAt,
  WantedPaths,
  type Field,
  type FieldNode,
} from './field-tree.ts';
import { ALL_KINDS, escapesIn, fieldKinds, ValueReader, valueFlags } from './json-kinds.ts';
import {
  endOfContainer,
  endOfDigits,
  endOfKey,
  endOfSpace,
  endOfString,
  endOfValue,
  hasEscape,
} from './json-skip.ts';
import { BatchSlices } from './json-slices.ts';
import { textOf, unquote } from './text.ts';

// Constants of this module rather than imported ones: V8 folds these into the code, which makes it a third faster.
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const UPPER_E = 0x45;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const LOWER_E = 0x65;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const { NULL, OBJECT, ARRAY, STRING, INT, FLOAT } = fieldKinds;
const { LONE_HALF, TOO_LARGE } = valueFlags;

const NEW_FIELD = 1;
const DUPLICATE = 2;
const NOT_OBJECT = 4;
const LONE_SURROGATE = 8;
const OUT_OF_RANGE = 16;

/** The findings of `scan`, as bits; 0 is none. They are about values that matter, never about others. */
export const scanFindings = {
  /** A field, or a kind of it, that is not allowed yet: see `news`. */
  NEW_FIELD,
  /** A name that occurs twice: see `duplicate`. */
  DUPLICATE,
  /** The message is not an object. */
  NOT_OBJECT,
  /** A `\u` escape of half a surrogate pair: see `valueFlags`. */
  LONE_SURROGATE,
  /** A number beyond the range of a double: see `valueFlags`. */
  OUT_OF_RANGE,
} as const;

/** The path of a message that is not an object. */
export const WHOLE_VALUE: Path = ['__value__'];

/** A positive number of at most this many bytes needs no second look. */
const SHORT_NUMBER = 15;

/** Names that do not matter are remembered too, to skip them fast; but no more than this many. */
const MAX_REMEMBERED = 1024;
const MAX_REMEMBERED_LENGTH = 256;

export interface KnownField {
  readonly path: Path;
  /** The kinds that are allowed. */
  readonly mask: number;
}

/** A path that is not allowed, or not with these kinds (bits). */
export interface FieldNews {
  readonly path: Path;
  kinds: number;
}

export interface ScannerOptions {
  /** Fields for whose name it returns false do not matter, whatever they hold. It is not called each time. */
  readonly matters?: (name: string) => boolean;
  /** The paths inside fields that matter; nothing else inside them does. */
  readonly paths?: Iterable<Path>;
  /** A step of such a path stands for all names with an equal fold. */
  readonly fold?: (name: string) => string;
}

/**
 * Tells in one pass whether a message has only known fields, each of a known kind, without making an object, and notes
 * where their values are. `allow` makes fields and kinds known. A field is given by its path, inside other fields too.
 *
 * The messages of one feed have their fields in the same order, so each name is first compared with the one that
 * followed the previous field last time; only a different name is decoded and looked up.
 */
export class FieldScanner {
  readonly #matters: (name: string) => boolean;
  readonly #root: FieldNode;
  readonly #fields: Field[] = [];
  /** Stands for a name that is news. */
  readonly #unknown = createField([], 0);
  readonly #news = new Map<string, FieldNews>();
  #duplicate: Path | undefined;
  #remembered = 0;
  #message = 0;
  #batch: BatchSlices | undefined;
  #found = 0;
  readonly #reader = new ValueReader();

  constructor({ matters = () => true, paths = [], fold = (name) => name }: ScannerOptions = {}) {
    this.#matters = matters;
    this.#root = createNode([], new WantedPaths(fold, paths), ALL_KINDS);
  }

  /** In the order in which they were first allowed. Names are told apart exactly. */
  get fields(): readonly KnownField[] {
    return this.#fields.map(({ path, mask }) => ({ path: path as Path, mask }));
  }

  /** The values of the last message that are not allowed. */
  get news(): Iterable<FieldNews> {
    return this.#news.values();
  }

  /** A path that occurred twice in the last message. */
  get duplicate(): Path | undefined {
    return this.#duplicate;
  }

  /** The number of messages scanned. */
  get messages(): number {
    return this.#message;
  }

  /** The allowed kinds of a field; 0 if the field is not known. */
  knows(path: Path): number {
    return this.#known(path)?.mask ?? 0;
  }

  /**
   * `kinds`: one or more bits of `fieldKinds`, added to the allowed ones.
   *
   * @throws RangeError if the path is too long
   */
  allow(path: Path, kinds: number): void {
    checkLength(path);
    let node: FieldNode | undefined = this.#root;
    let field = this.#unknown;
    for (const step of path) {
      node ??= field.inside = this.#createNode(field.path, undefined);
      field.ignored = false;
      field = fieldAt(node, step) ?? this.#add(node, step);
      node = field.inside;
    }
    if (!field.known) {
      this.#fields.push(field);
      field.known = true;
      field.ignored = false;
      field.mask = 0;
    }
    field.mask |= kinds;
  }

  /** Forgets the field, as if it had never been allowed. */
  forget(path: Path): void {
    const field = this.#known(path);
    if (field === undefined) return;
    this.#fields.splice(this.#fields.indexOf(field), 1);
    const node = this.#find(path.slice(0, -1))?.inside ?? this.#root;
    const step = path.at(-1)!;
    field.known = false;
    field.mask = this.#isRead(node, step) ? 0 : ALL_KINDS;
    field.ignored = field.mask !== 0 && field.inside === undefined;
    if (typeof step === 'number' || field.inside !== undefined) return;
    node.members.delete(step);
    // Other fields may have it as their successor.
    field.key = undefined;
  }

  /** The number, from 1, of the last message that had the field while it was allowed; 0 if none had. */
  lastWith(path: Path): number {
    return this.#known(path)?.stamp ?? 0;
  }

  /** Counts a message that had the field before it was allowed. */
  count(path: Path): void {
    const field = this.#known(path);
    if (field === undefined) return;
    field.seen++;
    field.stamp = this.#message;
  }

  /** How many messages have had the field with an allowed, non-null value since the last call. */
  takeCount(path: Path): number {
    const field = this.#known(path);
    const seen = field?.seen ?? 0;
    if (field !== undefined) field.seen = 0;
    return seen;
  }

  /** Begins a batch of this many messages. @returns where the values of known fields are, in the messages scanned next */
  begin(messages: number): BatchSlices {
    this.#batch = new BatchSlices(messages);
    return this.#batch;
  }

  /**
   * `payload` must be JSON (`findJsonError` returned -1). `index` is its place in the batch that was begun last.
   * Returns bits of `scanFindings`.
   */
  scan(payload: Uint8Array, index = 0): number {
    this.#message++;
    if (this.#news.size > 0) this.#news.clear();
    this.#duplicate = undefined;
    this.#found = 0;
    const start = endOfSpace(payload, 0, payload.length);
    if (payload[start] === OPEN_OBJECT) this.#members(payload, start + 1, this.#root, index);
    else this.#whole(payload, start, index);
    return this.#found;
  }

  /** A value that is the whole message. Its kind is no news. */
  #whole(payload: Uint8Array, start: number, index: number): void {
    const end = this.#reader.read(payload, start, payload.length);
    const { kind } = this.#reader;
    this.#found = NOT_OBJECT | findingsIn(kind);
    const field = this.#known(WHOLE_VALUE);
    if (field === undefined) return;
    field.stamp = this.#message;
    field.seen++;
    this.#note(field, kind, start, end, index);
  }

  /** `start` is after the opening brace. @returns the end of the object */
  #members(payload: Uint8Array, start: number, node: FieldNode, index: number): number {
    const length = payload.length;
    let at = start;
    let before = node.head;
    while (at < length) {
      // Between members: a quote begins one, the brace ends the object, everything else is a comma or whitespace.
      const separator = payload[at++]!;
      if (separator === CLOSE_OBJECT) break;
      if (separator !== QUOTE) continue;

      const nameStart = at;
      let field = before.next;
      at = endOfKey(field?.key, payload, nameStart);
      if (at < 0) {
        field = before.otherNext;
        at = endOfKey(field?.key, payload, nameStart);
      }
      if (at < 0) {
        at = endOfString(payload, nameStart, length);
        if (at < 0) at = ~at;
        field = this.#lookUp(node, payload, nameStart, at);
        if (field !== undefined) {
          before.otherNext = before.next;
          before.next = field;
        }
      }
      const nameEnd = at;
      if (payload[at] !== COLON) at = endOfSpace(payload, at, length);
      at++;
      if (payload[at]! <= SPACE) at = endOfSpace(payload, at, length);

      const valueStart = at;
      const byte = payload[at]!;
      let kind: number;
      // Most values are read here, because a call for each would cost a quarter of the time.
      if (byte === QUOTE) {
        kind = STRING;
        at = endOfString(payload, at + 1, length);
        if (at < 0) {
          at = ~at;
          kind |= escapesIn(payload, valueStart, at);
        }
      } else if (byte >= ZERO && byte <= NINE) {
        kind = INT;
        at = endOfDigits(payload, at + 1, length);
        if (payload[at] === DOT) {
          kind = FLOAT;
          at = endOfDigits(payload, at + 1, length);
        }
        const stop = payload[at];
        if (at - valueStart > SHORT_NUMBER || stop === LOWER_E || stop === UPPER_E) {
          at = this.#reader.read(payload, valueStart, length);
          kind = this.#reader.kind;
        }
      } else {
        at = this.#value(payload, at, length, field ?? this.#unknown, index);
        kind = this.#reader.kind;
      }
      if (field === undefined) this.#reportName(node, textOf(payload, nameStart - 1, nameEnd), kind);
      else {
        before = field;
        if (!field.ignored) this.#take(field, kind, valueStart, at, index);
      }
    }
    return at;
  }

  /** `start` is after the opening bracket. @returns the end of the array */
  #elements(payload: Uint8Array, start: number, node: FieldNode, index: number): number {
    const length = payload.length;
    let at = endOfSpace(payload, start, length);
    let next = 0;
    for (const { place, field } of node.elements) {
      for (; next <= place; next++) {
        if (payload[at] === CLOSE_ARRAY) return at + 1;
        const valueStart = at;
        if (next < place) at = endOfValue(payload, at, length);
        else {
          at = this.#value(payload, at, length, field, index);
          this.#take(field, this.#reader.kind, valueStart, at, index);
        }
        at = endOfSpace(payload, at, length);
        if (payload[at] === COMMA) at = endOfSpace(payload, at + 1, length);
      }
    }
    at = endOfContainer(payload, at, length);
    return at < 0 ? ~at : at;
  }

  /** Reads the value that starts at `start` with the reader. @returns its end */
  #value(payload: Uint8Array, start: number, length: number, field: Field, index: number): number {
    const reader = this.#reader;
    const { inside } = field;
    const byte = payload[start]!;
    if (inside === undefined || (byte !== OPEN_OBJECT && byte !== OPEN_ARRAY))
      return reader.read(payload, start, length);
    const isObject = byte === OPEN_OBJECT;
    const end = isObject
      ? this.#members(payload, start + 1, inside, index)
      : this.#elements(payload, start + 1, inside, index);
    reader.kind = isObject ? OBJECT : ARRAY;
    // The parts that matter have been looked at; the others matter if the whole does.
    const matters = field.known || field.mask === 0;
    if (matters && hasEscape(payload, start, end)) reader.kind |= escapesIn(payload, start, end);
    return end;
  }

  /** Judges and notes a value. */
  #take(field: Field, kind: number, start: number, end: number, index: number): void {
    if ((field.mask & kind) === 0) this.#reportKind(field, kind & ALL_KINDS);
    if (field.stamp === this.#message) this.#reportDuplicate(field.path);
    field.stamp = this.#message;
    if (kind !== NULL) field.seen++;
    if (kind > ALL_KINDS) this.#found |= findingsIn(kind);
    if (field.known) this.#note(field, kind, start, end, index);
  }

  #note(field: Field, kind: number, start: number, end: number, index: number): void {
    const batch = this.#batch;
    if (batch === undefined) return;
    if (field.batch !== batch) this.#open(field, batch);
    field.kinds[index] = kind;
    field.starts[index] = start;
    field.ends[index] = end;
  }

  #open(field: Field, batch: BatchSlices): void {
    field.batch = batch;
    const { kinds, starts, ends } = batch.add(field.path);
    field.kinds = kinds;
    field.starts = starts;
    field.ends = ends;
  }

  /** The field, unless it is news. `start` is after the opening quote. */
  #lookUp(node: FieldNode, payload: Uint8Array, start: number, end: number): Field | undefined {
    const name = unquote(textOf(payload, start - 1, end));
    const field = this.#met(node, name);
    if (field?.ignored !== true && !name.isWellFormed()) this.#found |= LONE_SURROGATE;
    return field;
  }

  #met(node: FieldNode, name: string): Field | undefined {
    const there = node.members.get(name);
    if (there !== undefined) return there;
    const isParent = node.wanted?.at(name)?.isParent === true;
    if (!isParent && this.#isRead(node, name)) return undefined;
    if (this.#remembered < MAX_REMEMBERED && name.length <= MAX_REMEMBERED_LENGTH) {
      this.#remembered++;
      return this.#add(node, name);
    }
    return isParent ? this.#create(node, name) : node.others;
  }

  #isRead(node: FieldNode, step: PathStep): boolean {
    if (node === this.#root) return this.#matters(String(step));
    return node.wanted?.at(step)?.isRead === true;
  }

  #add(node: FieldNode, step: PathStep): Field {
    const field = this.#create(node, step);
    if (typeof step === 'string') node.members.set(step, field);
    else addElement(node, step, field);
    return field;
  }

  /** A field that is not allowed. */
  #create(node: FieldNode, step: PathStep): Field {
    const path = [...node.path, step];
    const wanted = node.wanted?.at(step);
    const inside = wanted?.isParent === true ? this.#createNode(path, wanted) : undefined;
    return createField(path, this.#isRead(node, step) ? 0 : ALL_KINDS, inside);
  }

  #createNode(path: readonly PathStep[], wanted: WantedPaths | undefined): FieldNode {
    const node = createNode(path, wanted, ALL_KINDS);
    for (const place of wanted?.places ?? []) this.#add(node, place);
    return node;
  }

  #find(path: readonly PathStep[]): Field | undefined {
    let node: FieldNode | undefined = this.#root;
    let field: Field | undefined;
    for (const step of path) {
      field = fieldAt(node, step);
      node = field?.inside;
    }
    return field;
  }

  #known(path: Path): Field | undefined {
    const field = this.#find(path);
    return field?.known === true ? field : undefined;
  }

  #reportName(node: FieldNode, quoted: string, kind: number): void {
    const path = [...node.path, unquote(quoted)];
    if (this.#report(path, kind & ALL_KINDS)) this.#reportDuplicate(path);
    this.#found |= findingsIn(kind);
  }

  #reportKind(field: Field, kind: number): void {
    // The caller counts it as one that fits.
    if (kind !== NULL) field.seen--;
    this.#report(field.path, kind);
  }

  /** @returns true if the message has reported the path before */
  #report(path: readonly PathStep[], kind: number): boolean {
    const key = pathKey(path);
    const there = this.#news.get(key);
    if (there === undefined) this.#news.set(key, { path: path as Path, kinds: kind });
    else there.kinds |= kind;
    this.#found |= NEW_FIELD;
    return there !== undefined;
  }

  #reportDuplicate(path: readonly PathStep[]): void {
    this.#duplicate = path as Path;
    this.#found |= DUPLICATE;
  }
}

function findingsIn(kind: number): number {
  const lone = (kind & LONE_HALF) === 0 ? 0 : LONE_SURROGATE;
  return (kind & TOO_LARGE) === 0 ? lone : lone | OUT_OF_RANGE;
}

import { pathKey, type PathStep } from './field-path.ts';
import { scanFindings } from './json-fields.ts';
import { ALL_KINDS, fieldKinds, ValueReader, valueFlags } from './json-kinds.ts';
import { endOfKey, endOfSpace, endOfString } from './json-skip.ts';
import type { Slices } from './json-slices.ts';
import type { ColumnType } from './rows.ts';
import {
  emptyNode,
  MAX_LEVELS,
  nodeAt,
  nodeWith,
  nodeWithOnly,
  typeOfNode,
  type ShapeNode,
} from './shape-node.ts';
import { textOf, unquote } from './text.ts';

// Constants of this module rather than imported ones: V8 folds these into the code, which makes it a third faster.
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const { NULL, OBJECT, ARRAY, NESTED } = fieldKinds;
const { LONE_HALF, TOO_LARGE } = valueFlags;
const { NEW_FIELD, DUPLICATE, LONE_SURROGATE, OUT_OF_RANGE } = scanFindings;

/** Every item of a list, as a step of a path. */
export const EVERY_ITEM = -1;

/** A shape has at most this many places. Each is a vector of the database, or more. */
const MAX_PLACES = 500;

/** A place in a value that a shape does not have, or not with these kinds (bits). */
export interface ShapeNews {
  /** From the value on; `EVERY_ITEM` stands for the items of a list. */
  readonly path: readonly PathStep[];
  kinds: number;
}

/**
 * The kinds of value at each place in the objects and arrays of a column. It follows from them whether
 * the column is a LIST, a STRUCT, or JSON where they have too little in common. A shape never changes: one that has
 * more is a new object.
 */
export class Shape {
  readonly #root: ShapeNode;
  readonly #fold: (name: string) => string;
  readonly #reader = new ValueReader();
  readonly #news = new Map<string, ShapeNews>();
  /** The way to the object or array that is being read. */
  readonly #path: PathStep[] = [];
  #duplicate: readonly PathStep[] | undefined;
  #found = 0;

  /** Names with an equal `fold` cannot both be members of a struct. */
  constructor(fold: (name: string) => string, root: ShapeNode = emptyNode(0)) {
    this.#fold = fold;
    this.#root = root;
  }

  get type(): ColumnType {
    return typeOfNode(this.#root);
  }

  /** The kinds at a place; 0 if there is no such place. */
  kindsAt(path: readonly PathStep[]): number {
    return nodeAt(this.#root, path)?.kinds ?? 0;
  }

  /** The shape with values of these kinds at the place as well; undefined if it would have too many places. */
  with(path: readonly PathStep[], kinds: number): Shape | undefined {
    const root = nodeWith(this.#root, path, kinds, this.#fold);
    if (root === this.#root) return this;
    return root.count > MAX_PLACES ? undefined : new Shape(this.#fold, root);
  }

  /** The shape with values of only these kinds at a place that it has. */
  withOnly(path: readonly PathStep[], kinds: number): Shape {
    return new Shape(this.#fold, nodeWithOnly(this.#root, path, kinds));
  }

  /** The places of the last scanned value that the shape lacks; only the first of them if they are too many. */
  get news(): Iterable<ShapeNews> {
    return this.#news.values();
  }

  /** A member that an object of the value that was scanned last had twice. */
  get duplicate(): readonly PathStep[] | undefined {
    return this.#duplicate;
  }

  /**
   * Compares the value that starts at `start` with the shape. The payload must be JSON (`findJsonError` returned -1).
   *
   * @returns Bits of `scanFindings`
   */
  scan(payload: Uint8Array, start: number): number {
    if (this.#news.size > 0) this.#news.clear();
    this.#duplicate = undefined;
    this.#found = 0;
    this.#value(payload, start, this.#root);
    return this.#found;
  }

  /** `node` is undefined for a place that the shape does not have. @returns the end of the value */
  #value(payload: Uint8Array, start: number, node: ShapeNode | undefined): number {
    const byte = payload[start];
    const isObject = byte === OPEN_OBJECT;
    if (node?.isOpaque !== true && (isObject || byte === OPEN_ARRAY) && this.#path.length < MAX_LEVELS) {
      this.#judge(node, isObject ? OBJECT : ARRAY);
      return isObject ? this.#members(payload, start + 1, node) : this.#items(payload, start + 1, node);
    }
    const end = this.#reader.read(payload, start, payload.length);
    this.#judge(node, this.#reader.kind);
    return end;
  }

  #judge(node: ShapeNode | undefined, kind: number): void {
    if (node === undefined || ((node.kinds & kind) === 0 && kind !== NULL && !node.isOpaque))
      this.#report(kind & ALL_KINDS);
    if (kind <= ALL_KINDS) return;
    if ((kind & LONE_HALF) !== 0) this.#found |= LONE_SURROGATE;
    if ((kind & TOO_LARGE) !== 0 && node?.isOpaque !== true) this.#found |= OUT_OF_RANGE;
  }

  #report(kinds: number): void {
    this.#found |= NEW_FIELD;
    const key = pathKey(this.#path);
    const there = this.#news.get(key);
    if (there !== undefined) there.kinds |= kinds;
    else if (this.#news.size <= MAX_PLACES) this.#news.set(key, { path: [...this.#path], kinds });
  }

  /** `start` is after the opening brace. @returns the end of the object */
  #members(payload: Uint8Array, start: number, node: ShapeNode | undefined): number {
    const length = payload.length;
    const depth = this.#path.length;
    const object = ++objects;
    let unknown: Set<string> | undefined;
    let at = start;
    // Objects mostly have their members in the same order.
    let expected = 0;
    while (at < length) {
      const separator = payload[at++]!;
      if (separator === CLOSE_OBJECT) break;
      if (separator !== QUOTE) continue;
      const nameStart = at - 1;
      let member = node?.members[expected];
      at = endOfKey(member?.key, payload, nameStart);
      if (at >= 0) this.#path[depth] = member!.name;
      else {
        const end = endOfString(payload, nameStart + 1, length);
        at = end < 0 ? ~end : end;
        const name = unquote(textOf(payload, nameStart, at));
        this.#path[depth] = name;
        const place = node?.places.get(name);
        if (place === undefined) {
          member = undefined;
          unknown ??= new Set();
          if (unknown.has(name)) this.#reportDuplicate();
          unknown.add(name);
        } else {
          member = node!.members[place]!;
          expected = place;
        }
      }
      if (member !== undefined) {
        if (member.stamp === object) this.#reportDuplicate();
        member.stamp = object;
        expected++;
      }
      if (payload[at] !== COLON) at = endOfSpace(payload, at, length);
      at = endOfSpace(payload, at + 1, length);
      at = this.#value(payload, at, member?.node);
    }
    this.#path.length = depth;
    return at;
  }

  /** `start` is after the opening bracket. @returns the end of the array */
  #items(payload: Uint8Array, start: number, node: ShapeNode | undefined): number {
    const length = payload.length;
    const depth = this.#path.length;
    let at = endOfSpace(payload, start, length);
    this.#path[depth] = EVERY_ITEM;
    while (at < length && payload[at] !== CLOSE_ARRAY) {
      at = endOfSpace(payload, this.#value(payload, at, node?.items), length);
      if (payload[at] === COMMA) at = endOfSpace(payload, at + 1, length);
    }
    this.#path.length = depth;
    return at + 1;
  }

  #reportDuplicate(): void {
    this.#duplicate = [...this.#path];
    this.#found |= DUPLICATE;
  }
}

/** The number of objects that have been compared, over all shapes, which share their members. */
let objects = 0;

/** The shape with everything that the objects and arrays at the slices have. If that is too much, they are JSON. */
export function learnShape(known: Shape, payloads: readonly Uint8Array[], { kinds, starts }: Slices): Shape {
  let shape = known;
  for (const [index, payload] of payloads.entries()) {
    if ((kinds[index]! & NESTED) === 0 || (shape.scan(payload, starts[index]!) & NEW_FIELD) === 0) continue;
    const news = [...shape.news];
    for (const { path, kinds: more } of news) shape = shape.with(path, more) ?? shape.withOnly([], NESTED);
  }
  return shape;
}

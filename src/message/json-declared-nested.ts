import { Growing } from './growing.ts';
import { misfit, typeName, Validity, type Builder, type Faults } from './json-declared-builder.ts';
import { endOfSpace as afterSpace, endOfValue as afterValue } from './json-skip.ts';
import type { ColumnType, StructField, Values } from './rows.ts';
import { textOf, unquote } from './text.ts';

const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const LOWER_N = 0x6e;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** The type as which a nested value is kept; undefined for a type that is not nested. */
export function nestedStored(
  type: ColumnType,
  storedOf: (type: ColumnType) => ColumnType,
): ColumnType | undefined {
  if (type.kind === 'list' || type.kind === 'array') {
    const of = storedOf(type.of);
    return of === type.of ? type : { ...type, of };
  }
  if (type.kind === 'map') {
    const [key, value] = [storedOf(type.key), storedOf(type.value)];
    return key === type.key && value === type.value ? type : { ...type, key, value };
  }
  if (type.kind === 'struct') {
    const fields = type.fields.map(({ name, type: each }) => ({ name, type: storedOf(each) }));
    return fields.every((field, index) => field.type === type.fields[index]!.type)
      ? type
      : { ...type, fields };
  }
  return undefined;
}

export function nestedBuilder(
  type: ColumnType,
  faults: Faults,
  builderOf: (type: ColumnType) => Builder,
): Builder | undefined {
  if (type.kind === 'list' || type.kind === 'array') {
    return new ListBuilder(type, faults, builderOf(type.of));
  }
  if (type.kind === 'map') return new MapBuilder(type, faults, builderOf(type.key), builderOf(type.value));
  if (type.kind === 'struct')
    return new StructBuilder(
      type,
      faults,
      type.fields,
      type.fields.map((field) => builderOf(field.type)),
    );
  return undefined;
}

function endOfValue(json: Uint8Array, start: number): number {
  return afterValue(json, start, json.length);
}

function endOfSpace(json: Uint8Array, start: number): number {
  return afterSpace(json, start, json.length);
}

/** The start of each value’s items, and the end of the last ones. */
class Offsets {
  readonly #offsets = new Growing(64);
  readonly #validity = new Validity();
  #items = 0;

  constructor() {
    this.#offsets.addU32(0);
  }

  get count(): number {
    return this.#offsets.length / 4 - 1;
  }

  /** Ends a value with `count` items. */
  end(count: number, isNull = false): void {
    if (isNull) this.#validity.setNull(this.count);
    this.#items += count;
    this.#offsets.addU32(this.#items);
  }

  values(items: readonly Values[]): Values {
    return { storage: 'list', valid: this.#validity.of(this.count), offsets: this.#offsets.numbers, items };
  }
}

/** The number of items of the array that starts at `start`. */
function countItems(json: Uint8Array, start: number): number {
  let count = 0;
  for (let at = endOfSpace(json, start + 1); json[at] !== CLOSE_ARRAY; count++)
    at = nextItem(json, endOfValue(json, at));
  return count;
}

/** The next value’s start, or the closing bracket, behind a value that ends at `end`. */
function nextItem(json: Uint8Array, end: number): number {
  const at = endOfSpace(json, end);
  return json[at] === COMMA ? endOfSpace(json, at + 1) : at;
}

/** LIST and ARRAY. An array’s number of items is always the same, NULL or not. */
class ListBuilder implements Builder {
  readonly #type: Extract<ColumnType, { kind: 'list' | 'array' }>;
  readonly #faults: Faults;
  readonly #items: Builder;
  readonly #offsets = new Offsets();

  constructor(type: Extract<ColumnType, { kind: 'list' | 'array' }>, faults: Faults, items: Builder) {
    this.#type = type;
    this.#faults = faults;
    this.#items = items;
  }

  add(json: Uint8Array, start: number, end: number): boolean {
    const type = this.#type;
    if (json[start] === LOWER_N) {
      this.addNull();
      return true;
    }
    if (json[start] !== OPEN_ARRAY || (type.kind === 'array' && countItems(json, start) !== type.length)) {
      this.addNull();
      return this.#faults.add(json, start, end, misfit(type));
    }
    let fits = true;
    let count = 0;
    for (let at = endOfSpace(json, start + 1); json[at] !== CLOSE_ARRAY; count++) {
      const last = endOfValue(json, at);
      const isOne = this.#items.add(json, at, last);
      if (!isOne && fits) this.#faults.within(`[${count}]`);
      fits &&= isOne;
      at = nextItem(json, last);
    }
    this.#offsets.end(count);
    return fits;
  }

  addNull(): void {
    const { length } = this.#type.kind === 'array' ? this.#type : { length: 0 };
    for (let item = 0; item < length; item++) this.#items.addNull();
    this.#offsets.end(length, true);
  }

  values(): Values {
    return this.#offsets.values([this.#items.values()]);
  }
}

/** Objects with any members, whose names are the keys. */
class MapBuilder implements Builder {
  readonly #type: ColumnType;
  readonly #faults: Faults;
  readonly #keys: Builder;
  readonly #values: Builder;
  readonly #offsets = new Offsets();

  constructor(type: ColumnType, faults: Faults, keys: Builder, values: Builder) {
    this.#type = type;
    this.#faults = faults;
    this.#keys = keys;
    this.#values = values;
  }

  add(json: Uint8Array, start: number, end: number): boolean {
    if (json[start] === LOWER_N) {
      this.addNull();
      return true;
    }
    if (json[start] !== OPEN_OBJECT) {
      this.addNull();
      return this.#faults.add(json, start, end, misfit(this.#type));
    }
    let fits = true;
    const names = new Set<string>();
    let count = 0;
    for (let at = endOfSpace(json, start + 1); json[at] !== CLOSE_OBJECT; count++) {
      const nameEnd = endOfValue(json, at);
      const value = endOfSpace(json, endOfSpace(json, nameEnd) + 1);
      const last = endOfValue(json, value);
      const name = unquote(textOf(json, at, nameEnd));
      const isKey = this.#keys.add(json, at, nameEnd);
      const isValue = this.#values.add(json, value, last);
      if (isKey && !isValue && fits) this.#faults.within(`.${name}`);
      const isNew = !names.has(name) || this.#faults.add(json, at, nameEnd, TWICE);
      names.add(name);
      fits &&= isKey && isValue && isNew;
      at = nextItem(json, last);
    }
    this.#offsets.end(count);
    return fits;
  }

  addNull(): void {
    this.#offsets.end(0, true);
  }

  values(): Values {
    return this.#offsets.values([this.#keys.values(), this.#values.values()]);
  }
}

const TWICE = 'occurs twice as a name';

/** Objects of which each field must be a member. Other members do not matter. */
class StructBuilder implements Builder {
  readonly #type: ColumnType;
  readonly #faults: Faults;
  readonly #fields: readonly StructField[];
  readonly #builders: readonly Builder[];
  readonly #places: ReadonlyMap<string, number>;
  readonly #validity = new Validity();
  #count = 0;

  constructor(
    type: ColumnType,
    faults: Faults,
    fields: readonly StructField[],
    builders: readonly Builder[],
  ) {
    this.#type = type;
    this.#faults = faults;
    this.#fields = fields;
    this.#builders = builders;
    this.#places = new Map(fields.map(({ name }, place) => [name, place]));
  }

  add(json: Uint8Array, start: number, end: number): boolean {
    if (json[start] !== OPEN_OBJECT) {
      this.addNull();
      return json[start] === LOWER_N || this.#faults.add(json, start, end, misfit(this.#type));
    }
    const seen = new Uint8Array(this.#fields.length);
    let fits = true;
    for (let at = endOfSpace(json, start + 1); json[at] !== CLOSE_OBJECT;) {
      const nameEnd = endOfValue(json, at);
      const value = endOfSpace(json, endOfSpace(json, nameEnd) + 1);
      const last = endOfValue(json, value);
      const name = unquote(textOf(json, at, nameEnd));
      const place = this.#places.get(name);
      if (place !== undefined) {
        const isOne =
          seen[place] === 0
            ? this.#builders[place]!.add(json, value, last)
            : this.#faults.add(json, at, nameEnd, TWICE);
        if (!isOne && fits) this.#faults.within(`.${name}`);
        fits &&= isOne;
        seen[place] = 1;
      }
      at = nextItem(json, last);
    }
    for (const [place, { name }] of this.#fields.entries()) {
      if (seen[place] === 1) continue;
      this.#builders[place]!.addNull();
      fits = this.#faults.add(json, start, end, `lacks ${name} of the declared type ${typeName(this.#type)}`);
    }
    this.#count++;
    return fits;
  }

  addNull(): void {
    for (const builder of this.#builders) builder.addNull();
    this.#validity.setNull(this.#count++);
  }

  values(): Values {
    const fields = this.#builders.map((builder) => builder.values());
    return { storage: 'struct', valid: this.#validity.of(this.#count), length: this.#count, fields };
  }
}

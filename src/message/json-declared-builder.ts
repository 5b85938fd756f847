import { textOf } from './text.ts';
import type { ColumnType, Values } from './rows.ts';

/** The most characters of a value that a reason shows. */
const SHOWN = 100;

/** Makes the values of a type of values in JSON. */
export interface Builder {
  /**
   * Adds the value in `json` from `start` to `end`. @returns false if it is not one of the type: then NULL was added,
   * and the faults have the reason
   */
  readonly add: (json: Uint8Array, start: number, end: number) => boolean;
  readonly addNull: () => void;
  readonly values: () => Values;
}

/** Why a message's value is not one of the declared type: the first reason, and the place inside the value. */
export class Faults {
  #reason: string | undefined;
  #path = '';

  /** @returns false, for `Builder.add` */
  add(json: Uint8Array, start: number, end: number, reason: string): false {
    if (this.#reason !== undefined) return false;
    const text = textOf(json, start, Math.min(end, start + 4 * SHOWN));
    const shown = text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
    this.#reason = `${shown} ${reason}`;
    this.#path = '';
    return false;
  }

  /** The value with the first fault is at this place inside another one. */
  within(step: string): void {
    this.#path = step + this.#path;
  }

  /** The reason, which is then forgotten. `type` is the declared one of the whole value. */
  take(type: ColumnType): string {
    const reason = `${this.#path === '' ? '' : `at ${this.#path}: `}${this.#reason ?? misfit(type)}`;
    this.#reason = undefined;
    return reason;
  }
}

export function misfit(type: ColumnType): string {
  return `does not convert to the declared type ${typeName(type)}`;
}

/** The type as SQL writes it. */
export function typeName(type: ColumnType): string {
  if (type.kind === 'decimal') return `DECIMAL(${type.width},${type.scale})`;
  if (type.kind === 'list') return `${typeName(type.of)}[]`;
  if (type.kind === 'array') return `${typeName(type.of)}[${type.length}]`;
  if (type.kind === 'map') return `MAP(${typeName(type.key)}, ${typeName(type.value)})`;
  if (type.kind === 'struct')
    return `STRUCT(${type.fields.map((field) => `${field.name} ${typeName(field.type)}`).join(', ')})`;
  if (type.kind === 'union')
    return `UNION(${type.members.map((member) => `${member.name} ${typeName(member.type)}`).join(', ')})`;
  if (type.kind === 'timestamp_tz') return 'TIMESTAMPTZ';
  if (type.kind === 'time_tz') return 'TIMETZ';
  return type.kind.toUpperCase();
}

/** Where values are NULL; nothing is kept until one is. */
export class Validity {
  #valid: Uint8Array | undefined;

  setNull(index: number): void {
    if (this.#valid === undefined || index >= this.#valid.length) {
      const larger = new Uint8Array(Math.max(64, (index + 1) * 2)).fill(1);
      if (this.#valid !== undefined) larger.set(this.#valid);
      this.#valid = larger;
    }
    this.#valid[index] = 0;
  }

  /** For the first `count` values. */
  of(count: number): Uint8Array | undefined {
    if (this.#valid === undefined) return undefined;
    if (this.#valid.length >= count) return this.#valid.subarray(0, count);
    const all = new Uint8Array(count).fill(1);
    all.set(this.#valid);
    return all;
  }
}

import { MillraceError } from '../../errors.ts';
import { eachMember } from '../../message/json.ts';
import { textOf, unquote } from '../../message/text.ts';
import type { Refusals } from '../refusals.ts';
import type { Table } from './table.ts';

/** How many spellings of names are remembered for a table. */
const REMEMBERED = 10_000;

const UNKNOWN = -1;

/** Neighbouring messages that one statement inserts, and the columns that it writes, by their places in the table. */
export interface Group {
  readonly places: number[];
  readonly columns: readonly number[];
}

/** Finds out which columns of a table messages have fields for, and divides them into groups. */
export class Grouping {
  readonly #table: Table;
  /** Rejects a message with a field of no column. */
  readonly #isStrict: boolean;
  /** A message that lacks a field must not be in a group with others that have it. */
  readonly #matters: readonly boolean[];
  /** The column of each name as it is spelled in a message, with its quotes. */
  readonly #known = new Map<string, number>();

  /** `isUpdate`: what a message lacks must keep its value in the row. */
  constructor(table: Table, { isStrict, isUpdate }: { isStrict: boolean; isUpdate: boolean }) {
    this.#table = table;
    this.#isStrict = isStrict;
    // A column that a message lacks gets its default, and not NULL as in a group whose other messages have the field.
    this.#matters = table.columns.map(({ hasDefault }) => hasDefault || isUpdate);
  }

  /** The groups of the messages at `places`, in order. Each message is JSON; those that do not fit are refused. */
  divide(payloads: readonly Uint8Array[], places: readonly number[], refusals: Refusals): Group[] {
    const { columns } = this.#table;
    const groups: Group[] = [];
    const own = new Uint8Array(columns.length);
    let together = new Uint8Array(columns.length);
    let members: number[] = [];
    let unknown: string | undefined;
    // One for all messages.
    let payload = payloads[0]!;
    const visit = (start: number, nameEnd: number): void => {
      const column = this.#columnOf(textOf(payload, start, nameEnd));
      if (column === UNKNOWN) unknown ??= unquote(textOf(payload, start, nameEnd));
      else own[column] = 1;
    };
    const finish = (): void => {
      if (members.length === 0) return;
      groups.push({
        places: members,
        columns: columns.map((_, at) => at).filter((at) => together[at] === 1),
      });
      members = [];
      together = new Uint8Array(columns.length);
    };
    for (const index of places) {
      payload = payloads[index]!;
      own.fill(0);
      unknown = undefined;
      const isObject = eachMember(payload, visit);
      const problem = isObject ? this.#problem(unknown, own) : 'it is not a JSON object';
      if (problem !== undefined) {
        refusals.add({ index, error: new MillraceError('MILLRACE_OUTPUT_REFUSED', problem) });
        continue;
      }
      if (members.length > 0 && this.#differs(own, together)) finish();
      for (let at = 0; at < own.length; at++) if (own[at] === 1) together[at] = 1;
      members.push(index);
    }
    finish();
    return groups;
  }

  #problem(unknown: string | undefined, own: Uint8Array): string | undefined {
    const { name, columns } = this.#table;
    if (unknown !== undefined && this.#isStrict)
      return `the table ${name} has no column for its field ${unknown}; it has ${columns.map((each) => each.name).join(', ')}`;
    return own.includes(1) ? undefined : `it has no field for any column of the table ${name}`;
  }

  #differs(own: Uint8Array, together: Uint8Array): boolean {
    for (let at = 0; at < own.length; at++) if (this.#matters[at]! && own[at] !== together[at]) return true;
    return false;
  }

  #columnOf(spelled: string): number {
    let column = this.#known.get(spelled);
    if (column !== undefined) return column;
    column = this.#table.byName.get(unquote(spelled)) ?? UNKNOWN;
    // Senders may invent names.
    if (this.#known.size < REMEMBERED) this.#known.set(spelled, column);
    return column;
  }
}

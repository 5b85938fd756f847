import { sqlErrors } from './sql-errors.ts';
import { MillraceError, type DeclaredError, type Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import { pathText } from '../message/field-path.ts';
import { FieldScanner, scanFindings, WHOLE_VALUE, type FieldNews } from '../message/json-fields.ts';
import { fieldKinds } from '../message/json-kinds.ts';
import { hasLoneSurrogate } from '../message/json-skip.ts';
import { MAX_JSON_DEPTH } from '../message/json-validate.ts';
import { renameJsonMember } from '../message/json.ts';
import { hasDeepText } from '../message/text-depth.ts';
import { isNumeric } from './column.ts';
import { fold } from './database.ts';
import type { Candidate, FlowSchema, Prefers, Widened } from './flow-schema.ts';
import { Growth, keyOf, type Group } from './growth.ts';
import { Questions } from './questions.ts';
import { shorten, takeSpellings } from './spellings.ts';

export const TOO_DEEP = `the message is or holds text whose brackets are nested deeper than ${MAX_JSON_DEPTH} levels, and the query reads JSON from text`;

const BACKSLASH = 0x5c;
const SURROGATE = 'the message has a \\u escape of half a surrogate pair, which is not text';

/**
 * A column is forgotten when no message has had it between two looks. Two looks are this far apart: in batches, and in
 * microseconds of the time at which messages were received.
 */
const FORGET_AFTER_BATCHES = 100;
const FORGET_AFTER_MICROS = 10 * 60 * 1_000_000;

/** The part of a batch that a query can take. */
export interface Admitted {
  /** Places of the rejected messages, ascending. */
  readonly refused: readonly number[];
  /** The columns that all other messages fit. */
  readonly schema: FlowSchema;
  /** Replacements for payloads that spell a name differently from the columns: the database reads the replacement. */
  readonly respelled: ReadonlyMap<Uint8Array, Uint8Array>;
}

/** A rejected message, and the reason. */
interface Refusal {
  readonly index: number;
  readonly message: string;
  readonly code?: DeclaredError;
  readonly field?: string;
}

interface Scan {
  readonly refusals: Refusal[];
  /** The new fields, kinds and spellings of each message, by its place. */
  readonly news: Map<number, Group>;
}

const NONE: ReadonlyMap<Uint8Array, Uint8Array> = new Map();

/**
 * Decides which messages a query can take, and grows its columns by what they bring. A message that would change how
 * the query reads the others (a string where it computes with numbers) is rejected alone. If most senders send that
 * kind of value, the column changes instead, and the other messages are rejected.
 */
export class Admission {
  #schema: FlowSchema;
  readonly #growth: Growth;
  readonly #widened: (column: Widened) => void;
  readonly #scanner: FieldScanner;
  readonly #questions = new Questions();
  #turn: Promise<void> = Promise.resolve();
  #batches = 0;
  /** The last look for columns that nobody sends any more. */
  #look: { batch: number; time: number; message: number } | undefined;

  /** `objects` returns why the query does not fit a schema, or undefined if it fits. */
  constructor(
    schema: FlowSchema,
    objects: (schema: FlowSchema) => Promise<string | undefined>,
    widened: (column: Widened) => void,
  ) {
    this.#schema = schema;
    this.#growth = new Growth(objects);
    this.#widened = widened;
    this.#scanner = new FieldScanner({ matters: (name) => !schema.ignores(name) });
    for (const { name, kinds } of schema.columns) this.#scanner.allow([name], kinds);
  }

  /** The columns as they are now. */
  get schema(): FlowSchema {
    return this.#schema;
  }

  /** Rejects the messages that the query cannot take. */
  async check(batch: Batch, reject: (rejection: Rejection) => void): Promise<Admitted> {
    this.#batches++;
    const { refusals, news } = this.#scan(batch);
    if (news.size > 0 || this.#isTimeToLook(batch)) {
      return await this.#inTurn(() => this.#settle(batch, reject));
    }
    return this.#admitted(refusals, NONE, reject);
  }

  #admitted(
    refusals: readonly Refusal[],
    respelled: Admitted['respelled'],
    reject: (rejection: Rejection) => void,
  ): Admitted {
    // Creating an error is slow; messages that are wrong in the same way share one.
    const errors = new Map<string, MillraceError>();
    for (const { index, message, code = sqlErrors.MILLRACE_SQL_FIELD_CONFLICT, field } of refusals) {
      const error = errors.get(message) ?? new MillraceError(code, message);
      errors.set(message, error);
      reject({ index, error, ...(field !== undefined && { field }) });
    }
    return { refused: refusals.map(({ index }) => index), schema: this.#schema, respelled };
  }

  /** Calls `each` for each message that is not refused, after scanning it. */
  #scan({ payloads, format }: Batch, each?: (index: number) => void): Scan {
    const refusals: Refusal[] = [];
    const news = new Map<number, Group>();
    const scanner = this.#scanner;
    const { parsesText } = this.#schema;
    if (format !== 'json' && !parsesText) return { refusals, news };
    for (let index = 0; index < payloads.length; index++) {
      if (parsesText && hasDeepText(payloads[index]!)) {
        refusals.push({ index, code: sqlErrors.MILLRACE_SQL_TEXT_TOO_DEEP, message: TOO_DEEP });
        continue;
      }
      if (format !== 'json') continue;
      const payload = payloads[index]!;
      // DuckDB parses the whole message, and half of a surrogate pair anywhere is an error to it.
      const isText = !payload.includes(BACKSLASH) || !hasLoneSurrogate(payload, 0, payload.length);
      const found = isText ? scanner.scan(payload) : scanner.scan(payload) | scanFindings.LONE_SURROGATE;
      if (found !== 0) {
        if ((found & scanFindings.DUPLICATE) !== 0) {
          const name = pathText(scanner.duplicate!);
          refusals.push({ index, message: `field ${shorten(name)}: the message has it twice`, field: name });
          continue;
        }
        if ((found & scanFindings.LONE_SURROGATE) !== 0) {
          refusals.push({ index, message: SURROGATE });
          continue;
        }
        const notObject = (found & scanFindings.NOT_OBJECT) !== 0;
        const group = notObject ? this.#bareValue() : candidatesOf(scanner.news);
        if (group.length > 0) news.set(index, group);
      }
      each?.(index);
    }
    return { refusals, news };
  }

  /** A JSON value that is not an object is the column `__value__`; its kind does not matter. */
  #bareValue(): Candidate[] {
    const [name] = WHOLE_VALUE;
    const known = (this.#scanner.knows(WHOLE_VALUE) & fieldKinds.NESTED) !== 0 || this.#schema.ignores(name);
    return known ? [] : [{ name, kind: fieldKinds.NESTED }];
  }

  /** Batches are checked concurrently, but only one batch at a time changes the columns. */
  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(action);
    this.#turn = result.then(
      () => {},
      () => {},
    );
    return result;
  }

  async #settle(batch: Batch, reject: (rejection: Rejection) => void): Promise<Admitted> {
    if (this.#isTimeToLook(batch)) await this.#forget(batch);
    const first = this.#scan(batch);
    const inQuestion = this.#questions.count(batch, first.news, this.#schema, this.#scanner, (each) =>
      this.#scan(batch, each),
    );
    const changed = new Set<string>();
    for (;;) {
      const { refusals, news } = this.#resolved(batch);
      const turned = new Set<string>();
      const prefers: Prefers = (key, one, others) => {
        const preferred = !changed.has(key) && this.#questions.prefer(key, one, others);
        if (preferred) turned.add(key);
        return preferred;
      };
      const { schema, refused } = await this.#growth.grow(this.#schema, news.values(), prefers);
      for (const key of turned) changed.add(key);
      // If a column has lost a type or a spelling, messages that fitted before may no longer fit.
      if (this.#change(schema) || turned.size > 0) continue;
      const respelled = new Map<Uint8Array, Uint8Array>();
      for (const [index, group] of news) {
        const culprit = refused.get(keyOf(group));
        if (culprit !== undefined) {
          const { name, reason } = culprit;
          refusals.push({ index, message: `field ${shorten(name)}: ${reason}`, field: name });
          continue;
        }
        const payload = batch.payloads[index]!;
        const read = this.#take(payload, group);
        if (read !== payload) respelled.set(payload, read);
      }
      for (const key of inQuestion) {
        const column = schema.column(key);
        if (column === undefined) this.#questions.forget(key);
        // The votes of this batch have been counted.
        else this.#scanner.takeCount([column.name]);
      }
      refusals.sort((a, b) => a.index - b.index);
      return this.#admitted(refusals, respelled, reject);
    }
  }

  /** Scans the batch. Of fields whose names are equal in SQL, only the one that is the column counts. */
  #resolved(batch: Batch): Scan {
    const { refusals, news } = this.#scan(batch);
    for (const [index, group] of news) {
      const taken = takeSpellings(this.#schema, batch.payloads[index]!, group);
      if (typeof taken === 'string') refusals.push({ index, message: taken });
      if (typeof taken === 'string' || taken.length === 0) news.delete(index);
      else news.set(index, taken);
    }
    return { refusals, news };
  }

  /** Counts what was new in a message, and returns the payload as the columns spell it. */
  #take(payload: Uint8Array, group: Group): Uint8Array {
    let read = payload;
    for (const { name } of group) {
      const spelling = this.#schema.column(name)?.name ?? name;
      this.#scanner.count([spelling]);
      if (spelling !== name) read = renameJsonMember(read, name, spelling);
    }
    return read;
  }

  /** Makes the scanner follow the schema. @returns true if a column has lost a type or a spelling */
  #change(schema: FlowSchema): boolean {
    const before = this.#schema;
    this.#schema = schema;
    let lost = false;
    for (const column of schema.columns) {
      const { name, kinds } = column;
      const earlier = before.column(name);
      if (earlier === column) continue;
      if (earlier !== undefined && (earlier.name !== name || (earlier.kinds & ~kinds) !== 0)) {
        lost = true;
        this.#scanner.forget([earlier.name]);
        const numbers = isNumeric(earlier) && isNumeric(column) && (earlier.kinds & ~kinds) !== 0;
        if (numbers) this.#questions.swapNumbers(fold(name));
      }
      this.#scanner.allow([name], kinds);
    }
    if (lost) this.#growth.forgetRefusals();
    schema.widenedSince(before).forEach(this.#widened);
    return lost;
  }

  #isTimeToLook({ runs }: Batch): boolean {
    const { time } = runs[0]!;
    this.#look ??= { batch: this.#batches, time, message: 0 };
    const { batch, time: last } = this.#look;
    return this.#batches - batch >= FORGET_AFTER_BATCHES && time - last >= FORGET_AFTER_MICROS;
  }

  /** Forgets the columns that no message has had since the last look. */
  async #forget({ runs }: Batch): Promise<void> {
    const last = this.#look!.message;
    const scanner = this.#scanner;
    this.#look = { batch: this.#batches, time: runs[0]!.time, message: scanner.messages };
    const before = this.#schema;
    const stale = [...before.columns].filter(({ name }) => scanner.lastWith([name]) <= last);
    const left = before.without(stale.map(({ name }) => name));
    // A query may need a column to exist, whatever its type.
    if (left === before || !(await this.#growth.fitsAsWell(left, before))) return;
    this.#schema = left;
    for (const { name } of stale) {
      if (left.column(name) !== undefined) continue;
      scanner.forget([name]);
      this.#questions.forget(fold(name));
    }
    this.#growth.forgetRefusals();
  }
}

function candidatesOf(news: Iterable<FieldNews>): Candidate[] {
  const candidates: Candidate[] = [];
  for (const { path, kinds } of news) candidates.push({ name: path[0], kind: kinds });
  return candidates;
}

import { sqlErrors } from './sql-errors.ts';
import { MillraceError, oneLine, type DeclaredError, type Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import { pathKey, pathText, type Path } from '../message/field-path.ts';
import { FieldScanner, scanFindings, WHOLE_VALUE } from '../message/json-fields.ts';
import { ALL_KINDS, fieldKinds, valueFlags } from '../message/json-kinds.ts';
import { declaredColumn } from '../message/json-declared.ts';
import { learnShape, type Shape } from '../message/json-shape.ts';
import type { BatchSlices, Slices } from '../message/json-slices.ts';
import { MAX_JSON_DEPTH } from '../message/json-validate.ts';
import type { Values } from '../message/rows.ts';
import { hasDeepText } from '../message/text-depth.ts';
import { isNumeric, type Column } from './column.ts';
import { fold } from './database.ts';
import type { Candidate, FlowSchema, Prefers, Widened } from './flow-schema.ts';
import { Growth, keyOf, type Group } from './growth.ts';
import { Questions } from './questions.ts';
import { shorten, Spellings } from './spellings.ts';

export const TOO_DEEP = `the message is or holds text whose brackets are nested deeper than ${MAX_JSON_DEPTH} levels, and the query reads JSON from text`;

const SURROGATE = String.raw`a \u escape of half a surrogate pair, which is not text`;

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
  /** Where the values of a column are in the batch. */
  readonly slices: (path: Path) => Slices | undefined;
  /** The values of columns of declared types, by their place in the table. */
  readonly converted?: ReadonlyMap<number, Values>;
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
  /** The new columns and kinds of each message, by its place. */
  readonly news: Map<number, Group>;
  /** Places of messages with a value that not every type can hold. */
  readonly doubtful: readonly number[];
  readonly slices: BatchSlices;
}

const { NEW_FIELD, DUPLICATE, NOT_OBJECT, LONE_SURROGATE, OUT_OF_RANGE } = scanFindings;

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
  readonly #spellings = new Spellings();
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
    const paths = schema.paths;
    this.#scanner = new FieldScanner({ matters: (name) => !schema.ignores(name), paths, fold });
    for (const { path, kinds } of schema.columns) this.#scanner.allow(path, kinds);
  }

  /** The columns as they are now. */
  get schema(): FlowSchema {
    return this.#schema;
  }

  /** How many messages of JSON it has looked at. */
  get messages(): number {
    return this.#scanner.messages;
  }

  /** Rejects the messages that the query cannot take. */
  async check(batch: Batch, reject: (rejection: Rejection) => void): Promise<Admitted> {
    this.#batches++;
    const scan = this.#scan(batch);
    if (scan.news.size > 0 || this.#newShapes(batch, scan).size > 0 || this.#isTimeToLook(batch))
      return await this.#inTurn(() => this.#settle(batch, reject));
    return this.#admitted(batch, scan, reject);
  }

  #admitted(
    { payloads }: Batch,
    { refusals, doubtful, slices }: Scan,
    reject: (rejection: Rejection) => void,
  ): Admitted {
    const of = (path: Path): Slices | undefined => this.#spellings.slices(path, slices);
    this.#judge(doubtful, of, refusals);
    const converted = this.#convert(payloads, of, refusals);
    refusals.sort((a, b) => a.index - b.index);
    // Creating an error is slow; messages that are wrong in the same way share one.
    const errors = new Map<string, MillraceError>();
    for (const { index, message, code = sqlErrors.MILLRACE_SQL_FIELD_CONFLICT, field } of refusals) {
      const error = errors.get(message) ?? new MillraceError(code, message);
      errors.set(message, error);
      reject({ index, error, ...(field !== undefined && { field }) });
    }
    const refused = refusals.map(({ index }) => index);
    return { refused, schema: this.#schema, slices: of, converted };
  }

  /** Makes the columns of declared types. Refuses the messages whose values do not convert. */
  #convert(
    payloads: readonly Uint8Array[],
    slices: (path: Path) => Slices | undefined,
    refusals: Refusal[],
  ): ReadonlyMap<number, Values> {
    const converted = new Map<number, Values>();
    let gone: Set<number> | undefined;
    for (const [column, { path, name, converts }] of this.#schema.tableColumns.entries()) {
      if (converts === undefined) continue;
      const values = declaredColumn(payloads, slices(path), converts, (index, reason) => {
        gone ??= new Set(refusals.map((refusal) => refusal.index));
        if (gone.has(index)) return;
        gone.add(index);
        refusals.push({ index, message: `field ${shorten(name)}: ${oneLine(reason)}`, field: name });
      });
      converted.set(column, values);
    }
    return converted;
  }

  /** Refuses those of the messages whose values their columns cannot hold. */
  #judge(doubtful: readonly number[], slices: (path: Path) => Slices | undefined, refusals: Refusal[]): void {
    if (doubtful.length === 0) return;
    const gone = new Set(refusals.map(({ index }) => index));
    for (const { path, name, type: stored, declared } of this.#schema.tableColumns) {
      const type = declared ?? stored.kind.toUpperCase();
      const found = type === 'JSON' ? undefined : slices(path);
      if (found === undefined) continue;
      for (const index of doubtful) {
        const kind = gone.has(index) ? 0 : found.kinds[index]!;
        let message: string | undefined;
        if ((kind & valueFlags.LONE_HALF) !== 0) message = SURROGATE;
        else if ((kind & valueFlags.TOO_LARGE) !== 0 && (type === 'DOUBLE' || type === 'FLOAT'))
          message = `not a number within the range of the type ${type}`;
        if (message === undefined) continue;
        gone.add(index);
        refusals.push({ index, message: `field ${shorten(name)}: ${message}`, field: name });
      }
    }
  }

  /** Calls `each` for each message that is not refused, after scanning it. */
  #scan({ payloads, format }: Batch, each?: (index: number) => void): Scan {
    const refusals: Refusal[] = [];
    const news = new Map<number, Group>();
    const doubtful: number[] = [];
    const scanner = this.#scanner;
    const { parsesText } = this.#schema;
    const slices = scanner.begin(format === 'json' ? payloads.length : 0);
    const scan = { refusals, news, doubtful, slices };
    if (format !== 'json' && !parsesText) return scan;
    for (let index = 0; index < payloads.length; index++) {
      const payload = payloads[index]!;
      if (parsesText && hasDeepText(payload)) {
        refusals.push({ index, code: sqlErrors.MILLRACE_SQL_TEXT_TOO_DEEP, message: TOO_DEEP });
        continue;
      }
      if (format !== 'json') continue;
      let found = scanner.scan(payload, index);
      if (found !== 0) {
        while ((found & NEW_FIELD) !== 0 && this.#learnSpellings()) found = scanner.scan(payload, index);
        if ((found & DUPLICATE) !== 0) {
          const name = pathText(scanner.duplicate!);
          refusals.push({ index, message: `field ${shorten(name)}: the message has it twice`, field: name });
          continue;
        }
        if ((found & (LONE_SURROGATE | OUT_OF_RANGE)) !== 0) doubtful.push(index);
        const group = (found & NOT_OBJECT) === 0 ? this.#candidates() : this.#bareValue();
        if (group.length > 0) news.set(index, group);
      }
      each?.(index);
    }
    this.#compareSpellings(scan);
    return scan;
  }

  /** Makes the scanner note other spellings of columns in the last message. @returns true if there was a new one */
  #learnSpellings(): boolean {
    let learnt = false;
    for (const { path } of this.#scanner.news) {
      const column = this.#schema.named(path);
      if (column === undefined || pathKey(column) === pathKey(path)) continue;
      if (!this.#spellings.add(column, path)) continue;
      this.#scanner.allow(path, ALL_KINDS);
      learnt = true;
    }
    return learnt;
  }

  /** The new columns and kinds of the last message. */
  #candidates(): Candidate[] {
    const candidates: Candidate[] = [];
    for (const { path, kinds } of this.#scanner.news)
      if (pathKey(this.#schema.named(path) ?? path) === pathKey(path)) candidates.push({ path, kind: kinds });
    return candidates;
  }

  /** The news of columns in other spellings. The scanner allows these whatever they hold. */
  #compareSpellings({ refusals, news, slices }: Scan): void {
    let gone: Set<number> | undefined;
    for (const column of this.#spellings.columns) {
      if (this.#schema.takesAll) this.#addOwnColumns(column, news, slices);
      const found = this.#spellings.slices(column, slices);
      if (found === undefined) continue;
      const known = this.#schema.column(column)?.kinds ?? 0;
      gone ??= new Set(refusals.map(({ index }) => index));
      for (let index = 0; index < slices.length; index++) {
        const kind = found.kinds[index]! & ALL_KINDS;
        if (kind === 0 || (known & kind) !== 0 || gone.has(index)) continue;
        const group = news.get(index) ?? [];
        const isReported = group.some(({ path }) => pathKey(path) === pathKey(column));
        if (!isReported) news.set(index, [...group, { path: column, kind }]);
      }
    }
    // Columns grow in the order of messages.
    const inOrder =
      gone === undefined && !this.#schema.takesAll ? [] : [...news].toSorted(([a], [b]) => a - b);
    for (const [index, group] of inOrder) {
      news.delete(index);
      news.set(index, group);
    }
  }

  /** A field in another spelling than a column's is also a column of its own for a `*`. */
  #addOwnColumns(column: Path, news: Map<number, Group>, slices: BatchSlices): void {
    // A declared column stands for all of them.
    if (this.#schema.column(column)?.declared !== undefined) return;
    for (const path of this.#spellings.of(column)) {
      const index = this.#schema.column(path) === undefined ? slices.of(path)?.kinds.findIndex(Boolean) : -1;
      if (index === undefined || index < 0) continue;
      news.set(index, [...(news.get(index) ?? []), { path, kind: ALL_KINDS }]);
    }
  }

  /** A JSON value that is not an object is the column `__value__`; its kind does not matter. */
  #bareValue(): Candidate[] {
    const known =
      (this.#scanner.knows(WHOLE_VALUE) & fieldKinds.NESTED) !== 0 || this.#schema.ignores(WHOLE_VALUE[0]);
    return known ? [] : [{ path: WHOLE_VALUE, kind: fieldKinds.NESTED }];
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
    const takeCount = (path: Path): number => this.#takeCount(path);
    const inQuestion = this.#questions.count(batch, first.news, this.#schema, takeCount, (each) =>
      this.#scan(batch, each),
    );
    const changed = new Set<string>();
    for (;;) {
      const { news } = this.#scan(batch);
      const turned = new Set<string>();
      const prefers: Prefers = (key, one, others) => {
        const preferred = !changed.has(key) && this.#questions.prefer(key, one, others);
        if (preferred) turned.add(key);
        return preferred;
      };
      const { schema, refused } = await this.#growth.grow(this.#schema, news.values(), prefers);
      for (const key of turned) changed.add(key);
      // If a column has lost a type, messages that fitted before may no longer fit.
      if (this.#change(schema) || turned.size > 0) continue;
      // Now the scanner notes the new columns.
      const scan = this.#scan(batch);
      for (const [index, group] of news) {
        const culprit = refused.get(keyOf(group));
        if (culprit === undefined) continue;
        const name = pathText(culprit.path);
        const message = `field ${shorten(name)}: ${culprit.reason}`;
        scan.refusals.push({ index, message, field: name });
      }
      for (const path of inQuestion) {
        if (schema.column(path) === undefined) this.#questions.forget(path);
        // The votes of this batch have been counted.
        else this.#takeCount(path);
      }
      scan.refusals.push(...(await this.#learnShapes(batch, scan)));
      return this.#admitted(batch, scan, reject);
    }
  }

  /** The shapes of columns that messages change. A rejected message must not change how the others are read. */
  #newShapes({ payloads }: Batch, { slices, refusals }: Scan): Map<Column, Shape> {
    const shapes = new Map<Column, Shape>();
    for (const column of this.#schema.columns) {
      const { path, shape } = column;
      const found = shape && this.#spellings.slices(path, slices);
      if (found === undefined) continue;
      for (const { index } of refusals) found.kinds[index] = 0;
      const learnt = learnShape(shape!, payloads, found);
      if (learnt !== shape) shapes.set(column, learnt);
    }
    return shapes;
  }

  /** Changes the shapes of columns if the query fits that. @returns messages that it does not fit */
  async #learnShapes(batch: Batch, scan: Scan): Promise<Refusal[]> {
    const shapes = this.#newShapes(batch, scan);
    if (shapes.size === 0) return [];
    const schema = this.#schema.withShapes(shapes);
    const reason = await this.#growth.objection(schema, this.#schema);
    if (reason === undefined) {
      this.#schema = schema;
      return [];
    }
    const refusals: Refusal[] = [];
    for (const { path, shape } of shapes.keys()) {
      const { kinds, starts } = this.#spellings.slices(path, scan.slices)!;
      const name = pathText(path);
      for (const [index, payload] of batch.payloads.entries()) {
        if ((kinds[index]! & fieldKinds.NESTED) === 0) continue;
        if ((shape!.scan(payload, starts[index]!) & NEW_FIELD) === 0) continue;
        refusals.push({ index, message: `field ${shorten(name)}: ${reason}`, field: name });
      }
    }
    return refusals;
  }

  /** How many messages have had the column with an allowed, non-null value since the last call. */
  #takeCount(path: Path): number {
    let sum = this.#scanner.takeCount(path);
    for (const other of this.#spellings.of(path)) sum += this.#scanner.takeCount(other);
    return sum;
  }

  /** Makes the scanner follow the schema. @returns true if a column has lost a type */
  #change(schema: FlowSchema): boolean {
    const before = this.#schema;
    this.#schema = schema;
    let lost = false;
    for (const column of schema.columns) {
      const { path, kinds } = column;
      const earlier = before.column(path);
      if (earlier === column) continue;
      if (earlier !== undefined && (earlier.kinds & ~kinds) !== 0) {
        lost = true;
        this.#scanner.forget(path);
        if (isNumeric(earlier) && isNumeric(column)) this.#questions.swapNumbers(path);
      }
      this.#scanner.allow(path, kinds);
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
    const lastWith = (path: Path): number =>
      Math.max(...[path, ...this.#spellings.of(path)].map((each) => scanner.lastWith(each)));
    const stale = [...before.columns].filter(({ path }) => lastWith(path) <= last);
    const left = before.without(stale.map(({ path }) => path));
    // A query may need a column to exist, whatever its type.
    if (left === before || !(await this.#growth.fitsAsWell(left, before))) return;
    this.#schema = left;
    for (const { path } of stale) {
      if (left.column(path) !== undefined) continue;
      scanner.forget(path);
      this.#questions.forget(path);
    }
    this.#growth.forgetRefusals();
  }
}

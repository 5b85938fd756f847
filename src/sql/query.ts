import { existsSync } from 'node:fs';
import { sqlErrors } from './sql-errors.ts';
import type { DuckDBConnection, DuckDBPreparedStatement } from '@duckdb/node-api';
import { MillraceError, errorMessage, type Rejection } from '../errors.ts';
import { Batch } from '../message/batch.ts';
import { columnsOf, type Values } from '../message/rows.ts';
import { Admission } from './admission.ts';
import { analyseAll } from './analyse-all.ts';
import type { QueryAnalysis } from './analyse.ts';
import { findCulprits, isOfSize, type Attempt } from './culprits.ts';
import { Database, type DatabaseOptions, fold } from './database.ts';
import type * as duckdbRows from './duckdb-rows.ts';
import { sqlGate } from './gate.ts';
import { readDeclared } from './declared.ts';
import { FlowSchema, type Widened } from './flow-schema.ts';
import {
  jsonFlow,
  jsonSource,
  partOf,
  payloadSource,
  rowsSource,
  type Flow,
  type Part,
  type Source,
} from './flow-source.ts';
import type { FlowTable } from './flow-table.ts';
import { FlowUses } from './flow-uses.ts';
import { metadataFields, metadataValues } from './metadata-values.ts';
import { failed, fieldFault, prepare, type Plan, type Prepared } from './prepare.ts';
import { ReferenceTables } from './reference-tables.ts';
import type { TablePosition } from './state-checkpoints.ts';
import { isOfState, StateTables, type StateOptions } from './state-tables.ts';
import { unseenRemarks } from './remarks.ts';
import type { RowTable } from './row-table.ts';
import { RowsFlow } from './rows-flow.ts';
import { passMessages, readResult, readText } from './rows.ts';

/** The modules that need DuckDB itself, imported when a query is opened. */
type DuckDBRows = typeof duckdbRows;

/** A query that runs longer than this is slow, unless its timeout is not much longer. Milliseconds. */
const SLOW = 5_000;

/**
 * A search for messages that take too long gives each part of the batch this share of the timeout, and takes at most
 * this many times the timeout.
 */
const SHARE_OF_PART = 1 / 10;
const PARTS = 20;

/** The number of messages found by a probe that are tried alone. The trial also tells what is wrong with each. */
const TRIED = 64;

/** DuckDB forgets an interrupt that arrives before a thread has begun the query, so it is repeated. Milliseconds. */
const INTERRUPT_EVERY = 20;

/** A batch of fewer messages than this costs hardly less than one of so many. */
const FEW = 256;
/** A statement that runs on few messages runs during at most this share of the time. */
const SHARE_OF_TIME = 1 / 8;

const EMPTY = new Batch([Buffer.from('{}')], { format: 'json' });

/** Kinds of batch, which have tables of their own. */
type Kind = Batch['format'] | 'rows';

interface Worker {
  readonly connection: DuckDBConnection;
  /** The table from which statements read the batch. */
  readonly table: RowTable;
  /** The last statement for each kind of batch. */
  readonly prepared: Map<Kind, Prepared>;
  /** The one for whose statements before the last the batch is a view. */
  viewed?: Prepared;
}

/**
 * A batch on its way through the query: the time since which it waits or runs, in milliseconds of `performance.now()`.
 */
interface Stay {
  since: number;
  inside: boolean;
}

/** The statement and connection for a batch. */
interface Task {
  readonly worker: Worker;
  readonly prepared: Prepared;
  readonly signal: AbortSignal;
  readonly source: Source;
}

/** The part of a database that a query uses. A test may give it one that several queries share. */
export type QueryDatabase = Pick<Database, 'own' | 'columns' | 'connect' | 'close'>;

/** The database of a query, and the tables in it. */
interface Parts {
  readonly database: QueryDatabase;
  readonly tables: ReferenceTables;
  readonly state: StateTables;
  readonly duckdb: DuckDBRows;
}

export interface QueryOptions {
  readonly query: string;
  readonly tableName: string;
  /** Types of columns, as the user wrote them. */
  readonly schema: Readonly<Record<string, string>>;
  readonly allowExternalAccess: boolean;
  /** The IANA name of the time zone in which the query runs. */
  readonly timezone: string;
  /** Statements that make functions, views and tables before the first batch. */
  readonly setup?: string | undefined;
  /** The path of the file of each reference table. */
  readonly tables?: Readonly<Record<string, string>>;
  /** Tables that the query changes, and the folder of their files. */
  readonly state?: StateOptions;
  readonly folder?: string | undefined;
  /** True if the rows must know which message each was made of, as far as it was one. */
  readonly traced: boolean;
  /** True if the rows go to somebody who takes rows with types: values that are passed on then have their own. */
  readonly typed?: boolean;
  /** True if all messages are bytes that no codec has read. */
  readonly undecoded?: boolean;
  /** How long the query may run on a batch, in milliseconds. */
  readonly timeout: number;
  /** Limits in bytes: the database's memory, and the rows for one batch. */
  readonly memoryLimit: number;
  readonly maxResultBytes: number;
  /** Called at the start and at the end of each batch. */
  readonly started?: (() => void) | undefined;
  readonly ended?: ((seconds: number) => void) | undefined;
  /** Called once for each change of a column's type. */
  readonly widened: (column: Widened) => void;
}

/** One SQL query over batches: JSON bytes or rows with types in, either of them out. */
export class Query {
  readonly #options: QueryOptions;
  readonly #database: QueryDatabase;
  readonly #tables: ReferenceTables;
  readonly #state: StateTables;
  readonly #plan: Plan;
  readonly #admission: Admission;
  readonly #declared: FlowSchema;
  readonly #duckdb: DuckDBRows;
  /** Statements for tables from which a filter selects the messages without a worker. */
  readonly #filtered = new WeakMap<FlowTable, Prepared>();
  /** Why it can never succeed, though it is valid. */
  #misfit: MillraceError | undefined;
  /** The plan of the last batch of rows. */
  #rowsFlow: RowsFlow | undefined;
  readonly #idle: Worker[] = [];
  readonly #closing = new AbortController();
  readonly #stays = new Set<Stay>();
  #borrowed = 0;
  #rest = 0;
  #allReturned = (): void => {};

  private constructor(
    options: QueryOptions,
    { database, tables, state, duckdb }: Parts,
    analysis: QueryAnalysis,
    schema: FlowSchema,
  ) {
    this.#options = options;
    this.#database = database;
    this.#tables = tables;
    this.#state = state;
    this.#declared = schema;
    this.#duckdb = duckdb;
    const { tableName, traced, typed = false } = options;
    const { columnTypeOf: typeOf } = duckdb;
    this.#plan = { analysis, tableName, traced, isTyped: typed, typeOf };
    this.#admission = new Admission(schema, (grown) => this.#objection(grown), options.widened);
  }

  /** True if each row is made of one message, so that a message without a row was filtered out. */
  get isRowwise(): boolean {
    return this.#plan.analysis.rowwise;
  }

  /**
   * For how long messages should gather before the next batch, in milliseconds, so that a stream that never brings many
   * at a time does not spend its time on statements.
   */
  get rest(): number {
    return this.#rest;
  }

  /** Columns of tables that are not the batch. */
  get #ownColumns(): ReadonlySet<string> {
    let columns = this.#database.columns.union(this.#state.columns);
    for (const { before } of this.#idle[0]?.prepared.values() ?? [])
      if (before !== undefined) columns = columns.union(before.columns);
    return columns;
  }

  /** Likely mistakes in the query that the messages so far have shown. */
  remarks(): readonly MillraceError[] {
    if (this.#misfit !== undefined) return [this.#misfit];
    if (this.#admission.messages === 0) return [];
    const own = this.#ownColumns;
    const names = this.#admission.schema.unseen.filter((name) => !own.has(fold(name)));
    return unseenRemarks(this.#options.query, names);
  }

  /** @throws MillraceError MILLRACE_SQL_INVALID (fatal) for a query that no data can make valid */
  static async open(
    options: QueryOptions,
    openDatabase: (options: DatabaseOptions) => Promise<QueryDatabase> = (given) => Database.open(given),
  ): Promise<Query> {
    const tables = new ReferenceTables(options.tables ?? {});
    const database = await openDatabase({ ...options, tables });
    try {
      const duckdb = await import('./duckdb-rows.ts');
      const connection = await database.connect();
      const declared = await readDeclared(connection, options.schema, duckdb.columnTypeOf);
      const state = await StateTables.create(connection, options.state);
      const { query: text, tableName, allowExternalAccess } = options;
      const analysis = await analyseAll(connection, text, tableName, {
        allowExternalAccess,
        own: database.own,
        state: state.names,
        keepsSpelling: options.typed !== true,
      });
      // Columns of declared types make rows that differ from the messages as they came.
      if (analysis.rows === 'messages' && declared.size > 0) analysis.rows = 'by message';
      const schema = FlowSchema.declare(new FlowUses(analysis, options.typed === true), declared);
      const query = new Query(options, { database, tables, state, duckdb }, analysis, schema);
      const worker = query.#employ(connection);
      await query.#validate(worker);
      if (options.undecoded === true) query.#misfit = await query.#misfitOfBytes(worker);
      query.#idle.push(worker);
      return query;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /**
   * Returns the rows as messages, in as many batches as needed. Messages that cannot take part are rejected, and so are
   * the messages that make the query fail.
   * @throws the database's error if no messages can be named
   */
  async run(
    given: Batch,
    reject: (rejection: Rejection) => void,
    signal: AbortSignal,
  ): Promise<readonly Batch[]> {
    // A row is text only as JSON.
    const isText = given.rows !== undefined && this.#plan.analysis.readsWhole;
    const batch = isText ? given.withPayloads(given.payloads, 'json') : given;
    if (this.#tables.isDue) await this.#borrow(signal, ({ connection }) => this.#tables.refresh(connection));
    const { refused, source } = await this.#admit(batch, reject);
    const gone = new Set(refused);
    const places = placesOf(batch).filter((index) => !gone.has(index));
    if (places.length === 0) return [];
    const all: Part = { batch, places: undefined };
    const taken = refused.length === 0 ? all : partOf(all, places);
    const filtered = this.#filtered.get(source.flow.table);
    if (filtered !== undefined) {
      this.#rest = 0;
      return this.#filter(filtered, taken, source);
    }
    return await this.#borrow(signal, async (worker) => {
      const { timeout } = this.#options;
      const start = performance.now();
      const prepared = await this.#prepare(worker, source.flow, kindOf(batch));
      const task: Task = { worker, prepared, signal, source };
      const keep = (part: Part): Promise<readonly Batch[]> => this.#rows(task, part, timeout, 'commit');
      try {
        const rows = await keep(taken);
        const took = performance.now() - start;
        this.#rest = taken.batch.length < FEW ? took / SHARE_OF_TIME : 0;
        return rows;
      } catch (error) {
        const isSearched = error instanceof MillraceError && !error.fatal && !isOfState(error);
        if (!isSearched || signal.aborted) throw error;
        const isLate = error.code === sqlErrors.MILLRACE_SQL_TIMEOUT.code;
        const limit = isLate ? timeout * SHARE_OF_PART : timeout;
        const longest = isLate ? limit * PARTS : timeout;
        const took = performance.now() - start;
        const attempt: Attempt<readonly Batch[]> = (indices, part) =>
          this.#rows(task, partOf(taken, indices), part ? limit : timeout, 'roll back');
        const known = isOfSize(error) ? new Map() : await this.#probe(task, taken, attempt);
        const { result, culprits } = await findCulprits(taken.batch, attempt, {
          error,
          took,
          longest,
          known,
          signal,
        });
        for (const [index, reason] of culprits) {
          const { field } = reason;
          reject({ index: places[index]!, error: reason, ...(field !== undefined && { field }) });
        }
        if (prepared.before === undefined || result === undefined) return result ?? [];
        const rest = placesOf(taken.batch).filter((index) => !culprits.has(index));
        return await keep(partOf(taken, rest));
      }
    });
  }

  /** The rows of a query that needs no database. */
  #filter(prepared: Prepared, part: Part, source: Source): Batch[] {
    this.#closing.signal.throwIfAborted();
    const { columns, pass } = prepared.filter!;
    const values: Values[] = [];
    for (const column of columns) values[column] = source.values(column, part.places);
    const rows = passMessages(pass(values, part.batch.length), part, source, prepared);
    return rows === undefined ? [] : [rows];
  }

  /**
   * Why the query holds messages back: it has been running, or waiting for its turn, for too long; otherwise undefined.
   */
  notReady(): string | undefined {
    const now = performance.now();
    const slow = Math.min(SLOW, this.#options.timeout / 2);
    for (const { since, inside } of this.#stays) {
      if (now - since < slow) continue;
      const seconds = `${Math.round((now - since) / 100) / 10} s`;
      return inside
        ? `the query has been running on a batch for ${seconds}`
        : `a batch has been waiting for ${seconds} for one of the ${sqlGate().places} threads that SQL has`;
    }
    return this.#tables.trouble;
  }

  /** Writes the tables of `state` into a file. Call it between batches. */
  async save(path: string, position: TablePosition): Promise<void> {
    await this.#borrow(this.#closing.signal, ({ connection }) =>
      this.#state.save(connection, path, position),
    );
  }

  /** Fills the tables of `state` from a file, before the first batch. @returns undefined if there is no file */
  async load(path: string): Promise<TablePosition | undefined> {
    if (!existsSync(path)) return undefined;
    return await this.#borrow(this.#closing.signal, ({ connection }) => this.#state.load(connection, path));
  }

  /** Interrupts running statements and frees everything; a pending `run` fails as fatal. */
  async close(): Promise<void> {
    this.#closing.abort(new MillraceError('MILLRACE_PROCESSOR_FAILED', 'sql: closed', { fatal: true }));
    if (this.#borrowed > 0) await new Promise<void>((resolve) => (this.#allReturned = resolve));
    for (const { connection } of this.#idle.splice(0)) connection.closeSync();
    this.#database.close();
  }

  async #borrow<T>(signal: AbortSignal, action: (worker: Worker) => Promise<T>): Promise<T> {
    const gate = sqlGate();
    this.#closing.signal.throwIfAborted();
    this.#borrowed++;
    const stay: Stay = { since: performance.now(), inside: false };
    this.#stays.add(stay);
    let worker: Worker | undefined;
    try {
      await gate.enter(this, () => AbortSignal.any([signal, this.#closing.signal]));
      stay.since = performance.now();
      stay.inside = true;
      this.#options.started?.();
      this.#closing.signal.throwIfAborted();
      worker = this.#idle.pop() ?? this.#employ(await this.#database.connect());
      return await action(worker);
    } finally {
      if (worker !== undefined) this.#idle.push(worker);
      if (stay.inside) {
        gate.leave(this);
        this.#options.ended?.((performance.now() - stay.since) / 1000);
      }
      this.#stays.delete(stay);
      if (--this.#borrowed === 0) this.#allReturned();
    }
  }

  #employ(connection: DuckDBConnection): Worker {
    return { connection, table: new this.#duckdb.RowTable(connection), prepared: new Map() };
  }

  /**
   * `end`: of the transaction, if the query has several statements.
   * @throws MillraceError with the database's message, or the signal's reason
   */
  async #rows(
    task: Task,
    whole: Part,
    timeout: number,
    end: 'commit' | 'roll back',
  ): Promise<readonly Batch[]> {
    const deadline = performance.now() + timeout;
    const { maxResultBytes } = this.#options;
    let left = maxResultBytes;
    const check = (bytes: number): void => {
      if ((left -= bytes) >= 0) return;
      const message = `the result is larger than \`max_result_bytes\`, ${maxResultBytes} bytes`;
      throw new MillraceError(sqlErrors.MILLRACE_SQL_TOO_LARGE, message);
    };
    const rowsOf = async (part: Part): Promise<Batch[]> => {
      try {
        const rows = await this.#atomically(task, end, () =>
          this.#interruptible(task, deadline - performance.now(), () => this.#execute(task, part, check)),
        );
        return rows === undefined ? [] : [rows];
      } catch (error) {
        // If each row comes from one message, halves that fit have the same rows.
        const { length } = part.batch;
        const splits = this.#plan.analysis.rowwise && length > 1 && left >= 0 && isTooLarge(error);
        if (!splits) throw error;
        const indices = placesOf(part.batch);
        const first = await rowsOf(partOf(part, indices.slice(0, length >> 1)));
        return [...first, ...(await rowsOf(partOf(part, indices.slice(length >> 1))))];
      }
    };
    return await rowsOf(whole);
  }

  /**
   * The messages on which the query fails alone, with their errors, if one query can find them. Some of them are tried;
   * if one of those does not fail, the others are not believed either.
   */
  async #probe(
    task: Task,
    part: Part,
    attempt: Attempt<unknown>,
  ): Promise<ReadonlyMap<number, MillraceError>> {
    const known = new Map<number, MillraceError>();
    const probe = part.batch.length === 1 ? undefined : await task.prepared.probe();
    if (probe === undefined) return known;
    const [outcome] = await Promise.allSettled([
      this.#interruptible(task, this.#options.timeout, async () => {
        give(task, part);
        return readText((await (await probe.run()).fetchChunk())!);
      }),
    ]);
    this.#throwIfStopped(task.signal);
    if (outcome.status === 'rejected') return known;
    const found = JSON.parse(`[${outcome.value}]`) as { i: number; m: string | null }[];
    for (const { i } of found.slice(0, TRIED)) {
      const [alone] = await Promise.allSettled([attempt([i], true)]);
      this.#throwIfStopped(task.signal);
      if (alone.status === 'fulfilled') return known;
      known.set(i, failed(alone.reason));
    }
    const like = [...known.values()].at(-1)?.message;
    for (const { i, m } of found.slice(TRIED)) {
      const message = `the query fails on it as on another message of its batch: ${like}`;
      known.set(i, m === null ? new MillraceError('MILLRACE_PROCESSOR_FAILED', message) : fieldFault(m));
    }
    return known;
  }

  #throwIfStopped(signal: AbortSignal): void {
    signal.throwIfAborted();
    this.#closing.signal.throwIfAborted();
  }

  /** Ends the statements of `action` on the connection after `limit` milliseconds, and when the query must stop. */
  async #interruptible<T>({ worker, signal }: Task, limit: number, action: () => Promise<T>): Promise<T> {
    this.#throwIfStopped(signal);
    let late = limit <= 0;
    let again: NodeJS.Timeout | undefined;
    const interrupt = (): void => {
      worker.connection.interrupt();
      again ??= setInterval(() => worker.connection.interrupt(), INTERRUPT_EVERY);
    };
    const stops = [signal, this.#closing.signal];
    const timer = setTimeout(() => {
      late = true;
      interrupt();
    }, limit);
    for (const stop of stops) stop.addEventListener('abort', interrupt, { once: true });
    try {
      return await action();
    } catch (error) {
      this.#throwIfStopped(signal);
      if (!late) throw error;
      const message = `the query ran longer than ${Math.round(limit)} ms; its \`timeout\` is ${this.#options.timeout} ms`;
      throw new MillraceError(sqlErrors.MILLRACE_SQL_TIMEOUT, message, { cause: error });
    } finally {
      clearTimeout(timer);
      clearInterval(again);
      for (const stop of stops) stop.removeEventListener('abort', interrupt);
    }
  }

  /** Runs the statements of a query that has several as one transaction: all of them have effect, or none. */
  async #atomically<T>(
    { worker, prepared }: Task,
    end: 'commit' | 'roll back',
    action: () => Promise<T>,
  ): Promise<T> {
    const { before } = prepared;
    if (before === undefined) return await action();
    const { connection } = worker;
    // A view is the same for all batches that have the same table.
    if (worker.viewed !== prepared) await connection.run(before.view);
    worker.viewed = prepared;
    for (let isCompact = false; ;) {
      await connection.run('BEGIN');
      try {
        const result = await action();
        if (end === 'commit') await this.#state.check(connection);
        await connection.run(end === 'commit' ? `${before.end} COMMIT` : 'ROLLBACK');
        if (end === 'commit') await this.#state.compact(connection);
        return result;
      } catch (error) {
        // A COMMIT that fails has ended the transaction already.
        await connection.run('ROLLBACK').catch(() => {});
        const failure = failed(error);
        if (isCompact || !isOfState(failure) || !(await this.#state.compact(connection, 0))) throw failure;
        isCompact = true;
      }
    }
  }

  /** @throws MillraceError with what the database says */
  async #execute(task: Task, part: Part, check: (bytes: number) => void): Promise<Batch | undefined> {
    const { prepared } = task;
    give(task, part);
    let { within } = prepared;
    try {
      for (const statement of prepared.before?.all ?? []) {
        ({ within } = statement);
        await statement.run(task.worker.connection);
      }
      ({ within } = prepared);
      const { isBounded } = this.#plan.analysis;
      const { columns, fields } = prepared;
      const reading = { isBounded, check, counted: fields.length };
      const statement = await this.#statement(task);
      try {
        const rows = await this.#duckdb.runRows(statement, columns, reading);
        return readResult(rows, part, task.source, prepared);
      } finally {
        if (statement !== prepared.statement) statement.destroySync();
      }
    } catch (error) {
      throw failed(error, within);
    } finally {
      task.worker.table.clear();
    }
  }

  /**
   * DuckDB plans a statement with what its tables have at that time, such as that they are empty, and a plan stays as it
   * is when their rows change: then the result is wrong.
   */
  async #statement({ worker, prepared: { before, statement, sql } }: Task): Promise<DuckDBPreparedStatement> {
    const isConstant = before === undefined && this.#state.names.size === 0;
    return isConstant ? statement : await worker.connection.prepare(sql);
  }

  /** The messages that the query refuses, and the batch as its table. */
  async #admit(
    batch: Batch,
    reject: (rejection: Rejection) => void,
  ): Promise<{ refused: readonly number[]; source: Source }> {
    const { rows, format } = batch;
    if (rows === undefined) {
      const admitted = await this.#admission.check(batch, reject);
      const { refused } = admitted;
      const source = format === 'json' ? jsonSource(batch, admitted) : payloadSource(batch, admitted.schema);
      return { refused, source };
    }
    if (this.#rowsFlow?.fits(rows) !== true) this.#rowsFlow = new RowsFlow(columnsOf(rows), this.#declared);
    const flow = this.#rowsFlow;
    return { refused: flow.check(batch, reject), source: rowsSource(batch, flow) };
  }

  async #prepare({ connection, table, prepared: all }: Worker, flow: Flow, kind: Kind): Promise<Prepared> {
    const known = all.get(kind);
    if (known?.of === flow.table) return known;
    table.expect(flow.table.fields);
    const prepared = await prepare(connection, this.#plan, flow, table.name);
    known?.statement.destroySync();
    all.set(kind, prepared);
    if (prepared.filter !== undefined) this.#filtered.set(flow.table, prepared);
    return prepared;
  }

  /** Why the query does not fit the schema, or undefined if it does. */
  async #objection(schema: FlowSchema): Promise<string | undefined> {
    const { signal } = this.#closing;
    return await this.#borrow(signal, async (worker) => {
      try {
        // Some misfits show only at run time: `a = 'x'` where `a` is JSON, and `x` is not.
        const source = jsonSource(EMPTY, { refused: [], schema, slices: () => undefined });
        const prepared = await this.#prepare(worker, source.flow, 'json');
        const part: Part = { batch: EMPTY, places: undefined };
        await this.#rows({ worker, prepared, signal, source }, part, this.#options.timeout, 'roll back');
        return undefined;
      } catch (error) {
        this.#closing.signal.throwIfAborted();
        // A query that takes too long tells nothing.
        return error instanceof MillraceError && isOfSize(error) ? undefined : errorMessage(error);
      }
    });
  }

  /** Why the query does not fit messages of bytes, or undefined if it does. */
  async #misfitOfBytes(worker: Worker): Promise<MillraceError | undefined> {
    try {
      const batch = EMPTY.withPayloads(EMPTY.payloads, 'bytes');
      await this.#prepare(worker, payloadSource(batch, this.#admission.schema).flow, 'bytes');
      return undefined;
    } catch (cause) {
      const message = errorMessage(cause);
      return new MillraceError(sqlErrors.MILLRACE_SQL_INVALID, message, { cause, field: 'query' });
    }
  }

  /** Throws if no messages can make the query valid. */
  async #validate(worker: Worker): Promise<void> {
    try {
      await this.#prepare(worker, jsonFlow(this.#admission.schema), 'json');
    } catch (cause) {
      const message = errorMessage(cause);
      // A query that does not fit columns without a type may fit the types that messages bring, and so may a star that
      // finds no columns.
      const mendable =
        /^(?:statement \d+: )?Binder Error: (No function matches|Could not choose|Cannot)/.test(message);
      if (mendable || (this.#plan.analysis.star && message.startsWith('Binder Error'))) return;
      throw new MillraceError(sqlErrors.MILLRACE_SQL_INVALID, message, {
        cause,
        fatal: true,
        field: 'query',
      });
    }
  }
}

/** Makes the part the table that the statement reads. */
function give({ worker: { table }, source }: Task, { batch, places }: Part): void {
  const { fields } = source.flow.table;
  table.expect(fields);
  const own = fields.length - metadataFields.length;
  table.set({
    length: batch.length,
    values: (column) =>
      column < own ? source.values(column, places) : metadataValues(batch, fields[column]!.name),
  });
}

function kindOf({ rows, format }: Batch): Kind {
  return rows === undefined ? format : 'rows';
}

function placesOf(batch: Batch): number[] {
  return Array.from({ length: batch.length }, (_, index) => index);
}

function isTooLarge(error: unknown): boolean {
  return error instanceof MillraceError && error.code === sqlErrors.MILLRACE_SQL_TOO_LARGE.code;
}

import type { DuckDBConnection } from '@duckdb/node-api';
import { MillraceError, errorMessage, type Rejection } from '../errors.ts';
import { Batch, type Format } from '../message/batch.ts';
import { Admission, type Admitted } from './admission.ts';
import { analyseQuery, type QueryAnalysis } from './analyse.ts';
import { findCulprits } from './culprits.ts';
import { Database } from './database.ts';
import { readDeclared } from './declared.ts';
import { encodeBatch } from './encode.ts';
import { FlowSchema, META, type Widened } from './flow-schema.ts';
import type { MetadataMode } from './flow-sql.ts';
import { failed, prepare, type Plan, type Prepared } from './prepare.ts';
import { readResult } from './rows.ts';

const EMPTY = new Batch([Buffer.from('{}')], { format: 'json' });

interface Worker {
  readonly connection: DuckDBConnection;
  readonly prepared: Map<Format, Prepared>;
}

export interface QueryOptions {
  readonly query: string;
  readonly tableName: string;
  /** Types of columns, as the user wrote them. */
  readonly schema: Readonly<Record<string, string>>;
  readonly allowExternalAccess: boolean;
  /** Called once for each change of a column's type. */
  readonly widened: (column: Widened) => void;
}

/** One SQL query over batches: JSON bytes in, JSON bytes out. */
export class Query {
  readonly #database: Database;
  readonly #plan: Plan;
  readonly #admission: Admission;
  readonly #idle: Worker[] = [];
  readonly #busy = new Set<Worker>();
  readonly #closing = new AbortController();
  #borrowed = 0;
  #allReturned = (): void => {};

  private constructor(
    options: QueryOptions,
    database: Database,
    analysis: QueryAnalysis,
    schema: FlowSchema,
  ) {
    this.#database = database;
    this.#plan = { analysis, tableName: options.tableName, metadata: metadataFor(analysis) };
    this.#admission = new Admission(schema, (grown) => this.#objection(grown), options.widened);
  }

  /** @throws MillraceError MILLRACE_SQL_INVALID (fatal) for what no data can mend */
  static async open(options: QueryOptions): Promise<Query> {
    const database = await Database.open(options);
    try {
      const connection = await database.connect();
      const declared = await readDeclared(connection, options.schema);
      const { query: text, tableName, allowExternalAccess } = options;
      const analysis = await analyseQuery(connection, text, tableName, allowExternalAccess);
      // Columns of declared types make rows that are not the messages as they came.
      if (analysis.rows === 'messages' && declared.size > 0) analysis.rows = 'by message';
      const query = new Query(options, database, analysis, FlowSchema.declare(analysis, declared));
      await query.#validate(connection);
      query.#idle.push({ connection, prepared: new Map() });
      return query;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /**
   * Gives the rows as messages, or undefined if there are none. Messages that cannot take part are rejected.
   * @throws what the database says where the query fails though each message alone would do
   */
  async run(
    batch: Batch,
    reject: (rejection: Rejection) => void,
    signal: AbortSignal,
  ): Promise<Batch | undefined> {
    const { refused, schema, respelled } = await this.#admission.check(batch, reject);
    const taken = batch.without(refused);
    if (taken.length === 0) return undefined;
    return await this.#borrow(async (worker) => {
      const prepared = await this.#prepare(worker, schema, batch.format);
      const interrupt = (): void => worker.connection.interrupt();
      const throwIfStopped = (): void => {
        signal.throwIfAborted();
        this.#closing.signal.throwIfAborted();
      };
      const attempt = async (part: Batch): Promise<Batch | undefined> => {
        throwIfStopped();
        return await this.#execute(prepared, part, respelled);
      };
      signal.addEventListener('abort', interrupt, { once: true });
      try {
        return await attempt(taken);
      } catch (error) {
        throwIfStopped();
        const culprits = await findCulprits(taken, attempt, error);
        throwIfStopped();
        const gone = new Set(refused);
        const places = Array.from(batch.payloads.keys()).filter((index) => !gone.has(index));
        for (const [index, cause] of culprits) {
          const reason = failed(cause);
          const { field } = reason;
          reject({ index: places[index]!, error: reason, ...(field !== undefined && { field }) });
        }
        const rest = taken.without([...culprits.keys()]);
        return rest.length === 0 ? undefined : await attempt(rest);
      } finally {
        signal.removeEventListener('abort', interrupt);
      }
    });
  }

  /** Interrupts what is running and frees everything; what `run` still has fails as fatal. */
  async close(): Promise<void> {
    this.#closing.abort(new MillraceError('MILLRACE_PROCESSOR_FAILED', 'sql: closed', { fatal: true }));
    for (const { connection } of this.#busy) connection.interrupt();
    if (this.#borrowed > 0) await new Promise<void>((resolve) => (this.#allReturned = resolve));
    for (const { connection } of this.#idle.splice(0)) connection.closeSync();
    this.#database.close();
  }

  async #borrow<T>(action: (worker: Worker) => Promise<T>): Promise<T> {
    this.#closing.signal.throwIfAborted();
    this.#borrowed++;
    let worker: Worker | undefined;
    try {
      worker = this.#idle.pop() ?? { connection: await this.#database.connect(), prepared: new Map() };
      this.#busy.add(worker);
      return await action(worker);
    } finally {
      if (worker !== undefined) {
        this.#busy.delete(worker);
        this.#idle.push(worker);
      }
      if (--this.#borrowed === 0) this.#allReturned();
    }
  }

  /** @throws MillraceError with what the database says */
  async #execute(
    { statement, result, linesBefore }: Prepared,
    batch: Batch,
    respelled: Admitted['respelled'] = new Map(),
  ): Promise<Batch | undefined> {
    try {
      statement.bindBlob(1, encodeBatch(batch, this.#plan.metadata, respelled));
      const rows = await statement.run();
      return readResult((await rows.fetchChunk())!, batch, result);
    } catch (error) {
      throw failed(error, linesBefore);
    }
  }

  async #prepare(worker: Worker, schema: FlowSchema, format: Format): Promise<Prepared> {
    const known = worker.prepared.get(format);
    if (known?.schema === schema) return known;
    const prepared = await prepare(worker.connection, this.#plan, schema, format);
    known?.statement.destroySync();
    worker.prepared.set(format, prepared);
    return prepared;
  }

  /** Why the query does not fit the schema, or undefined when it does. */
  async #objection(schema: FlowSchema): Promise<string | undefined> {
    return await this.#borrow(async (worker) => {
      try {
        // Some of what does not fit shows only when it runs: `a = 'x'` where `a` is JSON, and `x` is not.
        await this.#execute(await this.#prepare(worker, schema, 'json'), EMPTY);
        return undefined;
      } catch (error) {
        this.#closing.signal.throwIfAborted();
        return errorMessage(error);
      }
    });
  }

  /** Throws if the query cannot be right, whatever messages bring. */
  async #validate(connection: DuckDBConnection): Promise<void> {
    try {
      const { statement } = await prepare(connection, this.#plan, this.#admission.schema, 'json');
      statement.destroySync();
    } catch (cause) {
      const message = errorMessage(cause);
      // What does not fit columns of no type may fit those that messages bring, and so may a star that finds none.
      const mendable = /^Binder Error: (No function matches|Could not choose|Cannot)/.test(message);
      if (mendable || (this.#plan.analysis.star && message.startsWith('Binder Error'))) return;
      throw new MillraceError('MILLRACE_SQL_INVALID', message, { cause, fatal: true, field: 'query' });
    }
  }
}

function metadataFor({ rows, star, names }: QueryAnalysis): MetadataMode {
  if (rows !== 'any') return 'row';
  return star || META.some((name) => names.has(name)) ? 'columns' : 'none';
}

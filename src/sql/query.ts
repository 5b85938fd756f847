import type { DuckDBConnection, DuckDBPreparedStatement } from '@duckdb/node-api';
import { MillraceError, errorMessage, type Rejection } from '../errors.ts';
import { Batch, type Origin, type Run } from '../message/batch.ts';
import { Admission } from './admission.ts';
import { analyseQuery, type QueryAnalysis } from './analyse.ts';
import { Database, identifier } from './database.ts';
import { encodeBatch } from './encode.ts';
import { FlowSchema, flowSql, type Form, type Widened } from './flow-schema.ts';

const META = ['__meta_source', '__meta_ingest_time', '__meta_ext'];
const NAN = Buffer.from('NaN');
const INFINITY = Buffer.from('Infinity');

interface Compiled {
  readonly version: number;
  readonly statement: DuckDBPreparedStatement;
  /** True when the rows carry metadata columns. */
  readonly lifted: boolean;
}

interface Worker {
  readonly connection: DuckDBConnection;
  readonly compiled: Map<string, Compiled>;
}

export interface QueryOptions {
  readonly query: string;
  readonly tableName: string;
  readonly schema: Readonly<Record<string, string>>;
  readonly allowExternalAccess: boolean;
  /** Called once for each change of a column's type. */
  readonly widened: (column: Widened) => void;
}

/** One SQL query over batches: JSON bytes in, JSON bytes out. */
export class Query {
  readonly #options: QueryOptions;
  readonly #database: Database;
  readonly #analysis: QueryAnalysis;
  readonly #schema: FlowSchema;
  readonly #admission: Admission;
  readonly #idle: Worker[] = [];

  private constructor(options: QueryOptions, database: Database, analysis: QueryAnalysis) {
    this.#options = options;
    this.#database = database;
    this.#analysis = analysis;
    this.#schema = new FlowSchema(analysis, options.schema);
    this.#admission = new Admission(this.#schema, (form) => this.#binds(form), options.widened);
  }

  /** @throws MillraceError MILLRACE_SQL_INVALID (fatal) for what no data can mend */
  static async open(options: QueryOptions): Promise<Query> {
    const database = await Database.open(options);
    try {
      const connection = await database.connect();
      const query = new Query(options, database, await analyseQuery(connection, options.query));
      const worker: Worker = { connection, compiled: new Map() };
      query.#idle.push(worker);
      await query
        .#compile(worker, { format: 'json', metadata: query.#needsMetadata })
        .catch((error: unknown) => {
          // What does not bind to columns of no type yet may bind to those that the data brings.
          if (
            /^(Binder|Not implemented) Error/i.test(errorMessage(error)) &&
            Object.keys(options.schema).length === 0
          )
            return;
          throw new MillraceError('MILLRACE_SQL_INVALID', errorMessage(error), { cause: error, fatal: true });
        });
      return query;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** Gives the rows as messages, or undefined if there are none. Messages that cannot take part are rejected. */
  async run(
    batch: Batch,
    reject: (rejection: Rejection) => void,
    signal: AbortSignal,
  ): Promise<Batch | undefined> {
    const form: Form = { format: batch.format, metadata: this.#needsMetadata };
    const { rejected, bare } =
      batch.format === 'json'
        ? await this.#admission.check(batch, form, reject)
        : { rejected: new Set<number>(), bare: new Set<number>() };
    const indices = Array.from(batch.payloads.keys());
    const taken = rejected.size === 0 ? indices : indices.filter((index) => !rejected.has(index));
    if (taken.length === 0) return undefined;
    const worker = this.#idle.pop() ?? { connection: await this.#database.connect(), compiled: new Map() };
    const interrupt = (): void => worker.connection.interrupt();
    signal.addEventListener('abort', interrupt, { once: true });
    const attempt = async (some: readonly number[]): Promise<Batch | undefined> => {
      signal.throwIfAborted();
      const whole = some.length === batch.length;
      const selected = whole ? batch : batch.select(some);
      const selectedBare =
        whole || bare.size === 0 ? bare : new Set(some.flatMap((from, to) => (bare.has(from) ? [to] : [])));
      return await this.#execute(worker, selected, form, selectedBare);
    };
    try {
      return await attempt(taken);
    } catch (error) {
      signal.throwIfAborted();
      const culprits = await findCulprits(taken, attempt);
      signal.throwIfAborted();
      // Each message alone is fine, or none is: it is the query on the whole that fails.
      if (culprits.size === 0) throw failed(error);
      for (const [index, cause] of culprits) reject({ index, error: failed(cause) });
      const rest = taken.filter((index) => !culprits.has(index));
      return rest.length === 0
        ? undefined
        : await attempt(rest).catch((cause: unknown) => Promise.reject(failed(cause)));
    } finally {
      signal.removeEventListener('abort', interrupt);
      this.#idle.push(worker);
    }
  }

  close(): void {
    for (const { connection } of this.#idle) connection.closeSync();
    this.#database.close();
  }

  get #needsMetadata(): boolean {
    return this.#analysis.star || META.some((name) => this.#analysis.names.has(name));
  }

  async #execute(
    worker: Worker,
    batch: Batch,
    form: Form,
    bare: ReadonlySet<number>,
  ): Promise<Batch | undefined> {
    const { statement, lifted } = await this.#compile(worker, form);
    statement.bindBlob(1, encodeBatch(batch, form, bare));
    const result = await statement.run();
    const chunk = await result.fetchChunk();
    const count = Number(chunk?.getColumnVector(0).getItem(0) ?? 0);
    if (count === 0) return undefined;
    const data = withoutNaN((chunk!.getColumnVector(1).getItem(0) as { bytes: Uint8Array }).bytes);
    const runs = lifted
      ? liftedRuns((chunk!.getColumnVector(2).getItem(0) as { bytes: Uint8Array }).bytes)
      : [commonRun(batch)];
    return new Batch({ data, length: count }, { runs, format: 'json', ack: batch.ack });
  }

  /** True when the query binds to the columns as they are now. */
  async #binds(form: Form): Promise<string | undefined> {
    const worker = this.#idle.pop() ?? { connection: await this.#database.connect(), compiled: new Map() };
    try {
      await this.#compile(worker, form);
      return undefined;
    } catch (error) {
      return errorMessage(error);
    } finally {
      this.#idle.push(worker);
    }
  }

  async #compile(worker: Worker, form: Form): Promise<Compiled> {
    const key = `${form.format} ${form.metadata}`;
    const known = worker.compiled.get(key);
    const { version } = this.#schema;
    if (known?.version === version) return known;
    const { query } = this.#options;
    const table = identifier(this.#options.tableName);
    let firstError: unknown;
    for (const missing of form.format === 'json'
      ? [this.#missing(), new Map<string, string>()]
      : [new Map<string, string>()]) {
      const flow = `WITH ${table} AS (${flowSql(this.#schema, form, missing)})`;
      try {
        const described = await worker.connection.prepare(`${flow} SELECT * FROM (\n${query}\n)`);
        const names = Array.from({ length: described.columnCount }, (_, index) =>
          described.columnName(index),
        );
        described.destroySync();
        const lifted = names.some((name) => META.includes(name.toLowerCase()));
        const statement = await worker.connection.prepare(`${flow}, ${resultSql(query, names)}`);
        known?.statement.destroySync();
        const compiled = { version, statement, lifted };
        worker.compiled.set(key, compiled);
        return compiled;
      } catch (error) {
        firstError ??= error;
      }
    }
    throw firstError;
  }

  /** Columns that the query names and no message has shown: they are NULL. */
  #missing(): Map<string, string> {
    const { names, aliases, dotted } = this.#analysis;
    const missing = new Map<string, string>();
    for (const name of names) {
      if (aliases.has(name) || META.includes(name) || name === this.#options.tableName.toLowerCase())
        continue;
      missing.set(name, dotted.has(name) ? 'NULL::JSON' : 'NULL');
    }
    return missing;
  }
}

/** The query's rows as one line of JSON each, and their metadata columns, if it has any, as another. */
function resultSql(query: string, names: readonly string[]): string {
  const rows = `"__rows__" AS MATERIALIZED (SELECT * FROM (\n${query}\n))`;
  const lines = (source: string): string =>
    `(SELECT encode(string_agg(CAST(to_json(r) AS VARCHAR) || chr(10), '')) FROM (${source}) AS r)`;
  const meta = names.filter((name) => META.includes(name.toLowerCase()));
  const own = names.length - meta.length;
  const payload =
    meta.length === 0
      ? 'SELECT * FROM "__rows__"'
      : own === 0
        ? 'SELECT MAP {} FROM "__rows__"'
        : `SELECT * EXCLUDE (${meta.map(identifier).join(', ')}) FROM "__rows__"`;
  const has = (name: string): boolean => meta.some((each) => each.toLowerCase() === name);
  const lifted = [
    has('__meta_source') ? 'CAST(__meta_source AS VARCHAR) AS s' : 'NULL AS s',
    has('__meta_ingest_time') ? 'epoch_us(CAST(__meta_ingest_time AS TIMESTAMP)) AS t' : 'NULL AS t',
    has('__meta_ext') ? '__meta_ext AS e' : 'NULL AS e',
  ];
  const metaLines = meta.length === 0 ? '' : `, ${lines(`SELECT ${lifted.join(', ')} FROM "__rows__"`)}`;
  return `${rows} SELECT (SELECT count(*) FROM "__rows__"), ${lines(payload)}${metaLines}`;
}

function liftedRuns(lines: Uint8Array): Run[] {
  const runs: Run[] = [];
  const now = Date.now() * 1000;
  for (const line of Buffer.from(lines).toString().trimEnd().split('\n')) {
    const { s, t, e } = JSON.parse(line) as {
      s: string | null;
      t: number | null;
      e: Record<string, string> | null;
    };
    const ext = typeof e === 'object' && e !== null ? e : {};
    runs.push({ start: runs.length, origin: { source: s ?? '', ext }, time: t ?? now });
  }
  return runs;
}

/** What can be said of rows that came from the batch as a whole: where all its messages came from, the oldest's time. */
function commonRun(batch: Batch): Run {
  const first = batch.runs[0]!;
  let { time } = first;
  let origin: Origin = { source: first.origin.source, ext: {} };
  for (const run of batch.runs) {
    if (run.time < time) time = run.time;
    if (run.origin.source !== origin.source) origin = { source: '', ext: {} };
  }
  return { start: 0, origin, time };
}

/** JSON has no NaN and no infinity; like SQL's own JSON functions elsewhere, they become null. */
function withoutNaN(data: Uint8Array): Uint8Array {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (!bytes.includes(NAN) && !bytes.includes(INFINITY)) return data;
  const text = bytes
    .toString()
    .replaceAll(/"(?:[^"\\]|\\.)*"|-?(?:NaN|Infinity)/g, (token) => (token.startsWith('"') ? token : 'null'));
  return Buffer.from(text);
}

/** The messages that fail alone, found by halving. */
async function findCulprits(
  indices: readonly number[],
  attempt: (some: readonly number[]) => Promise<unknown>,
): Promise<Map<number, unknown>> {
  const culprits = new Map<number, unknown>();
  const search = async (some: readonly number[]): Promise<void> => {
    try {
      await attempt(some);
    } catch (error) {
      if (some.length === 1) {
        culprits.set(some[0]!, error);
        return;
      }
      const middle = some.length >> 1;
      await search(some.slice(0, middle));
      await search(some.slice(middle));
    }
  };
  if (indices.length === 1) await search(indices);
  else {
    const middle = indices.length >> 1;
    await search(indices.slice(0, middle));
    await search(indices.slice(middle));
  }
  return culprits;
}

function failed(error: unknown): MillraceError {
  return new MillraceError('MILLRACE_PROCESSOR_FAILED', `sql: ${errorMessage(error)}`, { cause: error });
}

import { sqlErrors } from './sql-errors.ts';
import type { DuckDBConnection, DuckDBPreparedStatement, DuckDBType } from '@duckdb/node-api';
import { MillraceError, errorMessage, oneLine } from '../errors.ts';
import type { Format } from '../message/batch.ts';
import type { ColumnType, StructField } from '../message/rows.ts';
import type { QueryAnalysis } from './analyse.ts';
import { fold, identifier } from './database.ts';
import { explain, type Within } from './explain.ts';
import type { FlowSchema } from './flow-schema.ts';
import type { FlowOptions, MetadataMode } from './flow-sql.ts';
import type { RowsFlow } from './rows-flow.ts';
import { liftedColumns } from './lifted.ts';
import { ROW } from './metadata.ts';
import { fieldsOf, resultFor, selectResult, type ResultShape } from './rows.ts';

/** The table that is the batch, as SQL. */
export interface Flow {
  /** The object for which the table is made; statements for it are prepared once. */
  readonly of: FlowSchema | RowsFlow;
  /** The format of its messages: only JSON and rows have fields. */
  readonly format: Format | 'rows';
  /**
   * Columns that the query names but the table lacks: folded names, with the query's spelling. The caller owns the map.
   */
  readonly missing: Map<string, string>;
  readonly sql: (options: FlowOptions) => string;
}

/** The statement to prepare: the user's query over the table of this name. */
export interface Plan {
  readonly analysis: QueryAnalysis;
  readonly tableName: string;
  readonly metadata: MetadataMode;
  /** True if rows that are made of one message each must know what its sender sent. */
  readonly traced: boolean;
  /** True if the next component takes the rows with their types. */
  readonly typed: boolean;
  /** The type of a column, or undefined for a type that rows cannot have. */
  readonly typeOf: (type: DuckDBType) => ColumnType | undefined;
}

/** A statement for one table; its parameter is the batch. */
export interface Prepared extends ResultShape {
  readonly of: Flow['of'];
  readonly statement: DuckDBPreparedStatement;
  /** The user's query in it. */
  readonly within: Within;
  /** The same without message numbers in its rows, so that errors point at places in the query as the user wrote it. */
  readonly plain?: Prepared;
  /**
   * The statement that finds the messages on which this one fails. Its result is one text: objects separated by commas.
   */
  readonly probe: () => Promise<DuckDBPreparedStatement | undefined>;
}

/** @throws MillraceError with the database's message */
export async function prepare(
  connection: DuckDBConnection,
  { analysis, tableName, metadata, traced, typed, typeOf }: Plan,
  { of, format, missing, sql }: Flow,
): Promise<Prepared> {
  const hasFields = format === 'json' || format === 'rows';
  const temporal = new Set<string>();
  const nullOf = (name: string): string => {
    if (analysis.dotted.has(fold(name))) return 'NULL::JSON';
    return temporal.has(fold(name)) ? 'NULL::TIMESTAMP' : 'NULL';
  };
  for (;;) {
    // With a `*`, the number would be a field of the row.
    const wanted = traced || metadata === 'columns';
    const numbered = wanted && metadata !== 'row' && !analysis.star ? analysis.numbered : undefined;
    const flow = sql({ metadata, numbered: numbered !== undefined, missing: missing.values(), nullOf });
    // DuckDB 1.5 returns no rows for some queries that read an unnested list more than once.
    const once = analysis.joins ? 'MATERIALIZED ' : '';
    const before = `WITH ${identifier(tableName)} AS ${once}(${flow}) SELECT`;
    const after = ` FROM (\n${analysis.query}\n)`;
    const within = { linesBefore: before.split('\n').length, original: analysis.original };
    try {
      const described = await connection.prepare(`${before} *${after}`);
      const columns = Array.from({ length: described.columnCount }, (_, index) => ({
        name: described.columnName(index),
        type: typeOf(described.columnType(index)),
      }));
      described.destroySync();
      const result = hasFields && analysis.rows === 'messages' ? 'numbers' : resultFor(columns);
      const select = (list: string): string => `${before} ${list}${after}`;
      const known = result === 'numbers' ? [] : fieldsOf(columns);
      const fields = typed ? await withoutGuesses(connection, known, select) : known;
      const statement = await connection.prepare(select(selectResult(columns, result)));
      const probed = (): string => sql({ metadata, missing: missing.values(), nullOf, probe: true });
      let found: Promise<DuckDBPreparedStatement | undefined> | undefined;
      const probe = (): Promise<DuckDBPreparedStatement | undefined> =>
        (found ??= prepareProbe(connection, analysis, tableName, probed()));
      const lifted = liftedColumns(columns);
      const plain = { of, statement, result, fields, lifted, within, probe };
      if (numbered === undefined || result !== 'rows') return plain;
      const traces = 'rows and messages';
      const list = selectResult(columns, traces);
      const tracing = await connection.prepare(`${before} ${list} FROM (\n${numbered}\n)`);
      return { ...plain, statement: tracing, result: traces, plain };
    } catch (error) {
      const message = errorMessage(error);
      const [, shared] = /^Binder Error: Ambiguous reference to column name "(.*?)"/.exec(message) ?? [];
      // The column belongs to another table and is not missing.
      if (shared !== undefined && missing.delete(fold(shared))) continue;
      const [, call] = /^Binder Error: Could not choose a best .* function call "(.+?)\(/.exec(message) ?? [];
      const known = temporal.size;
      // If a NULL could have any type, a time type is meant.
      for (const name of analysis.argumentsOf.get(call ?? '') ?? []) temporal.add(name);
      if (temporal.size > known) continue;
      if (hasFields || !message.includes('Referenced column')) throw failed(error, within);
      const hint =
        'the messages are not JSON and have no fields; does the input lack `codec: { type: json }`?';
      throw failed(new Error(`${hint} ${(error as Error).message}`, { cause: error }), within);
    }
  }
}

/**
 * The fields, without a type for columns that are always NULL: DuckDB calls such a column INTEGER, and a list of it and
 * text a list of text.
 */
async function withoutGuesses(
  connection: DuckDBConnection,
  fields: readonly StructField[],
  select: (list: string) => string,
): Promise<StructField[]> {
  const guessed = fields.filter(({ type }) => type.kind === 'integer');
  if (guessed.length === 0) return [...fields];
  const lists = guessed.map(({ name }) => `[${identifier(name)}, '']`);
  const described = await connection.prepare(select(lists.join(', ')));
  const none = guessed.filter((_, index) => described.columnType(index).toString() === 'VARCHAR[]');
  described.destroySync();
  return fields.map((field) => (none.includes(field) ? { name: field.name, type: { kind: 'null' } } : field));
}

/** Checks the query's own computations where possible; otherwise only the values of the messages. */
async function prepareProbe(
  connection: DuckDBConnection,
  { faults }: QueryAnalysis,
  tableName: string,
  flow: string,
): Promise<DuckDBPreparedStatement | undefined> {
  const found = `encode(string_agg(CAST(to_json(struct_pack(i := ${ROW}, m := __fault__)) AS VARCHAR), ','))`;
  const table = identifier(tableName);
  const before = `WITH ${table} AS MATERIALIZED (${flow}) SELECT ${found} FROM ${table}`;
  const probes = [`${before} WHERE __fault__ IS NOT NULL`];
  if (faults !== undefined)
    probes.unshift(`${before} AS ${faults.alias} WHERE __fault__ IS NOT NULL OR ${faults.condition}`);
  for (const probe of probes) {
    const [prepared] = await Promise.allSettled([connection.prepare(probe)]);
    if (prepared.status === 'fulfilled') return prepared.value;
  }
  return undefined;
}

/** A database error as one of ours. */
export function failed(error: unknown, within?: Within): MillraceError {
  if (error instanceof MillraceError) return error;
  const message = explain(error, within);
  if (message.startsWith('Out of Memory Error')) {
    return new MillraceError(
      sqlErrors.MILLRACE_SQL_TOO_LARGE,
      'the query needs more memory than `max_memory_bytes` allows',
      {
        cause: error,
      },
    );
  }
  // The message that `flowSql` itself raises about a field.
  const [, said] = /^Invalid Input Error: (field .+?: .*)/s.exec(message) ?? [];
  if (said !== undefined) return fieldFault(said, error);
  return new MillraceError('MILLRACE_PROCESSOR_FAILED', message, { cause: error });
}

/** `said`: the message that `flowSql` raises about a field. */
export function fieldFault(said: string, cause?: unknown): MillraceError {
  const [, field = ''] = /^field (.+?): /s.exec(said) ?? [];
  return new MillraceError(sqlErrors.MILLRACE_SQL_FIELD_CONFLICT, oneLine(said), { cause, field });
}

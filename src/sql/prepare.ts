import { sqlErrors } from './sql-errors.ts';
import type { DuckDBConnection, DuckDBPreparedStatement, DuckDBType } from '@duckdb/node-api';
import { MillraceError, errorMessage, oneLine } from '../errors.ts';
import type { ColumnType, StructField } from '../message/rows.ts';
import type { QueryAnalysis } from './analyse.ts';
import { prepareStatements, type BatchStatements } from './batch-statements.ts';
import { fold, identifier } from './database.ts';
import { explain, type Within } from './explain.ts';
import type { Filter } from './evaluator/filter.ts';
import type { Flow } from './flow-source.ts';
import { faultsOf } from './faults.ts';
import type { FlowOptions, FlowTable } from './flow-table.ts';
import { layoutOf } from './layout.ts';
import { liftedColumns, type ResultColumn } from './lifted.ts';
import { META } from './metadata.ts';
import { filterOf } from './row-filter.ts';
import { fieldsOf, resultColumns, selectResult, type Result, type ResultShape } from './rows.ts';

/** The statement to prepare: the user's query over the table of this name. */
export interface Plan {
  readonly analysis: QueryAnalysis;
  readonly tableName: string;
  /** True if rows that are made of one message each must know what its sender sent. */
  readonly traced: boolean;
  /** True if rows keep their types, and a column that is always NULL must have none. */
  readonly isTyped: boolean;
  /** The type of a column, or undefined for a type that rows cannot have. */
  readonly typeOf: (type: DuckDBType) => ColumnType | undefined;
}

/** A statement for one table. */
export interface Prepared extends ResultShape {
  readonly of: FlowTable;
  readonly statement: DuckDBPreparedStatement;
  readonly sql: string;
  /** The columns of its result. */
  readonly columns: readonly StructField[];
  /** Selects the messages instead of the database, if all the query does is that. */
  readonly filter: Filter | undefined;
  /** The user's query in it. */
  readonly within: Within;
  /** Those that run before it. */
  readonly before: BatchStatements | undefined;
  /**
   * The statement that finds the messages on which this one fails. Its result is one text: objects separated by commas.
   */
  readonly probe: () => Promise<DuckDBPreparedStatement | undefined>;
}

/**
 * `rowTable`: the name of the `RowTable` that has the batch, whose columns are those of the flow's table.
 * @throws MillraceError with the database's message
 */
export async function prepare(
  connection: DuckDBConnection,
  plan: Plan,
  flow: Flow,
  rowTable: string,
): Promise<Prepared> {
  const { analysis, tableName, isTyped } = plan;
  const { table, hasFields } = flow;
  const missing = new Map(flow.missing);
  const temporal = new Set<string>();
  let hasLists = false;
  const nullOf = (name: string): string => {
    if (hasLists && analysis.structured.has(fold(name))) return 'NULL::JSON[]';
    if (analysis.dotted.has(fold(name))) return 'NULL::JSON';
    return temporal.has(fold(name)) ? 'NULL::TIMESTAMP' : 'NULL';
  };
  const result = resultFor(plan, flow);
  const row = result === 'rows' ? undefined : analysis.row;
  // Rows that know their messages take their metadata from them.
  const stars = analysis.star && (result === 'rows' || analysis.items === undefined);
  const hasMetadata = result !== 'numbers' && (stars || META.some((name) => analysis.names.has(name)));
  const user = analysis.query(flow, row !== undefined);
  for (;;) {
    const options: FlowOptions = { hasMetadata, row, missing: [...missing.values()], nullOf };
    // DuckDB 1.5 returns no rows for some queries that read an unnested list more than once.
    const once = analysis.joins ? 'MATERIALIZED ' : '';
    const before = `WITH ${identifier(tableName)} AS ${once}(${table.sql(rowTable, options)}) SELECT`;
    const select = (list: string): string => `${before} ${list} FROM (\n${user.text}\n)`;
    const last = { linesBefore: before.split('\n').length, ...user };
    let within: Within = last;
    if (analysis.before !== undefined) await connection.run('BEGIN');
    try {
      const statements =
        analysis.before &&
        (await prepareStatements(
          connection,
          analysis.before,
          { tableName, view: table.sql(rowTable, { ...options, row: undefined }), columns: flow },
          (each) => (within = each),
        ));
      within = last;
      const described = await connection.prepare(select('*'));
      const found = Array.from({ length: described.columnCount }, (_, index) => ({
        name: described.columnName(index),
        type: plan.typeOf(described.columnType(index)),
      }));
      described.destroySync();
      // Several stars bring the number several times.
      const all = found.filter(({ name }) => row === undefined || !name.startsWith(row));
      const starred = table.names(options).filter((name) => name !== row);
      const layout =
        row === undefined || result === 'numbers'
          ? undefined
          : layoutOf(
              analysis,
              flow,
              all.map(({ name }) => name),
              starred,
            );
      const computed = layout === undefined ? all : all.filter(({ name }) => layout.computed.has(name));
      const shown = result === 'numbers' ? [] : computed;
      const bare = fieldsOf(shown);
      const typed = isTyped ? await withoutGuesses(connection, bare, select) : bare;
      const fields = layout === undefined ? withNames(typed, all, analysis, flow) : typed;
      const lifted = liftedColumns(shown);
      const columns = resultColumns(fields, lifted, row !== undefined);
      const sql = select(selectResult(shown, row));
      const statement = await connection.prepare(sql);
      let probed: Promise<DuckDBPreparedStatement | undefined> | undefined;
      const probe = (): Promise<DuckDBPreparedStatement | undefined> =>
        (probed ??= prepareProbe(
          connection,
          plan,
          user.text,
          table.sql(rowTable, {
            ...options,
            probe: true,
            row: analysis.row,
          }),
        ));
      const shape = { result, fields, lifted, layout };
      if (statements !== undefined)
        return {
          of: table,
          statement,
          sql,
          columns,
          ...shape,
          filter: undefined,
          within,
          before: statements,
          probe: () => Promise.resolve(undefined),
        };
      const filter = await filterOf(connection, analysis, user.text, { table, result, layout });
      return { of: table, statement, sql, columns, ...shape, filter, within, before: undefined, probe };
    } catch (error) {
      const message = errorMessage(error);
      const [, shared] = /^Binder Error: Ambiguous reference to column name "(.*?)"/.exec(message) ?? [];
      // The column belongs to another table and is not missing.
      if (shared !== undefined && missing.delete(fold(shared))) continue;
      const [, call] = /^Binder Error: Could not choose a best .* function call "(.+?)\(/.exec(message) ?? [];
      // A NULL is no list.
      if (!hasLists && message.startsWith('Binder Error: UNNEST requires')) {
        hasLists = true;
        continue;
      }
      const known = temporal.size;
      // If a NULL could have any type, a time type is meant.
      for (const name of analysis.argumentsOf.get(call ?? '') ?? []) temporal.add(name);
      if (temporal.size > known) continue;
      if (hasFields || !message.includes('Referenced column')) throw failed(error, within);
      const hint =
        'the messages are not JSON and have no fields; does the input lack `codec: { type: json }`?';
      throw failed(new Error(`${hint} ${(error as Error).message}`, { cause: error }), within);
    } finally {
      if (analysis.before !== undefined) await connection.run('ROLLBACK');
    }
  }
}

function resultFor({ analysis, traced }: Plan, { hasFields }: Flow): Result {
  const { items, star, rows, rowwise } = analysis;
  if (hasFields && rows === 'messages') return 'numbers';
  if (rows !== 'any' || (hasFields && items !== undefined && star)) return 'rows and numbers';
  if (star) return 'rows';
  return (hasFields && items !== undefined) || (traced && rowwise) ? 'rows and messages' : 'rows';
}

/** The fields with the names that DuckDB gives the items of the query as the user wrote it. */
function withNames(
  fields: readonly StructField[],
  all: readonly ResultColumn[],
  { itemNames, star }: QueryAnalysis,
  { renamed }: Flow,
): StructField[] {
  if (star) return fields.map(({ name, type }) => ({ name: renamed.get(name) ?? name, type }));
  const named = new Map(all.map(({ name }, index) => [name, itemNames[index] ?? name]));
  return fields.map(({ name, type }) => ({ name: named.get(name)!, type }));
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
  { analysis, tableName }: Plan,
  query: string,
  flow: string,
): Promise<DuckDBPreparedStatement | undefined> {
  const row = identifier(analysis.row);
  const found = `encode(string_agg(CAST(to_json(struct_pack(i := ${row}, m := __fault__)) AS VARCHAR), ','))`;
  const table = identifier(tableName);
  const before = `WITH ${table} AS MATERIALIZED (${flow}) SELECT ${found} FROM ${table}`;
  const probes = [`${before} WHERE __fault__ IS NOT NULL`];
  const faults = await faultsOf(connection, query, tableName, analysis.aggregates);
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
  // The message that the table itself raises about a field.
  const [, said] = /^Invalid Input Error: (field .+?: .*)/s.exec(message) ?? [];
  if (said !== undefined) return fieldFault(said, error);
  const statement = within?.statement === undefined ? '' : `statement ${within.statement}: `;
  return new MillraceError('MILLRACE_PROCESSOR_FAILED', statement + message, { cause: error });
}

/** `said`: the message that the table raises about a field. */
export function fieldFault(said: string, cause?: unknown): MillraceError {
  const [, field = ''] = /^field (.+?): /s.exec(said) ?? [];
  return new MillraceError(sqlErrors.MILLRACE_SQL_FIELD_CONFLICT, oneLine(said), { cause, field });
}

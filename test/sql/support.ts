import { onTestFinished } from 'vitest';
import type { Rejection } from '../../src/errors.ts';
import { Batch, type Format, type Run } from '../../src/message/batch.ts';
import type { Widened } from '../../src/sql/flow-schema.ts';
import { Query, type QueryOptions } from '../../src/sql/query.ts';
import { sharedDatabase } from './shared-database.ts';

/** A query with one of these has a database of its own. */
const OWN = ['setup', 'tables', 'state', 'folder', 'memoryLimit', 'maxResultBytes', 'timeout'] as const;

export interface Opened {
  readonly query: Query;
  /** Each change of a column's type, as `name: from > to`. */
  readonly widened: string[];
  /** The rows as text, and the rejected messages as `index: reason`. */
  readonly run: (...messages: readonly string[]) => Promise<{ rows: string[]; rejected: string[] }>;
}

/** A query that is closed when the test ends. */
export async function open(query: string, options: Partial<QueryOptions> = {}): Promise<Opened> {
  const widened: string[] = [];
  // The function that makes text of `__value__` stays in a database.
  const own = query.includes('__value__') || OWN.some((name) => options[name] !== undefined);
  const given: QueryOptions = {
    query,
    tableName: 'flow',
    schema: {},
    allowExternalAccess: false,
    timezone: 'UTC',
    traced: true,
    timeout: 30_000,
    memoryLimit: 256 * 1024 ** 2,
    maxResultBytes: 64 * 1024 ** 2,
    widened: ({ name, from, to }: Widened) => widened.push(`${name}: ${from} > ${to}`),
    ...options,
  };
  const opened = await (own ? Query.open(given) : Query.open(given, sharedDatabase));
  onTestFinished(() => opened.close());
  return { query: opened, widened, run: (...messages) => runOn(opened, batchOf(messages)) };
}

export async function runOn(
  query: Query,
  batch: Batch,
  signal = new AbortController().signal,
): Promise<{
  rows: string[];
  rejected: string[];
  batch: Batch | undefined;
  batches: readonly Batch[];
  rejections: Rejection[];
}> {
  const rejections: Rejection[] = [];
  const result = await query.run(batch, (rejection) => rejections.push(rejection), signal);
  return {
    batch: result[0],
    batches: result,
    rows: result.flatMap(textsOf),
    rejections,
    rejected: rejections
      .toSorted((a, b) => a.index - b.index)
      .map(({ index, error }) => `${index}: ${error.code} ${error.message}`),
  };
}

export function batchOf(
  payloads: readonly (string | Uint8Array)[],
  options: { format?: Format; runs?: readonly Run[] } = {},
): Batch {
  const bytes = payloads.map((payload) => (typeof payload === 'string' ? Buffer.from(payload) : payload));
  return new Batch(bytes, { format: 'json', ...options });
}

export function textsOf(batch: Batch): string[] {
  return batch.payloads.map((payload) => Buffer.from(payload).toString());
}

/** The values of JSON rows, to be compared: numbers as text with all their digits, and no nulls among the members. */
export function valuesOf(rows: readonly string[]): unknown[] {
  const exact = (text: string): string => {
    const value = Number(text);
    if (Number.isSafeInteger(value) || !/^-?\d+$/.test(text)) return `number ${value === 0 ? 0 : value}`;
    return `number ${BigInt(text)}`;
  };
  const reviver = (_key: string, value: unknown, { source }: { source?: string }): unknown => {
    if (typeof value === 'number') return exact(source!);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return new Map(Object.entries(value).filter(([, member]) => member !== null));
  };
  return rows.map((row): unknown => JSON.parse(row, reviver as (key: string, value: unknown) => unknown));
}

/** Objects as `valuesOf` gives them. */
export function values(...objects: readonly object[]): unknown[] {
  return valuesOf(objects.map((object) => JSON.stringify(object)));
}

import type { DuckDBConnection } from '@duckdb/node-api';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ColumnType, Values } from '../../src/message/rows.ts';
import { Database } from '../../src/sql/database.ts';
import { ConditionReader, type ColumnPlace } from '../../src/sql/evaluator/condition.ts';
import { compileFilter } from '../../src/sql/evaluator/filter.ts';
import { FALSE, TRUE } from '../../src/sql/evaluator/truth.ts';
import type { Node } from '../../src/sql/syntax-node.ts';

const columns = ['b', 'i', 'h', 'd', 's', 'j', 'n', 'm', 'y'] as const;
type Name = (typeof columns)[number];
const types: Record<Name, ColumnType> = {
  b: { kind: 'boolean' },
  i: { kind: 'bigint' },
  h: { kind: 'hugeint' },
  d: { kind: 'double' },
  s: { kind: 'varchar' },
  j: { kind: 'json' },
  n: { kind: 'integer' },
  m: { kind: 'smallint' },
  y: { kind: 'tinyint' },
};
type Value = boolean | bigint | number | string | null;
type Row = Record<Name, Value>;

let database: Database;
let connection: DuckDBConnection;
beforeAll(async () => {
  database = await Database.open({
    allowExternalAccess: false,
    timezone: 'UTC',
    memoryLimit: 256 * 1024 ** 2,
  });
  connection = await database.connect();
});
afterAll(() => {
  connection.closeSync();
  database.close();
});

/** The syntax trees of expressions. */
async function parse(expressions: readonly string[]): Promise<Node[]> {
  const sql = `SELECT ${expressions.map((each) => `(${each})`).join(', ')} FROM flow`;
  const reader = await connection.runAndReadAll('SELECT json_serialize_sql($1::VARCHAR)', [sql]);
  const tree = JSON.parse(String(reader.getRows()[0]![0])) as { statements: { node: Node }[] };
  return tree.statements[0]!.node['select_list'] as Node[];
}

function columnOf(node: Node): ColumnPlace | undefined {
  const [name] = (node['column_names'] ?? []) as Name[];
  return node['class'] === 'COLUMN_REF' ? { index: columns.indexOf(name!), type: types[name!] } : undefined;
}

// Integers around the borders of 32, 53, 64 and 128 bits; doubles of every kind; texts whose order by bytes is not that
// by UTF-16 units, and texts with the characters that patterns use.
const integers = [
  0n,
  1n,
  -1n,
  24n,
  25n,
  26n,
  -25n,
  2n ** 32n,
  2n ** 32n - 1n,
  -(2n ** 32n),
  2n ** 53n,
].flatMap((n) => [n, n + 1n]);
const bigints = [...integers, 2n ** 63n - 1n, -(2n ** 63n)];
const bits = (count: bigint): fc.Arbitrary<bigint> => {
  const [least, most] = [-(2n ** (count - 1n)), 2n ** (count - 1n) - 1n];
  const some = [...integers, least, most].filter((n) => n >= least && n <= most);
  return fc.oneof(fc.constantFrom(...some), fc.bigInt({ min: least, max: most }));
};
const hugeints = [...bigints, 2n ** 64n, -(2n ** 64n) - 1n, 2n ** 127n - 1n, -(2n ** 127n) + 1n];
const doubles = [
  0,
  -0,
  0.1,
  0.5,
  24.5,
  25,
  25.5,
  -25,
  1000,
  5e-324,
  1e300,
  2 ** 53,
  NaN,
  Infinity,
  -Infinity,
];
const texts = [
  '',
  'a',
  'ab',
  'aba',
  'abab',
  'b',
  'B',
  'é',
  '\uffff',
  '😀',
  'a😀b',
  'a%b',
  'a_b',
  '\\',
  "it's",
  'a\nb',
  'null',
];

const valueOf: Record<Name, fc.Arbitrary<Value>> = {
  b: fc.boolean(),
  i: fc.oneof(fc.constantFrom(...bigints), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  h: fc.oneof(fc.constantFrom(...hugeints), fc.bigInt({ min: -(2n ** 100n), max: 2n ** 100n })),
  d: fc.oneof(fc.constantFrom(...doubles), fc.double()),
  s: fc.oneof(
    fc.constantFrom(...texts),
    fc.string({ unit: fc.constantFrom('a', 'b', 'é', '😀', '%'), maxLength: 14 }),
  ),
  j: fc.constantFrom('1', '"a"', '[1]', '{"a":1}'),
  n: bits(32n),
  m: bits(16n),
  y: bits(8n),
};
const row = fc.record(
  Object.fromEntries(columns.map((name) => [name, fc.option(valueOf[name], { freq: 4 })])) as Record<
    Name,
    fc.Arbitrary<Value>
  >,
) as fc.Arbitrary<Row>;

const literals = [
  fc.constantFrom(...integers, 2n ** 63n - 1n, 2n ** 63n, 2n ** 127n - 1n).map(String),
  fc.constantFrom(
    '25.0',
    '24.5',
    '-24.5',
    '0.1',
    '.5',
    '2.50',
    '1e3',
    '-1e3',
    '25e0',
    '0.1000000000000000055',
  ),
  fc.constantFrom(...texts).map(quoted),
  fc.string({ unit: fc.constantFrom('a', 'b', 'é', '%', '_'), maxLength: 4 }).map(quoted),
  fc.constantFrom('true', 'false'),
  fc.constant('NULL'),
] as const;
const [integer, decimal, text, pattern, boolean, none] = literals;
const of = {
  b: [boolean],
  i: [integer, decimal],
  h: [integer],
  d: [integer, decimal],
  s: [text, pattern],
  j: [text],
  n: [integer, decimal],
  m: [integer, decimal],
  y: [integer, decimal],
};
interface Operands {
  readonly column: Name;
  readonly one: string;
  readonly other: string;
  readonly list: readonly string[];
  readonly not: string;
  readonly comparison: string;
  readonly like: string;
}
/** A column, and literals that mostly have its type. */
const operands: fc.Arbitrary<Operands> = fc.constantFrom(...columns).chain((column) => {
  const fitting = fc.oneof(...of[column], ...of[column], ...of[column], none);
  const some = fc.oneof({ arbitrary: fitting, weight: 9 }, { arbitrary: fc.oneof(...literals), weight: 1 });
  return fc.record({
    column: fc.constant(column),
    one: some,
    other: some,
    list: fc.array(some, { minLength: 1, maxLength: 4 }),
    not: fc.constantFrom('', 'NOT'),
    comparison: fc.constantFrom('=', '<>', '<', '<=', '>', '>=', '!=', '=='),
    like: fc.oneof({ arbitrary: pattern, weight: 9 }, { arbitrary: none, weight: 1 }),
  });
});
const form = fc.constantFrom<(parts: Operands) => string>(
  ({ column, comparison, one }) => `${column} ${comparison} ${one}`,
  ({ column, comparison, one }) => `${one} ${comparison} ${column}`,
  ({ column, not, one, other }) => `${column} ${not} BETWEEN ${one} AND ${other}`,
  ({ column, not, list }) => `${column} ${not} IN (${list.join(', ')})`,
  ({ column, not }) => `${column} IS ${not} NULL`,
  ({ not, like }) => `s ${not} LIKE ${like}`,
  ({ not, like }) => `s ${not} ILIKE ${like}`,
  ({ not, column }) => `${not} ${column}`,
  ({ one }) => one,
);
const simple = fc.tuple(form, operands).map(([sql, parts]) => sql(parts));
const { condition } = fc.letrec<{ condition: string }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    simple,
    tie('condition').map((inner) => `NOT (${inner})`),
    fc
      .tuple(tie('condition'), fc.constantFrom('AND', 'OR'), tie('condition'))
      .map(([a, and, z]) => `(${a}) ${and} (${z})`),
  ),
}));

test('every condition that the evaluator takes has the truth that DuckDB finds, for every row', async () => {
  let taken = 0;
  let all = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(row, { minLength: 1, maxLength: 40 }),
      fc.array(condition, { minLength: 80, maxLength: 80 }),
      async (rows, conditions) => {
        const given = columns.map((name) =>
          valuesOf(
            types[name],
            rows.map((each) => each[name]),
          ),
        );
        const trees = await parse(conditions);
        const compiled = conditions.flatMap((sql, index) => {
          const run = new ConditionReader(columnOf).read(trees[index]!);
          return run === undefined ? [] : [{ sql, run, filter: compileFilter(trees[index], columnOf)! }];
        });
        all += conditions.length;
        taken += compiled.length;
        const inserted = rows.map(
          (each) => `(${columns.map((name) => sqlOf(types[name], each[name])).join(', ')})`,
        );
        await connection.run(
          'CREATE OR REPLACE TEMP TABLE flow (b BOOLEAN, i BIGINT, h HUGEINT, d DOUBLE, s VARCHAR, j JSON, n INTEGER, m SMALLINT, y TINYINT)',
        );
        await connection.run(`INSERT INTO flow VALUES ${inserted.join(', ')}`);
        const truths = await connection.runAndReadAll(
          `SELECT ${['NULL', ...compiled.map(({ sql }) => `(${sql})::BOOLEAN`)].join(', ')} FROM flow`,
        );
        // DuckDB finds the rows of a filter by other code than the value of an expression.
        const filters = compiled.slice(0, 8);
        const passed = await connection.runAndReadAll(
          `SELECT ${['NULL', ...filters.map(({ sql }) => `(SELECT list(rowid ORDER BY rowid) FROM flow WHERE ${sql})::VARCHAR`)].join(', ')}`,
        );
        const found = compiled.map(({ sql, run }) => {
          const each = new Uint8Array(rows.length);
          run(given, rows.length, each);
          return [
            sql,
            ...Array.from(each, (truth) => (truth === TRUE ? true : truth === FALSE ? false : null)),
          ];
        });
        const [, ...values] = truths.getColumns();
        expect(found).toEqual(compiled.map(({ sql }, index) => [sql, ...values[index]!]));
        const places = filters.map(({ sql, filter }) => {
          const each = filter.pass(given, rows.length);
          return [sql, each.length === 0 ? null : `[${each.join(', ')}]`];
        });
        const [, ...lists] = passed.getRows()[0]!;
        expect(places).toEqual(filters.map(({ sql }, index) => [sql, lists[index]]));
      },
    ),
    { numRuns: 25 },
  );
  // Otherwise this test would prove little.
  expect(taken).toBeGreaterThan(all / 4);
});

test.each([
  'd >= 25',
  '25.5 > d',
  'd = 1e3',
  'i = 9007199254740991',
  'i < 25.5',
  'h <> 0',
  'n >= 24.5 AND m < 1000 AND y IN (1, 2)',
  "s = 'x'",
  "s BETWEEN 'a' AND 'b'",
  "s NOT IN ('a', NULL, 'b')",
  "s LIKE 'a%' AND s NOT LIKE '%b%'",
  'b AND NOT (b = false)',
  'j IS NOT NULL OR i IS NULL',
  'i = NULL',
])('%s needs no database', async (sql) => {
  expect(compileFilter((await parse([sql]))[0], columnOf)).toBeDefined();
});

test.each([
  // DuckDB converts the text, or fails.
  's > 5',
  "i = '5'",
  "b = 'true'",
  'b = 1',
  'i',
  // The literal has more digits than a double.
  'i = 9007199254740993',
  'd = 0.12345678901234567890',
  // A DECIMAL does not hold every HUGEINT.
  'h < 25.5',
  "s LIKE 'a%b'",
  "s LIKE 'a_'",
  "s ILIKE 'a%'",
  "s LIKE 'a' ESCAPE 'x'",
  "j = '1'",
  'd + 1 > 25',
  'abs(d) > 25',
  'd > i',
  'd IS DISTINCT FROM 25',
  's IN (SELECT 1)',
  "s COLLATE NOCASE = 'a'",
])('%s is left to DuckDB', async (sql) => {
  expect(compileFilter((await parse([sql]))[0], columnOf)).toBeUndefined();
});

test('without a WHERE clause every row passes', () => {
  expect(compileFilter(null, columnOf)!.pass([], 3)).toEqual([0, 1, 2]);
});

test('a batch of another length, and rows from anywhere in memory, are no different', async () => {
  const { pass } = compileFilter(
    (await parse(["d > 1 AND i > 1 AND n > 1 AND m > 1 AND y > 1 AND s <> 'a'"]))[0],
    columnOf,
  )!;
  const of = (count: number): Values[] =>
    columns.map((name) => {
      const value = { b: true, i: 2n, h: 2n, d: 1.5, s: 'b', j: '1', n: 2n, m: 2n, y: 2n }[name];
      return shifted(
        valuesOf(
          types[name],
          Array.from({ length: count }, () => value),
        ),
      );
    });
  for (const count of [3, 1, 5]) expect(pass(of(count), count)).toHaveLength(count);
});

/** The same values at an odd address. */
function shifted(values: Values): Values {
  if (values.storage !== 'fixed') return values;
  const memory = new Uint8Array(values.data.length + 1);
  memory.set(values.data, 1);
  return { ...values, data: memory.subarray(1) };
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function sqlOf({ kind }: ColumnType, value: Value): string {
  if (value === null) return 'NULL';
  if (typeof value === 'string') return quoted(value);
  if (kind !== 'double') return String(value);
  return `'${Object.is(value, -0) ? '-0.0' : String(value)}'::DOUBLE`;
}

function valuesOf({ kind }: ColumnType, all: readonly Value[]): Values {
  const valid = all.includes(null) ? Uint8Array.from(all, (value) => Number(value !== null)) : undefined;
  if (kind === 'varchar' || kind === 'json') {
    const parts = all.map((value) => Buffer.from(String(value ?? '')));
    const offsets = new Uint32Array(all.length + 1);
    for (const [at, part] of parts.entries()) offsets[at + 1] = offsets[at]! + part.length;
    return { storage: 'bytes', valid, offsets, data: Buffer.concat(parts) };
  }
  const widths = { boolean: 1, tinyint: 1, smallint: 2, integer: 4, bigint: 8, hugeint: 16, double: 8 };
  const width = widths[kind as 'boolean'];
  const data = new DataView(new ArrayBuffer(all.length * width));
  for (const [at, value] of all.entries()) {
    if (value === null) continue;
    if (width === 1) data.setUint8(at, Number(value));
    else if (width === 2) data.setInt16(at * width, Number(value), true);
    else if (width === 4) data.setInt32(at * width, Number(value), true);
    else if (kind === 'double') data.setFloat64(at * width, Number(value), true);
    else
      for (let word = 0; word < width / 8; word++)
        data.setBigInt64(at * width + word * 8, BigInt(value) >> BigInt(64 * word), true);
  }
  return { storage: 'fixed', valid, width, data: new Uint8Array(data.buffer) };
}

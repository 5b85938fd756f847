import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Database, literal } from '../../src/sql/database.ts';
import { subjects } from '../../src/sql/datafusion/functions.ts';
import { AGGREGATE_MACROS, createMacros, defineFunctions } from '../../src/sql/datafusion/macros.ts';
import { open } from './support.ts';

const read = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8').trim();

/** The names of every function that DataFusion 55 and datafusion-functions-json document. */
const documented = read('datafusion-functions.txt').split('\n');

/** Functions that the parser of DuckDB or of a window knows, besides those in its list. */
const PARSED = new Set([
  'coalesce',
  'ifnull',
  'grouping',
  'current_time',
  'current_timestamp',
  'percentile_cont',
]);

const duckdb = new Set([
  ...PARSED,
  ...read('duckdb-functions.txt')
    .split('\n')
    .map((line) => line.split(' ')[1]!),
]);

/** Expressions, and the values that DataFusion 55 gives them, or that the pages of datafusion-functions-json show. */
const values = JSON.parse(read('datafusion-values.json')) as [expression: string, value: unknown][];

const namesIn = (list: string): string[] => list.match(/[a-z]\w+/g) ?? [];

test('every function that DataFusion documents has its line, and says the truth about DuckDB', () => {
  const lines = new Map<string, number>();
  const add = (name: string): void => void lines.set(name, (lines.get(name) ?? 0) + 1);
  for (const { own, macros, differs, missing } of subjects) {
    for (const name of namesIn(own)) {
      add(name);
      expect(duckdb, `DuckDB has ${name}`).toContain(name);
    }
    for (const [names, overloads] of Object.entries(macros)) {
      for (const name of names.split(' ')) {
        add(name);
        // Such a macro also takes the arguments of DuckDB's own function, and passes them to it.
        const extended = Object.values(overloads).some((body) => body.includes(`system.main.${name}(`));
        expect([name, duckdb.has(name)]).toEqual([name, extended]);
      }
    }
    for (const name of [...Object.keys(differs), ...Object.keys(missing)].flatMap(namesIn)) add(name);
  }
  expect(documented.filter((name) => !lines.has(name))).toEqual([]);
});

test('their values are those of DataFusion, also of NULL, negative numbers and empty lists', async () => {
  const database = await Database.open({
    allowExternalAccess: false,
    timezone: 'UTC',
    memoryLimit: 256 * 1024 ** 2,
  });
  const connection = await database.connect();
  const ask = async (sql: string): Promise<string> =>
    String((await connection.runAndReadAll(sql)).getRows()[0]![0]);
  const fields = values.map(([expression], index) => `v${index} := ${expression}`);
  const sql = `SELECT CAST(to_json(struct_pack(${fields.join(', ')})) AS VARCHAR)`;
  await defineFunctions(connection, JSON.parse(await ask(`SELECT json_serialize_sql(${literal(sql)})`)));
  const row = JSON.parse(await ask(sql)) as Record<string, unknown>;
  const found = values.map(([expression], index) => [expression, plain(row[`v${index}`])]);
  expect(found).toEqual(values.map(([expression, value]) => [expression, plain(value)]));
  connection.closeSync();
  database.close();
});

/** Times and numbers may be written in several ways. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\d[ T]/.test(value)) return value;
  return value.replace(' ', 'T').replace(/(\.\d*?)0+$/, '$1');
}

test('each makes values of the fields of messages', async () => {
  const { run } = await open(
    `SELECT nvl(name, 'nobody') AS name, json_get_int(d, 'n') AS n, json_get_str(body, 'k', 0) AS k,
       array_remove_all(CAST(tags AS VARCHAR[]), __y) AS tags, date_bin(INTERVAL '1 hour', to_timestamp_millis(ts)) AS hour
     FROM flow`,
  );
  const { rows, rejected } = await run(
    '{"d":{"n":7},"body":"{\\"k\\":[\\"v\\"]}","tags":["a","b","a"],"__y":"a","ts":1625000000123}',
    '{"name":"ada","d":{"n":"x"},"body":"no","tags":[],"__y":"a","ts":0}',
  );
  expect(rejected).toEqual([]);
  expect(rows.map((row) => Object.values(JSON.parse(row) as object).map(plain))).toEqual([
    ['nobody', 7, 'v', ['b'], '2021-06-29T20:00:00'],
    ['ada', null, null, [], '1970-01-01T00:00:00'],
  ]);
});

test('a time is put into its bin with its zone, or as text, and behind an aggregate', async () => {
  const { run } = await open(
    `SELECT date_bin(INTERVAL '1 hour', t) AS text, date_bin(INTERVAL '1 hour', t::TIMESTAMPTZ) AS zoned,
       date_bin(INTERVAL '1 day', t::DATE, '2024-01-01T06:00:00Z') AS shifted FROM flow`,
  );
  const { rows } = await run('{"t":"2024-03-03T10:20:30+02:00"}');
  expect(Object.values(JSON.parse(rows[0]!) as object).map(plain)).toEqual([
    '2024-03-03T08:00:00',
    '2024-03-03T08:00:00Z',
    '2024-03-02T06:00:00',
  ]);
  const grouped = await open(
    `SELECT date_bin(INTERVAL '1 hour', max(t)) AS text, date_bin(INTERVAL '1 hour', to_timestamp_millis(min(n))) AS t,
       octet_length(max(t)) AS bytes FROM flow`,
  );
  const { rows: all } = await grouped.run(
    '{"t":"2024-03-03T10:20:30Z","n":1625000000123}',
    '{"t":"2024","n":null}',
  );
  expect(Object.values(JSON.parse(all[0]!) as object).map(plain)).toEqual([
    '2024-03-03T10:00:00',
    '2021-06-29T20:00:00',
    20,
  ]);
});

test('one that makes one value of many rows is an aggregate for the query too', async () => {
  const { run } = await open(
    'SELECT approx_distinct(a) AS n, var_population(a) AS v, approx_median(a) AS m FROM flow',
  );
  expect(await run('{"a":1}', '{"a":3}', '{"a":3}', '{"a":5}')).toMatchObject({
    rows: ['{"n":3,"v":2.0,"m":3}'],
    rejected: [],
  });
  expect([...AGGREGATE_MACROS]).toContain('covar');
});

test('setup may call them, and a function that it makes is its own', async () => {
  const { run } = await open(
    'SELECT label(a) AS label, nvl(a, 2) AS mine, nvl2(a, 1, 2) AS theirs FROM flow',
    {
      setup: `CREATE MACRO nvl(x, y) AS 'mine'; CREATE FUNCTION label(x) AS initcap(nvl2(x, 'some', 'none'))`,
    },
  );
  expect((await run('{"a":null}')).rows).toEqual(['{"label":"None","mine":"mine","theirs":2}']);
});

test('only those that a query calls are made; one that DuckDB has stays its own unless an argument is added', async () => {
  const database = await Database.open({
    allowExternalAccess: false,
    timezone: 'UTC',
    memoryLimit: 64 * 1024 ** 2,
  });
  const connection = await database.connect();
  const made = async (): Promise<string[]> => {
    const reader = await connection.runAndReadAll(
      `SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'macro' AND NOT internal AND function_name NOT LIKE '%~%' ORDER BY ALL`,
    );
    return reader.getRows().map(([name]) => String(name));
  };
  const call = (name: string, count: number) => ({
    function_name: name,
    children: Array.from({ length: count }),
  });
  await defineFunctions(connection, [call('sum', 1), call('lpad', 3), call('encode', 1)]);
  expect(await made()).toEqual([]);
  await defineFunctions(connection, { where: [call('NVL', 2), call('lpad', 2), call('json_get', 3)] });
  expect(await made()).toEqual(['json_get', 'lpad', 'nvl']);
  // All of them are SQL that DuckDB takes, and a name in a lambda cannot be that of a column.
  for (const sql of createMacros()) {
    await connection.run(sql.replace('CREATE MACRO IF NOT EXISTS', 'CREATE OR REPLACE MACRO'));
    for (const [, names] of sql.matchAll(/lambda ([^:]*):/g)) expect(names).toMatch(/^(?:__\w+(?:, )?)+$/);
  }
  connection.closeSync();
  database.close();
});

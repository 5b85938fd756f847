import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { describe, expect, onTestFinished, test } from 'vitest';
import { doubleText } from '../../src/message/json-writer.ts';
import { valueReader } from '../../src/message/row-values.ts';
import {
  concatRows,
  selectRows,
  type RowColumn,
  type Rows,
  type StructField,
} from '../../src/message/rows.ts';
import { rowsToLines } from '../../src/message/rows-json.ts';
import { decodeRows, encodeRows } from '../../src/message/rows-wire.ts';
import { runRows } from '../../src/sql/row-chunks.ts';
import { RowTable, type TableRows } from '../../src/sql/row-table.ts';
import { columnName } from '../../src/sql/row-table-names.ts';
import { columnTypeOf } from '../../src/sql/row-types.ts';

/** Every type that rows have, at its limits, and in lists, structs and maps. DuckDB's own table of them, and more. */
const EVERY_TYPE = `
  SELECT * EXCLUDE (geometry),
    (0.1 * i)::DECIMAL(38, 38) AS fraction, (i * 1.5)::DECIMAL(5, 3) AS small,
    ['-Infinity'::DOUBLE, 'NaN', '-0', 5e-324, 1e21, 1e-7, 0.1] AS doubles,
    MAP {i::DECIMAL(4, 2): 'x', 9.5: NULL} AS by_decimal, MAP {'a'::BLOB: [1.10::DECIMAL(5, 2)]} AS by_blob,
    {'j': '{"a":[1,2.5]}'::JSON, 's': {'t': TIMESTAMPTZ '1969-12-31 23:59:59.999999+00', 'b': '\\xFF'::BLOB}} AS nested,
    [[INTERVAL '1 month -3 days 1.5 seconds' * i], NULL, []] AS intervals,
    [NULL, {'u': uuid '00000000-0000-0000-0000-0000000000ff', 'e': 'b'::ENUM('a', 'b')}] AS structs,
    [TIME_NS '12:34:56.123456789', NULL] AS nanoseconds,
    [[1, NULL], NULL]::INTEGER[2][2] AS arrays, [row(i, 'x'), NULL] AS nameless, MAP {[i]: {'a': 0.5}} AS by_list
  FROM (SELECT *, row_number() OVER () AS i FROM test_all_types())`;

async function connect(): Promise<DuckDBConnection> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  onTestFinished(() => instance.closeSync());
  const connection = await instance.connect();
  await connection.run(`SET GLOBAL TimeZone = 'UTC'`);
  return connection;
}

async function rowsOf(connection: DuckDBConnection, query: string): Promise<Rows> {
  const statement = await connection.prepare(query);
  const columns = Array.from({ length: statement.columnCount }, (_, index): StructField => {
    const name = statement.columnName(index);
    const type = columnTypeOf(statement.columnType(index));
    if (type === undefined) throw new Error(`${name}: ${statement.columnType(index).toString()}`);
    return { name, type };
  });
  const reading = { check: () => undefined, counted: 0 };
  const rows = await runRows(statement, columns, { ...reading, isBounded: true });
  const streamed = await runRows(statement, columns, { ...reading, isBounded: false });
  expect(rowsToLines(streamed).equals(rowsToLines(rows))).toBe(true);
  return rows;
}

function column(name: string, kind: 'varchar' | 'blob', parts: readonly (Buffer | undefined)[]): RowColumn {
  const offsets = new Uint32Array(parts.length + 1);
  for (const [row, part] of parts.entries()) offsets[row + 1] = offsets[row]! + (part?.length ?? 0);
  const data = Buffer.concat(parts.filter((part) => part !== undefined));
  const valid = Uint8Array.from(parts, (part) => (part === undefined ? 0 : 1));
  return { name, type: { kind }, values: { storage: 'bytes', valid, offsets, data } };
}

const tableRows = ({ length, columns }: Rows): TableRows => ({
  length,
  values: (column) => columns[column]!.values,
});

/** `SELECT` with the rows’ own names from the table. */
function selectAll(table: RowTable, rows: Rows): string {
  const columns = rows.columns.map(({ name }, index) => `${columnName(index)} AS "${name}"`);
  return `SELECT ${columns.join(', ')} FROM ${table.name}()`;
}

async function textsOf(connection: DuckDBConnection, query: string): Promise<string[]> {
  const result = await connection.runAndReadAll(`SELECT to_json(r)::VARCHAR FROM (${query}) AS r`);
  return result.getRows().map(([text]) => String(text));
}

async function typesOf(connection: DuckDBConnection, query: string): Promise<unknown[]> {
  return (await connection.runAndReadAll(`DESCRIBE ${query}`)).getRows().map((row) => row.slice(0, 2));
}

describe('values out of DuckDB, as rows, and back into it', () => {
  test('keep their types and are the same to DuckDB', async () => {
    const connection = await connect();
    const rows = await rowsOf(connection, EVERY_TYPE);
    const table = new RowTable(connection);
    table.expect(rows.columns);
    table.set(tableRows(rows));
    const back = selectAll(table, rows);
    expect(await typesOf(connection, back)).toEqual(await typesOf(connection, EVERY_TYPE));
    expect(await textsOf(connection, back)).toEqual(await textsOf(connection, EVERY_TYPE));
    // Infinity and NaN are no JSON, and NULL and a missing value would be the same there.
    const difference = `(${EVERY_TYPE}) EXCEPT ALL (${back})`;
    expect((await connection.runAndReadAll(difference)).getRows()).toEqual([]);
  });

  test('are those of many chunks, with NULL and lists that lie in them as DuckDB likes', async () => {
    const connection = await connect();
    const query = `SELECT i, CASE WHEN i % 3 = 0 THEN NULL ELSE repeat('ä', (i % 20)::INTEGER) END AS text,
      CASE WHEN i % 7 = 0 THEN NULL ELSE range(i % 5) END AS list,
      {'a': CASE WHEN i % 2 = 0 THEN NULL ELSE i END, 'l': [[i::VARCHAR], NULL]} AS struct
      FROM range(10_000) AS r(i) ORDER BY hash(i)`;
    const rows = await rowsOf(connection, query);
    expect(rows.length).toBe(10_000);
    const table = new RowTable(connection);
    table.expect(rows.columns);
    table.set(tableRows(rows));
    const back = selectAll(table, rows);
    expect(await textsOf(connection, back)).toEqual(await textsOf(connection, query));
    // Only some of the columns, and the rows of another run.
    table.set(tableRows(selectRows(rows, [9, 5000, 9])));
    const some = await connection.runAndReadAll(`SELECT c3, i FROM ${table.name}()`);
    const texts = await textsOf(connection, `SELECT struct FROM (${query})`);
    expect(some.getRows().map(([, number]) => number)).toEqual([0n, 1n, 2n]);
    expect(await textsOf(connection, `SELECT c3 AS struct FROM ${table.name}()`)).toEqual(
      [9, 5000, 9].map((index) => texts[index]),
    );
  });

  test('are strings of any length and bytes, wherever DuckDB keeps them', async () => {
    const connection = await connect();
    const lengths = [0, 1, 4, 11, 12, 13, 40, 41, 300, 5000];
    const texts = Array.from({ length: 2500 }, (_, row) => {
      const length = lengths[row % lengths.length]!;
      return row % 7 === 0 ? undefined : `${row}é`.padEnd(length, 'x€\0').slice(0, length);
    });
    const bytesFor = (text: string): Buffer =>
      Buffer.concat([Buffer.from([0xff, 0x80, 0]), Buffer.from(text)]);
    const rows: Rows = {
      length: texts.length,
      columns: [
        column(
          'text',
          'varchar',
          texts.map((text) => (text === undefined ? text : Buffer.from(text))),
        ),
        column(
          'bytes',
          'blob',
          texts.map((text) => (text === undefined ? text : bytesFor(text))),
        ),
      ],
    };
    const table = new RowTable(connection);
    table.expect(rows.columns);
    table.set(tableRows(rows));
    const from = `${table.name}()`;
    for (const query of [
      `SELECT i, c0, c1 FROM ${from}`,
      `SELECT i, c0, c1 FROM ${from} ORDER BY hash(i)`,
      `SELECT i, c0, c1 FROM ${from} WHERE i % 3 = 0`,
      `SELECT i, any_value(c0), any_value(c1) FROM ${from} GROUP BY i`,
      `SELECT a.i, max(b.c0), max(b.c1) FROM ${from} a JOIN ${from} b ON a.i = b.i GROUP BY a.i`,
      `SELECT i, first_value(c0) OVER w, first_value(c1) OVER w FROM ${from} WINDOW w AS (PARTITION BY i)`,
      `SELECT i, l[1], m.m FROM (SELECT i, [c0, 'other'] AS l, {m: c1} AS m FROM ${from})`,
    ]) {
      const { columns, length } = await rowsOf(connection, query);
      const [number, text, bytes] = columns.map(valueReader);
      expect(length).toBe(query.includes('WHERE') ? 834 : 2500);
      for (let row = 0; row < length; row++) {
        const expected = texts[Number(number!(row))];
        if (text!(row) !== (expected ?? null)) expect(text!(row)).toBe(expected ?? null);
        const found = bytes!(row);
        const same = expected === undefined ? found === null : bytesFor(expected).equals(found as Uint8Array);
        if (!same) expect(found).toEqual(expected && bytesFor(expected));
      }
    }
  });

  test('are NULL if they are text that is not UTF-8, even if it is together with the next', async () => {
    const connection = await connect();
    const parts = [[0x61], [0xe2, 0x82], [0xac, 0x61], [0xff], [0x62, 0x80]].map((bytes) =>
      Buffer.from(bytes),
    );
    const whole = Buffer.from('a text that is longer than others');
    const table = new RowTable(connection);
    const rows: Rows = { length: 6, columns: [column('text', 'varchar', [...parts, whole])] };
    table.expect(rows.columns);
    table.set(tableRows(rows));
    const found = await connection.runAndReadAll(`SELECT c0 FROM ${table.name}()`);
    expect(found.getRows().flat()).toEqual(['a', null, null, null, null, whole.toString()]);
  });

  test('may be read several times at once by one statement', async () => {
    const connection = await connect();
    const rows = await rowsOf(connection, 'SELECT i, i % 7 AS k FROM range(5000) AS r(i)');
    const table = new RowTable(connection);
    table.expect(rows.columns);
    table.set(tableRows(rows));
    const from = `${table.name}()`;
    for (const query of [
      `SELECT count(*) AS n, sum(a.c0) AS s FROM ${from} a JOIN ${from} b ON a.c0 = b.c0 AND a.i = b.i`,
      `SELECT count(*) AS n, sum(c0) AS s FROM (SELECT c0, count(*) OVER (PARTITION BY c1) AS c FROM ${from}) WHERE c > 700`,
      `SELECT count(*) AS n, sum(c0) AS s FROM (SELECT c0 FROM ${from} UNION SELECT c0 FROM ${from})`,
    ]) {
      expect((await connection.runAndReadAll(query)).getRows()).toEqual([[5000n, 12_497_500n]]);
    }
  });

  test('are the same after they were written and read, cloned, selected and joined', async () => {
    const connection = await connect();
    const rows = await rowsOf(connection, EVERY_TYPE);
    const expected = rowsToLines(rows).toString();
    expect(rowsToLines(decodeRows(encodeRows(rows))).toString()).toBe(expected);
    expect(rowsToLines(structuredClone(rows)).toString()).toBe(expected);
    const parts = [0, 1, 2].map((index) => selectRows(rows, [index]));
    expect(rowsToLines(concatRows(parts)!).toString()).toBe(expected);
  });
});

describe('rows as JSON', () => {
  /** DuckDB’s own JSON, with times as ISO 8601, null for NaN, and an array for a struct without names. */
  const respelled = (text: string): string =>
    text
      .replaceAll(/(?<=[:[,])(?:NaN|-?Infinity)(?=[,\]}])/g, 'null')
      .replaceAll(/"(\d{4,7})(-\d\d-\d\d)( \(BC\))?(?: (\d\d:\d\d:\d\d(?:\.\d+)?)(\+00)?)?"/g, isoText)
      .replaceAll(/(\d\d:\d\d:\d\d(?:\.\d+)?[+-]\d\d)"/g, '$1:00"')
      .replaceAll(/\{"":(\d+),"":("x")\}/g, '[$1,$2]')
      .replaceAll(/"raw:(.*?)"/g, (_, raw: string) => (raw.includes('e') ? doubleText(Number(raw)) : raw))
      .replaceAll(/\\u00[\dA-F]{2}/g, (escape) => escape.toLowerCase());

  const isoText = (
    _: string,
    digits: string,
    day: string,
    era?: string,
    time?: string,
    zone?: string,
  ): string => {
    const year = era === undefined ? Number(digits) : 1 - Number(digits);
    const signed = `${year < 0 ? '-' : '+'}${String(Math.abs(year)).padStart(6, '0')}`;
    const date = (year >= 0 && year <= 9999 ? digits.padStart(4, '0') : signed) + day;
    return `"${date}${time === undefined ? '' : `T${time}`}${zone === undefined ? '' : 'Z'}"`;
  };

  /** The lines of a query’s rows, and DuckDB’s JSON of them. `replaced` gives columns that it spells otherwise. */
  const compared = async (query: string, replaced: Record<string, string>): Promise<[string[], string[]]> => {
    const connection = await connect();
    const lines = rowsToLines(await rowsOf(connection, query))
      .toString()
      .trimEnd()
      .split('\n');
    for (const line of lines) expect(() => JSON.parse(line) as unknown).not.toThrow();
    const replace = Object.entries(replaced).map(([name, sql]) => `${sql} AS ${name}`);
    const texts = await textsOf(connection, `SELECT * REPLACE (${replace.join(', ')}) FROM (${query})`);
    return [lines, texts.map(respelled)];
  };

  /** DuckDB’s text of a number is exact; its JSON of a DECIMAL or a FLOAT is that of a double. */
  const asText = (name: string): string =>
    `CASE WHEN isfinite(${name}::DOUBLE) THEN 'raw:' || regexp_replace(replace(${name}::VARCHAR, 'e+', 'e'), '^(-?)\\.', '\\10.') END`;

  test('have each value as DuckDB has it', async () => {
    const decimals = ['float', 'dec_4_1', 'dec_9_4', 'dec_18_6', 'dec38_10', 'fraction', 'small'];
    const [lines, texts] = await compared(
      // DuckDB writes the last moment of all a millisecond late.
      `SELECT * REPLACE (CASE WHEN isfinite(timestamp_tz) AND timestamp_tz < '9999-01-01' THEN timestamp_tz END AS timestamp_tz)
       FROM (${EVERY_TYPE})`,
      {
        ...Object.fromEntries(decimals.map((name) => [name, asText(name)])),
        blob: 'base64(blob)',
        by_blob: `MAP {'YQ==': 'raw:[1.10]'}`,
        by_decimal: `MAP {map_keys(by_decimal)[1]::VARCHAR: 'x', '9.50': NULL}`,
        nested: `{'j': '{"a":[1,2.5]}'::JSON, 's': {'t': '1969-12-31T23:59:59.999999Z', 'b': '/w=='}}`,
      },
    );
    expect(lines).toEqual(texts);
  });

  test('are so for values of all sizes', async () => {
    const [lines, texts] = await compared(
      `
      SELECT n / 1e19 * pow(10, i % 620 - 310) AS double, (h % 100_000_000)::DOUBLE / pow(10, i % 9) AS digits,
        (n / 1e4)::DOUBLE AS large, (h % 100_000) / 8.0 AS small, (h % 10 - 5)::DOUBLE * pow(10, i % 30) AS power,
        MAP {h: i} AS by_integer, MAP {(h % 1000)::DECIMAL(5, 2): i} AS by_decimal,
        make_timestamp(h) AS timestamp, (make_timestamp(h // 100) || '+00')::TIMESTAMPTZ AS timestamp_tz,
        make_timestamp_ns(h) AS timestamp_ns, ('0001-01-01'::DATE + (h % 2_000_000)::INTEGER) AS date,
        '00:00:00'::TIME + to_microseconds(h % 86_400_000_000) AS time,
        ('12:00:00' || CASE WHEN i % 2 = 0 THEN '+' ELSE '-' END || '0' || i % 10 || ':' || 10 + i % 50)::TIMETZ AS time_tz,
        to_months((h % 100)::INTEGER) + to_days((h % 50)::INTEGER) + to_microseconds(h % 10_000_000_000) AS interval,
        chr((i % 1500)::INTEGER) || '"\\' || chr((i % 32)::INTEGER) || repeat('é', (i % 40)::INTEGER) AS text,
        (h / 1e3)::DECIMAL(38, 3) AS wide, ((h % 100_000) / 1e3)::DECIMAL(9, 3) AS narrow, (h::HUGEINT * h) AS huge,
        md5(i::VARCHAR)::UUID AS uuid, (h::VARCHAR || i::VARCHAR)::BIGNUM AS big, h % 1000 AS modest, h AS integer
      FROM (SELECT i, hash(i) AS n, (hash(i) % 4_000_000_000_000_000_000)::BIGINT - 2_000_000_000_000_000_000 AS h
        FROM range(1240) AS r(i))`,
      Object.fromEntries(['wide', 'narrow'].map((name) => [name, asText(name)])),
    );
    expect(lines).toEqual(texts);
  });

  test('have a FLOAT as the shortest number that reads as it, or as the integer that it is', async () => {
    const connection = await connect();
    const query = `SELECT unnest([i / 100, n / 1e19 * pow(10, i % 78 - 40), pow(2, i % 276 - 149), -i - 0.5, n % 100_000_000])::FLOAT AS f
      FROM (SELECT i, hash(i) AS n FROM range(828) AS r(i))`;
    const lines = rowsToLines(await rowsOf(connection, query))
      .toString()
      .trimEnd()
      .split('\n');
    const reader = await connection.runAndReadAll(`SELECT f, f::VARCHAR FROM (${query})`);
    const digitsOf = (text: string): number =>
      text
        .replace(/e.*/, '')
        .replaceAll(/\D/g, '')
        .replaceAll(/^0+|0+$/g, '').length;
    let longer = 0;
    for (const [index, [value, text]] of reader.getRows().entries()) {
      const own = lines[index]!.slice('{"f":'.length, -1);
      expect(Math.fround(Number(own)), `${String(text)} as ${own}`).toBe(value);
      if (!Number.isSafeInteger(value) && digitsOf(own) > digitsOf(String(text))) longer++;
    }
    expect(longer).toBe(0);
  });

  test('have JSON byte for byte, however deep it is in the row, but for the line breaks between its tokens', async () => {
    const connection = await connect();
    const json = `'{ "price": 1.10,\n "big":12345678901234567890.0,"e":[1e400 ,-0,"a\\n"]}'::JSON`;
    const rows = await rowsOf(
      connection,
      `SELECT ${json} AS j, [{'x': ${json}}, NULL] AS l, MAP {'k': ${json}} AS m`,
    );
    const text = '{ "price": 1.10,  "big":12345678901234567890.0,"e":[1e400 ,-0,"a\\n"]}';
    expect(rowsToLines(rows).toString()).toBe(`{"j":${text},"l":[{"x":${text}},null],"m":{"k":${text}}}\n`);
  });

  test('have a BLOB as base64, a FLOAT as a float, a DECIMAL to its scale, and null for NaN, at any depth', async () => {
    const connection = await connect();
    const values = `'a\\x00\\xFF'::BLOB AS b, 0.1::FLOAT AS f, 1.10::DECIMAL(5, 2) AS d, 'nan'::DOUBLE AS n, '-inf'::FLOAT AS i, '-0'::DOUBLE AS z`;
    const json = `to_json({'NaN': ['nan'::DOUBLE, '-inf'], 't': 'NaN"Infinity'}) AS j`;
    const rows = await rowsOf(connection, `SELECT ${values}, [r] AS l, ${json} FROM (SELECT ${values}) AS r`);
    const text = '"b":"YQD/","f":0.1,"d":1.10,"n":null,"i":null,"z":-0.0';
    expect(rowsToLines(rows).toString()).toBe(
      `{${text},"l":[{${text}}],"j":{"NaN":[null,null],"t":"NaN\\"Infinity"}}\n`,
    );
  });
});

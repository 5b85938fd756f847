import { describe, expect, test } from 'vitest';
import { engineFor, settling, testInput, testOutput, textsOf } from '../runtime/harness.ts';
import { checkJson } from '../../src/component/payloads.ts';
import { EndOfInputError } from '../../src/errors.ts';
import type { Batch } from '../../src/message/batch.ts';
import { valueReader } from '../../src/message/row-values.ts';
import type { Rows } from '../../src/message/rows.ts';

interface Letter {
  readonly payload: string;
  readonly processed?: { readonly payload: string };
  readonly error: { readonly code: string; readonly message: string; readonly field?: string };
  readonly metadata: Readonly<Record<string, unknown>>;
}

interface Outcome {
  readonly lines: string[];
  readonly rows: (Rows | undefined)[];
  readonly letters: Letter[];
  readonly settled: unknown[];
}

/** Runs messages through processors, each as the file writes it, into an output that takes rows, or does not. */
async function stream(
  processors: readonly string[],
  batches: readonly (readonly string[])[],
  takes?: 'rows',
): Promise<Outcome> {
  const outcome: Outcome = { lines: [], rows: [], letters: [], settled: [] };
  let next = 0;
  const engine = engineFor(
    `streams:
  - input: { type: test }
    pipeline: { thread_num: 2, processors: [ ${processors.join(', ')} ] }
    output: { type: kept }
    error_output: { type: letters }
`,
    [
      testInput('test', {
        read: () => {
          const texts = batches[next++];
          if (texts === undefined) return Promise.reject(new EndOfInputError());
          const { batch, receipt } = settling(texts, (error) => outcome.settled.push(error ?? 'acked'));
          return Promise.resolve({ batch: checkJson(batch, () => {}), receipt });
        },
      }),
      testOutput('kept', {
        takes,
        write: (batch: Batch) => {
          outcome.rows.push(batch.rows);
          outcome.lines.push(...textsOf(batch));
          return Promise.resolve();
        },
      }),
      testOutput('letters', {
        write: (batch: Batch) => {
          outcome.letters.push(...textsOf(batch).map((text) => JSON.parse(text) as Letter));
          return Promise.resolve();
        },
      }),
    ],
  );
  await engine.run();
  return outcome;
}

const sql = (query: string, more = ''): string => `{ type: sql, query: ${JSON.stringify(query)}${more} }`;

/** A value of each type, some of a message's own digits, of rows that are numbered by `n`. */
const TYPES: Readonly<Record<string, string>> = {
  dec: `(n || '.0123456789')::DECIMAL(38, 10)`,
  cents: `(n || '.10')::DECIMAL(9, 2)`,
  ts: `TIMESTAMP '2024-02-29 23:59:59.123456' + to_days(n::INTEGER)`,
  tz: `TIMESTAMPTZ '1969-12-31 23:59:59.999999+02'`,
  ns: `TIMESTAMP_NS '2024-01-01 00:00:00.123456789'`,
  day: `DATE '0044-03-15 (BC)'`,
  clock: `TIME '23:59:59.000001'`,
  span: `INTERVAL '14 months -3 days 1.5 seconds'`,
  id: `UUID 'f47ac10b-58cc-4372-a567-0e02b2c3d479'`,
  bytes: `'\\x00\\xFF"a'::BLOB`,
  huge: `170141183460469231731687303715884105727::HUGEINT - n`,
  big: `18446744073709551615::UBIGINT - n::UBIGINT`,
  list: `[1.10::DECIMAL(5, 2), NULL, n]`,
  struct: `{'a': n, 'b': ['x', NULL], 'c': {'d': 'infinity'::TIMESTAMP}}`,
  map: `MAP {DATE '2024-01-01': [n]}`,
  fixed: `[n, 2]::INTEGER[2]`,
  mood: `'ok'::ENUM('sad', 'ok')`,
  nan: `'NaN'::DOUBLE`,
  inf: `'-Infinity'::DOUBLE`,
  zero: `'-0'::DOUBLE`,
  float: `0.1::FLOAT`,
  json: `'{"price":[1,"x"]}'::JSON`,
  bits: `'10101'::BIT`,
  long: `'-9'::BIGNUM`,
  either: `[union_value(a := 1.10::DECIMAL(4, 2)), union_value(a := NULL)]`,
  nameless: `row(n, 'x')`,
  nothing: `NULL`,
  none: `CASE WHEN n > 1 THEN 'x' END`,
};
const FIRST = `SELECT n, ${Object.entries(TYPES)
  .map(([name, value]) => `${value} AS ${name}`)
  .join(', ')} FROM flow`;
/** What a query sees of each: its type, and what is lost where it is made JSON and read again. */
const SECOND = `SELECT ${Object.keys(TYPES)
  .flatMap((name) => [`typeof(${name}) AS t_${name}`, `${name}::VARCHAR AS ${name}`])
  .join(', ')}, dec + 0.0000000001 AS sum, ts - INTERVAL '1 us' AS before, octet_length(bytes) AS octets,
  list_sum(list) AS total, struct.b[1] AS inside, map[DATE '2024-01-01'] AS found, isnan(nan) AS is_nan, signbit(zero) AS negative
  FROM flow ORDER BY n`;
const MESSAGES = ['{"n":1}', '{"n":2}', '{"n":3}'];

describe('between two SQL steps', () => {
  test('every type is what it is in one query of both', async () => {
    const two = await stream([sql(FIRST), sql(SECOND)], [MESSAGES, MESSAGES]);
    const nested = `WITH flow AS MATERIALIZED (${FIRST.replace('FROM flow', 'FROM messages')}) ${SECOND}`;
    const one = await stream([sql(nested, ', table_name: messages')], [MESSAGES, MESSAGES]);
    expect(two.letters).toEqual([]);
    expect(one.lines).toHaveLength(6);
    expect(two.lines.map((line) => JSON.parse(line) as unknown)).toEqual(
      one.lines.map((line) => JSON.parse(line) as unknown),
    );
    const row = JSON.parse(two.lines[0]!) as Record<string, unknown>;
    expect(row).toMatchObject({
      t_dec: 'DECIMAL(38,10)',
      dec: '1.0123456789',
      t_ts: 'TIMESTAMP',
      ts: '2024-03-01 23:59:59.123456',
      t_tz: 'TIMESTAMP WITH TIME ZONE',
      t_huge: 'HUGEINT',
      t_bytes: 'BLOB',
      octets: 4,
      t_nothing: '"NULL"',
      is_nan: true,
      negative: true,
    });
  });

  test('what is sorted, filtered and batched on the way is still rows', async () => {
    const { lines, rows } = await stream(
      [
        sql("SELECT n, (n || '.10')::DECIMAL(20, 2) AS d FROM flow"),
        sql('SELECT * FROM flow WHERE n > 1 ORDER BY n DESC'),
        '{ type: batch, count: 4, timeout_ms: 60000 }',
        sql('SELECT *, typeof(d) AS t, count(*) OVER () AS c FROM flow'),
      ],
      [MESSAGES, MESSAGES],
      'rows',
    );
    expect(rows.map((each) => each?.columns.map(({ type }) => type.kind))).toEqual([
      ['bigint', 'decimal', 'varchar', 'bigint'],
    ]);
    expect(lines).toEqual([3, 2, 3, 2].map((n) => `{"n":${n},"d":${n}.10,"t":"DECIMAL(20,2)","c":4}`));
  });

  test('a row that the second rejects is a dead letter of the message, with what the first had made of it', async () => {
    const { lines, letters, settled } = await stream(
      [
        sql(`SELECT n, (n * 1.5)::DECIMAL(10, 2) AS d, text, __meta_source, __meta_ingest_time FROM flow`),
        sql('SELECT d, text::INTEGER AS i, upper(__meta_source) AS source FROM flow'),
      ],
      [['{"n":1,"text":"1"}', '{ "n":2,"text":"x" }', '{"n":3,"text":"3"}']],
    );
    expect(lines).toEqual(['{"d":1.50,"i":1,"source":""}', '{"d":4.50,"i":3,"source":""}']);
    expect(letters).toHaveLength(1);
    const [letter] = letters;
    expect(letter!.payload).toBe('{ "n":2,"text":"x" }');
    expect(letter!.processed?.payload).toBe('{"n":2,"d":3.00,"text":"x"}');
    expect(letter!.error.message).toContain(`Could not convert string 'x' to INT32`);
    expect(settled).toEqual(['acked']);
  });

  test('a declared type is the column’s in the second, and a row whose value does not convert is rejected alone', async () => {
    const { lines, letters } = await stream(
      [
        sql('SELECT n, v FROM flow'),
        sql('SELECT v, typeof(v) AS t, gone FROM flow', ', schema: { v: "DECIMAL(4,1)", gone: DATE }'),
      ],
      [['{"n":1,"v":"1.5"}', '{"n":2,"v":"many"}']],
    );
    expect(lines).toEqual(['{"v":1.5,"t":"DECIMAL(4,1)","gone":null}']);
    expect(letters.map(({ error }) => [error.code, error.field, error.message])).toEqual([
      [
        'MILLRACE_SQL_FIELD_CONFLICT',
        'v',
        'field v: many does not convert to the declared type DECIMAL(4,1)',
      ],
    ]);
  });

  test('metadata goes on with the rows, whether the queries name it or not', async () => {
    const named = await stream(
      [
        sql(
          `SELECT n, 'from ' || n AS __meta_source, MAP {'k': n::VARCHAR} AS __meta_ext, TIMESTAMP '2024-01-02 03:04:05.678901' AS __meta_ingest_time FROM flow`,
        ),
        sql(`SELECT n, __meta_source AS s, __meta_ext['k'] AS k, __meta_ingest_time AS t FROM flow`),
      ],
      [MESSAGES],
    );
    expect(named.lines).toEqual(
      [1, 2, 3].map((n) => `{"n":${n},"s":"from ${n}","k":"${n}","t":"2024-01-02T03:04:05.678901Z"}`),
    );
    const passed = await stream(
      [
        sql(`SELECT n, 'from ' || n AS __meta_source FROM flow`),
        sql('SELECT *, n / 0 AS x FROM flow WHERE n = 2 OR error(n::VARCHAR)'),
      ],
      [MESSAGES],
    );
    expect(passed.letters.map(({ metadata }) => metadata['__meta_source'])).toEqual(['from 1', 'from 3']);
  });

  test('a column that the second names and the first does not give is NULL, and a name of its own is not taken', async () => {
    const { lines, letters } = await stream(
      [sql('SELECT n, n AS b FROM flow'), sql('SELECT n + 1 AS m, m * 2 AS twice, missing FROM flow')],
      [MESSAGES],
    );
    expect(lines[0]).toBe('{"m":2,"twice":4,"missing":null}');
    expect(letters).toEqual([]);
    const own = await stream(
      [sql('SELECT n, n AS m FROM flow'), sql('SELECT n + 1 AS m, m * 2 AS twice FROM flow')],
      [MESSAGES],
    );
    expect(own.letters.map(({ error }) => error.field)).toEqual(['m', 'm', 'm']);
  });

  test('text in a row that is nested too deeply to be read as JSON rejects its row alone', async () => {
    const deep = `{"n":1,"text":"${'['.repeat(600)}${']'.repeat(600)}"}`;
    const { lines, letters } = await stream(
      [sql('SELECT n, [text] AS texts FROM flow'), sql(`SELECT n, texts[1]->>'a' AS a FROM flow`)],
      [[deep, '{"n":2,"text":"{\\"a\\":1}"}']],
    );
    expect(lines).toEqual(['{"n":2,"a":"1"}']);
    expect(letters.map(({ error }) => error.code)).toEqual(['MILLRACE_SQL_TEXT_TOO_DEEP']);
  });

  test('order stays with several batches at a time, while columns change their types', async () => {
    const batches = Array.from({ length: 40 }, (_, index) => [
      `{"n":${index},"v":${index % 10 === 9 ? `${index}.5` : index}}`,
      `{"n":${index},"v":${index}}`,
    ]);
    const { lines, letters } = await stream(
      [
        sql('SELECT n, v, [v, NULL] AS l FROM flow'),
        sql('SELECT n, v * 2 AS twice, l[1] = v AS same, row_number() OVER () AS i FROM flow'),
      ],
      batches,
    );
    expect(letters).toEqual([]);
    const rows = lines.map(
      (line) => JSON.parse(line) as { n: number; twice: number; same: boolean; i: number },
    );
    expect(rows).toEqual(
      batches.flatMap((_, n) => [
        { n, twice: n % 10 === 9 ? 2 * n + 1 : 2 * n, same: true, i: 1 },
        { n, twice: 2 * n, same: true, i: 2 },
      ]),
    );
  });

  test('a row that takes too long, or gives too much, in the second is found and rejected alone', async () => {
    const slow = await stream(
      [
        sql("SELECT n, {'n': n} AS s FROM flow"),
        sql(
          'SELECT n, (SELECT sum(a.range * b.range) FROM range(s.n) a, range(s.n) b) AS r FROM flow ORDER BY n',
          ', timeout: 1s',
        ),
      ],
      [['{"n":1}', '{"n":1000000}', '{"n":2}']],
    );
    expect(slow.letters.map(({ payload, error }) => [payload, error.code])).toEqual([
      ['{"n":1000000}', 'MILLRACE_SQL_TIMEOUT'],
    ]);
    expect(slow.lines).toEqual(['{"n":1,"r":0}', '{"n":2,"r":1}']);
    const large = await stream(
      [
        sql('SELECT n, [n] AS l FROM flow'),
        sql(`SELECT n, repeat('x', l[1]) AS r FROM flow`, ', max_result_bytes: 1KiB'),
      ],
      [['{"n":1}', '{"n":2000}', '{"n":2}']],
      'rows',
    );
    expect(large.letters.map(({ payload, error }) => [payload, error.code])).toEqual([
      ['{"n":2000}', 'MILLRACE_SQL_TOO_LARGE'],
    ]);
    expect(large.lines).toEqual(['{"n":1,"r":"x"}', '{"n":2,"r":"xx"}']);
  });

  test('a type that rows cannot have goes as JSON, and the others keep theirs', async () => {
    const { lines, letters } = await stream(
      [
        sql(`SELECT n, [n]::VARIANT AS v, 'POINT (1 2)'::GEOMETRY AS g, n::DECIMAL(4, 2) AS d FROM flow`),
        sql('SELECT v, typeof(v) AS t, g, typeof(d) AS td FROM flow'),
      ],
      [['{"n":1}']],
    );
    expect([lines, letters]).toEqual([['{"v":[1],"t":"JSON","g":"POINT (1 2)","td":"DECIMAL(4,2)"}'], []]);
  });
});

describe('an output', () => {
  test('that takes rows has the values as they are', async () => {
    const { rows } = await stream([sql(FIRST)], [['{"n":1}']], 'rows');
    const columns = rows[0]!.columns;
    const values = Object.fromEntries(columns.map((column) => [column.name, valueReader(column)(0)]));
    expect(values).toEqual({
      n: 1n,
      dec: '1.0123456789',
      cents: '1.10',
      ts: '2024-03-01T23:59:59.123456',
      tz: '1969-12-31T21:59:59.999999Z',
      ns: '2024-01-01T00:00:00.123456789',
      day: '-000043-03-15',
      clock: '23:59:59.000001',
      span: '1 year 2 months -3 days 00:00:01.5',
      id: 'f47ac10b-58cc-4372-a567-0e02b2c3d479',
      bytes: new Uint8Array(Buffer.from([0, 0xff, 0x22, 0x61])),
      huge: 2n ** 127n - 2n,
      big: 2n ** 64n - 2n,
      list: expect.any(Array) as unknown,
      struct: { a: 1n, b: ['x', null], c: { d: 'infinity' } },
      map: new Map([['2024-01-01', [1n]]]),
      fixed: [1, 2],
      mood: 'ok',
      nan: Number.NaN,
      inf: -Infinity,
      zero: -0,
      float: Math.fround(0.1),
      json: '{"price":[1,"x"]}',
      bits: '10101',
      long: '-9',
      either: [{ a: '1.10' }, { a: null }],
      nameless: [1n, 'x'],
      nothing: null,
      none: null,
    });
  });

  test('that takes none is given lines', async () => {
    const { lines } = await stream([sql('SELECT n + 1 AS m FROM flow')], [MESSAGES]);
    expect(lines).toEqual(['{"m":2}', '{"m":3}', '{"m":4}']);
  });

  test('gets JSON of the same spelling of rows, and of lines', async () => {
    const query = `SELECT n, ${Object.entries(TYPES)
      .map(([name, value]) => `${value} AS ${name}`)
      .join(', ')} FROM flow`;
    const typed = await stream([sql(query)], [MESSAGES], 'rows');
    const lines = await stream([sql(query)], [MESSAGES]);
    expect(typed.rows[0]).toBeDefined();
    expect(typed.lines).toEqual(lines.lines);
  });
});

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { expect } from 'vitest';
import { requireDuckDB, testWith } from '../support/tools.ts';
import { open, type Opened } from './support.ts';

// Queries of many kinds over generated messages, compared with the DuckDB of Python’s package. There, Python’s own
// `json` and `decimal` read the messages, and make a table of them.

/** In a query, `‹x›` and `‹d.x›` are values that keep their spelling, and `«d->>'x'»` is an arrow. */
const ours = (sql: string): string => sql.replaceAll(/[‹›«»]/g, '');
const theirs = (sql: string): string =>
  sql
    .replaceAll(/‹(\w+)›/g, '$1__json')
    .replaceAll(/‹(\w+)\.(\w+)›|«(\w+)->'(\w+)'»/g, '$1$3__$2$4__json')
    .replaceAll(/«d->>'(\w+)'»/g, 'd__$1__text')
    .replaceAll(/«(\w+)(.*?)»/g, '($1__json$2)');

const spaces = fc.constantFrom('', '', ' ', '\n');
const integer = fc.oneof(
  fc.integer({ min: -20, max: 20 }).map(String),
  fc.constantFrom('-0', '999999999999999', '1000000000000000', '9007199254740993', '-9223372036854775808'),
);
const small = fc.integer({ min: -9, max: 9 }).map(String);
const huge = fc.oneof(integer, fc.bigInt({ min: -(10n ** 38n), max: 10n ** 38n }).map(String));
const fraction = fc.oneof(
  fc.integer({ min: -400, max: 400 }).map((n) => (n / 100).toFixed(2)),
  fc
    .constantFrom(
      '1.10',
      '0.1',
      '-0.0',
      '1e3',
      '5E-2',
      '1.50e+1',
      '0.30000000000000000001',
      '3',
      '12.',
      '4.9e-324',
    )
    .map((text) => (text.endsWith('.') ? `${text}0` : text)),
  fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }).map((n) => JSON.stringify(n)),
);
const text = fc.oneof(
  fc.constantFrom(
    '""',
    '"x"',
    '"xy"',
    '"x%y"',
    '"Ab"',
    '"\\u00e9"',
    '"é"',
    '"e\\u0301"',
    '"\\ud83d\\ude00"',
    '"ß"',
    '"a_b"',
  ),
  fc.constantFrom(
    '"12"',
    '" 7 "',
    '"1.50"',
    '"-0.00"',
    '"nan"',
    '"1e2"',
    '"true"',
    '"2026-02-28"',
    '"a\\nb"',
    '"\\"q\\""',
  ),
  fc.string({ unit: 'grapheme', maxLength: 6 }).map((each) => JSON.stringify(each.replaceAll('\0', ''))),
);
const moment = fc.constantFrom(
  '"2026-01-02T03:04:05Z"',
  '"2026-01-02 03:04:05.678901"',
  '"2024-02-29T23:59:59.5"',
  '"1969-12-31T23:59:59.999999Z"',
);
const nothing = fc.constantFrom('null', undefined);
const orNothing = (value: fc.Arbitrary<string>): fc.Arbitrary<string | undefined> =>
  fc.oneof({ weight: 5, arbitrary: value }, { weight: 1, arbitrary: nothing });
const list = (item: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(fc.array(item, { maxLength: 4 }), spaces)
    .map(([items, space]) => `[${space}${items.join(`,${space}`)}]`);
const object = (members: Record<string, fc.Arbitrary<string | undefined>>): fc.Arbitrary<string> =>
  fc.tuple(fc.record(members), spaces).map(([values, space]) => {
    const written = Object.entries(values).flatMap(([name, value]) =>
      value === undefined ? [] : [`${JSON.stringify(name)}:${space}${value}`],
    );
    return `{${space}${written.join(`${space},`)}}`;
  });

const pair = object({ k: orNothing(small), v: orNothing(text) });
const inner = {
  n: orNothing(integer),
  x: orNothing(fraction),
  s: orNothing(text),
  o: orNothing(object({ t: orNothing(text) })),
};
const fields = {
  i: orNothing(integer),
  k: orNothing(small),
  h: orNothing(huge),
  f: orNothing(fraction),
  s: orNothing(text),
  b: orNothing(fc.constantFrom('true', 'false')),
  w: orNothing(moment),
  d: orNothing(object(inner)),
  l: orNothing(list(fc.oneof(small, fc.constant('null')))),
  t: orNothing(list(text)),
  r: orNothing(list(pair)),
  m: orNothing(fc.oneof(integer, fraction, text, list(small), object(inner))),
};
/** Has a value of each class, so that no column is without a type. */
const FULL =
  '{"id":0,"i":1,"k":3,"h":123456789012345678901234567890,"f":0.5,"s":"x","b":true,"w":"2026-01-02T03:04:05Z",' +
  '"d":{"n":2,"x":1.10,"s":"é","o":{"t":"u"}},"l":[1],"t":["x"],"r":[{"k":1,"v":"x"}],"m":[1.10]}';
const messages = fc
  .array(object(fields), { maxLength: 12 })
  .map((texts) => [
    FULL,
    ...texts.map((each, index) => each.replace('{', `{"id":${index + 1}${/^\{\s*\}/.test(each) ? '' : ','}`)),
  ]);

const SEED = 1;

const one = fc.constantFrom;
/** Templates with a hole for each `$`. */
const filled = (holes: fc.Arbitrary<string>, ...templates: string[]): fc.Arbitrary<string> =>
  fc.tuple(one(...templates), fc.array(holes, { minLength: 4, maxLength: 4 })).map(([template, values]) => {
    let next = 0;
    return template.replaceAll('$', () => values[next++ % 4]!);
  });
const integers = one('i', 'k', 'id', 'd.n', 'len(l)', 'l[1]', 'r[1].k', 'flow.k', '0', '7');
const numbers = fc.oneof(
  integers,
  one('f', 'd.x', 'h', '1.5', '0.1', '1e2', 'TRY_CAST(s AS DOUBLE)', 'TRY_CAST(s AS DECIMAL(9, 3))'),
);
const texts = one(
  's',
  'd.s',
  'd.o.t',
  't[1]',
  'r[1].v',
  "'x'",
  "'é'",
  "«d->>'s'»",
  "«d->>'n'»",
  "«d->>'x'»",
  "«d->'o'->>'t'»",
  "«r->0->>'v'»",
  '«t->>1»',
);
const number = fc.oneof(
  numbers,
  filled(
    numbers,
    'abs($)',
    'round($, 1)',
    'coalesce($, $)',
    'nullif($, $)',
    'greatest($, $)',
    'CASE WHEN $ > $ THEN $ ELSE $ END',
  ),
  filled(
    one('k', 'd.x', 'f', 'id', '2'),
    '$ + $',
    '$ - $',
    '$ * $',
    '$ / nullif($, 0)',
    '$ % nullif($, 0)',
    '-$',
    '$::FLOAT',
    'floor($)',
  ),
  filled(
    one(
      'list_sum(l)',
      'list_max(l)',
      'length(s)',
      'strlen(s)',
      'list_position(l, 1)',
      'json_array_length(«l»)',
      'sign(f)',
    ),
    '$',
  ),
  filled(
    one('s', "«d->>'x'»", "«d->>'n'»"),
    '$::DOUBLE',
    '$::DECIMAL(18, 4)',
    '$::INTEGER',
    'CAST($ AS BIGINT)',
  ),
  one(
    'f::DECIMAL(18, 4)',
    'd.x::DECIMAL(12, 2)',
    'k::TINYINT',
    'i::INTEGER',
    'k::DOUBLE',
    'k::DECIMAL(5, 2) * 1.10',
    'f::VARCHAR::DOUBLE',
  ),
);
const texted = fc.oneof(
  texts,
  filled(
    texts,
    'upper($)',
    'lower($)',
    "$ || '-'",
    'substr($, 2, 2)',
    'trim($)',
    "replace($, 'x', $)",
    'reverse($)',
    'concat($, $)',
    'left($, 1)',
    "coalesce($, 'none')",
  ),
  one(
    'i::VARCHAR',
    'h::VARCHAR',
    'b::VARCHAR',
    'k::VARCHAR',
    "CASE k WHEN 1 THEN 'one' WHEN 2 THEN s ELSE d.s END",
    "array_to_string(t, '|')",
  ),
);
const condition = fc.letrec<{ condition: string }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 2 },
    fc.oneof(
      filled(
        numbers,
        '$ > $',
        '$ <= $',
        '$ = $',
        '$ <> $',
        '$ BETWEEN $ AND $',
        '$ IN (1, 2, $)',
        '$ NOT IN (1, $)',
        '$ IS NOT NULL',
        '$ IS DISTINCT FROM $',
      ),
      filled(
        texts,
        '$ = $',
        '$ < $',
        "$ LIKE 'x%'",
        "$ LIKE '%_y'",
        "$ ILIKE 'A%'",
        "$ NOT LIKE '%é%'",
        "$ IN ('x', 'é', $)",
        '$ IS NULL',
        "starts_with($, 'x')",
        "regexp_matches($, '^[a-z]*\\d')",
        'contains($, $)',
      ),
      one(
        'b',
        'NOT b',
        'b IS TRUE',
        'b = false',
        "'x' IN t",
        'list_contains(l, 2)',
        '1 IN l',
        'len(t) > 1',
        'd IS NULL',
        'd.o IS NOT NULL',
        'k IN l',
        'list_contains(t, s)',
        'true',
        'id % 2 = 0',
      ),
    ),
    tie('condition').map((each) => `NOT (${each})`),
    fc
      .tuple(tie('condition'), one('AND', 'OR'), tie('condition'))
      .map(([a, word, b]) => `(${a}) ${word} (${b})`),
  ),
})).condition;
const passed = one(
  '‹i›',
  '‹h›',
  '‹f›',
  '‹s›',
  '‹b›',
  '‹d›',
  '‹l›',
  '‹t›',
  '‹r›',
  '‹m›',
  '‹d.n›',
  '‹d.x›',
  '‹d.o›',
  "«d->'x'»",
  "«d->>'x'»",
);
const computed = fc.oneof(
  number,
  texted,
  condition,
  one(
    'w::TIMESTAMP',
    'w::TIMESTAMPTZ',
    "date_trunc('hour', w::TIMESTAMP)",
    'w::DATE',
    'epoch_ms(w::TIMESTAMP)',
    'year(w::TIMESTAMP)',
  ),
  one(
    '[k, id]',
    "{'a': k, 'b': s}",
    'list_sort(l)',
    'list_transform(l, x -> x + 1)',
    '[x * 2 FOR x IN l]',
    'l || [9]',
    't[1:2]',
    'list_filter(t, x -> len(x) > 1)',
    'list_distinct(l)',
  ),
);
const named = (items: fc.Arbitrary<string>, most = 4): fc.Arbitrary<string> =>
  fc
    .array(items, { minLength: 1, maxLength: most })
    .map((each) => each.map((item, at) => `${item} AS c${at}`).join(', '));

interface Asked {
  readonly sql: string;
  /** Each row is made of one message, so that each message fails alone. */
  readonly isByRow: boolean;
  readonly isOrdered: boolean;
}
const asked = (sql: fc.Arbitrary<string>, isByRow: boolean, isOrdered: boolean): fc.Arbitrary<Asked> =>
  sql.map((each) => ({ sql: each, isByRow, isOrdered }));

const safe = fc.oneof(numbers, filled(one('k', 'd.x', 'f', 'id'), '$ + $', '$ * $'));
const keys = one(
  'k',
  's',
  'b',
  'd.n',
  'd.s',
  'i',
  'f',
  'h',
  "«d->>'s'»",
  'id % 3',
  'len(l)',
  'upper(s)',
  'k, b',
);
const aggregate = fc.oneof(
  filled(
    one('‹i›', '‹h›', '‹f›', '‹s›', '‹d›', '‹l›', '‹d.n›', '‹d.x›', '‹d.s›'),
    'list($ ORDER BY id)',
    'arg_max($, id)',
    'first($ ORDER BY id)',
    'any_value($ ORDER BY id DESC)',
    'arg_min($, id) FILTER (id > 1)',
  ),
  filled(
    safe,
    'min($)',
    'max($)',
    'count($)',
    'count(DISTINCT $)',
    'median($)',
    'list($ ORDER BY id)',
    'max($) - min($)',
  ),
  filled(
    one('k', 'id', 'd.n % 1000', 'h % 1000'),
    'sum($)',
    'avg($)',
    'bool_or($ > 2)',
    'count(*) FILTER ($ > 0)',
  ),
  filled(texts, 'min($)', 'max($)', "string_agg($, ',' ORDER BY id)", 'count(DISTINCT $)'),
  one(
    'count(*)',
    'count(d)',
    'max(w)',
    'max(w::TIMESTAMP)',
    'sum(len(t))',
    'sum(f::DECIMAL(18, 4))',
    'bool_and(b)',
    'sum(CASE WHEN b THEN 1 ELSE 0 END)',
  ),
);
const queries = fc.oneof(
  {
    weight: 4,
    arbitrary: asked(
      fc
        .tuple(named(fc.oneof(passed, computed)), condition)
        .map(([items, where]) => `SELECT ‹id› AS id, ${items} FROM flow WHERE ${where}`),
      true,
      true,
    ),
  },
  {
    weight: 1,
    arbitrary: asked(
      fc.tuple(named(passed), condition).map(([items, where]) => `SELECT ${items} FROM flow WHERE ${where}`),
      true,
      true,
    ),
  },
  {
    weight: 2,
    arbitrary: asked(
      fc
        .tuple(
          named(passed),
          fc.oneof(safe, texts),
          one('ASC', 'DESC'),
          one('', 'LIMIT 3', 'LIMIT 4 OFFSET 1'),
        )
        .map(
          ([items, by, way, limit]) =>
            `SELECT id, ${items} FROM flow ORDER BY ${by} ${way} NULLS LAST, id ${limit}`,
        ),
      false,
      true,
    ),
  },
  {
    weight: 4,
    arbitrary: asked(
      fc
        .tuple(keys, named(aggregate), condition, one('', 'HAVING count(*) > 1', 'HAVING max(id) > 2'))
        .map(
          ([key, items, where, having]) =>
            `SELECT ${key.includes(',') ? 'k AS k0, b AS k1' : `${key} AS k0`}, ${items} FROM flow WHERE ${where} GROUP BY ${key} ${having}`,
        ),
      false,
      false,
    ),
  },
  {
    weight: 1,
    arbitrary: asked(
      fc
        .tuple(named(aggregate), condition)
        .map(([items, where]) => `SELECT ${items} FROM flow WHERE ${where}`),
      false,
      true,
    ),
  },
  {
    weight: 1,
    arbitrary: asked(
      keys.map(
        (key) => `SELECT DISTINCT ${key.includes(',') ? 'k AS k0, b AS k1' : `${key} AS k0`} FROM flow`,
      ),
      false,
      false,
    ),
  },
  {
    weight: 2,
    arbitrary: asked(
      fc.oneof(
        fc
          .tuple(one('l', 't', 'r', 'list_sort(l)'), condition)
          .map(([each, where]) => `SELECT id, unnest(${each}) AS u FROM flow WHERE ${where}`),
        one(
          'SELECT u, count(*) AS n FROM (SELECT unnest(t) AS u FROM flow) GROUP BY u ORDER BY u NULLS FIRST',
          'SELECT id, u.k + 1 AS n, upper(u.v) AS v FROM (SELECT id, unnest(r) AS u FROM flow)',
          'SELECT flow.id, x.u FROM flow, unnest(flow.l) AS x(u) ORDER BY flow.id, x.u NULLS LAST',
        ),
      ),
      false,
      false,
    ),
  },
  {
    weight: 2,
    arbitrary: asked(
      fc.oneof(
        fc
          .tuple(
            one('lag', 'lead', 'first_value', 'last_value'),
            one('‹i›', '‹f›', '‹d.x›', 'k + 0', 'd.n % 9', 'f * 2', "s || ''", 'upper(d.s)'),
            one('', 'PARTITION BY b ', 'PARTITION BY k '),
          )
          .map(
            ([name, value, part]) =>
              `SELECT id, ${name}(${value}) OVER (${part}ORDER BY id) AS c0 FROM flow ORDER BY id`,
          ),
        fc
          .tuple(safe, condition)
          .map(
            ([by, where]) =>
              `SELECT id, row_number() OVER (ORDER BY ${by} NULLS LAST, id) AS n, sum(k) OVER (ORDER BY id) AS total FROM flow WHERE ${where} ORDER BY id`,
          ),
        fc
          .tuple(
            number.filter((each) => !each.includes('::') && !each.includes('CAST(')),
            condition,
          )
          .map(
            ([value, where]) =>
              `WITH x AS (SELECT id, ${value} AS v FROM flow WHERE ${where}) SELECT id, v, v IS NULL AS none FROM x ORDER BY id`,
          ),
        condition.map(
          (where) =>
            `SELECT id, k FROM flow WHERE ${where} UNION ALL SELECT id + 100, d.n % 100 FROM flow ORDER BY id`,
        ),
        one(
          'SELECT x.id, y.id AS other FROM flow x JOIN flow y ON x.k = y.k AND x.id < y.id ORDER BY ALL',
          'SELECT x.id, y.s FROM flow x LEFT JOIN flow y ON x.d.n = y.i ORDER BY ALL',
          'SELECT id FROM flow WHERE k = (SELECT max(k) FROM flow) ORDER BY id',
          'SELECT id FROM flow WHERE s IN (SELECT d.s FROM flow) ORDER BY id',
        ),
      ),
      false,
      true,
    ),
  },
);

interface Answer {
  readonly ours: string;
  readonly rows: readonly string[];
  /** Places of the rejected messages. */
  readonly rejected: readonly number[];
  readonly reasons: readonly string[];
}

/** A query that is wrong, whatever the messages are, rejects all of them. */
async function answer(sql: string, sent: readonly string[]): Promise<Answer> {
  let query: Opened;
  try {
    query = await open(sql);
  } catch (error) {
    return { ours: sql, rows: [], rejected: [...sent.keys()], reasons: [String(error)] };
  }
  const { rows, rejected: reasons } = await query.run(...sent);
  await query.query.close();
  return { ours: sql, rows, rejected: reasons.map((each) => Number(each.split(':')[0])), reasons };
}

testWith('Python’s duckdb')(
  'queries over generated messages have the rows of Python’s DuckDB, value by value',
  async () => {
    // The same each time; as many others as you ask for.
    const asked = process.env['MILLRACE_TEST_QUERIES'];
    const cases = fc.sample(
      fc.tuple(queries, messages),
      asked === undefined ? { numRuns: 60, seed: SEED } : { numRuns: Number(asked) },
    );
    const lines: string[] = [];
    for (const [{ sql, isByRow, isOrdered }, sent] of cases) {
      lines.push(
        JSON.stringify({
          sql: theirs(sql),
          isByRow,
          isOrdered,
          messages: sent,
          ...(await answer(ours(sql), sent)),
        }),
      );
    }
    const program = join(import.meta.dirname, 'duckdb-peer.py');
    const { stdout, stderr } = spawnSync(requireDuckDB(), ['-I', program], {
      input: lines.join('\n'),
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    });
    expect(stderr).toBe('');
    expect(
      stdout
        .split('\n')
        .filter(Boolean)
        .map((line): unknown => JSON.parse(line)),
    ).toEqual([]);
  },
  600_000,
);

import { variadic, type Overloads, type Subject } from './subject.ts';

/** The longest path that a function of JSON takes. */
const DEEPEST = 8;

/** A step into JSON: a text is the name of a member, an integer the place of an element from 0. */
const step = (json: string, key: string): string =>
  `json_extract(${json}, CASE WHEN typeof(${key}) = 'VARCHAR' THEN '$."' || replace(${key}::VARCHAR, '"', '\\"') || '"' WHEN starts_with(${key}::VARCHAR, '-') THEN NULL ELSE '$[' || ${key}::VARCHAR || ']' END)`;

/** Reads the value at a path; the first argument is text that is JSON, or JSON. Text that is not JSON has no values. */
const at = (least: number, read: (value: string) => string): Overloads =>
  variadic(least, DEEPEST + 1, ([json, ...keys]) =>
    read(keys.reduce(step, `CASE WHEN json_valid(${json!}) THEN ${json!}::JSON END`)),
  );

const ofType = (types: string, read: (value: string) => string): Overloads =>
  at(1, (value) => `CASE WHEN json_type(${value}) IN (${types}) THEN ${read(value)} END`);

/** A value of some types of JSON, or of a string that reads like one. */
const scalar = (types: string, pattern: string, type: string): Overloads =>
  at(
    1,
    (value) =>
      `CASE WHEN json_type(${value}) IN (${types}) OR json_type(${value}) = 'VARCHAR' AND regexp_full_match(${value}->>'$', '${pattern}') THEN TRY_CAST(${value}->>'$' AS ${type}) END`,
  );

export const json: Subject = {
  title: 'JSON',
  own: '',
  macros: {
    json_get: at(2, (value) => value),
    json_get_str: ofType(`'VARCHAR'`, (value) => `${value}->>'$'`),
    json_get_int: scalar(`'BIGINT', 'UBIGINT'`, '[+-]?[0-9]+', 'BIGINT'),
    json_get_float: scalar(
      `'BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE'`,
      String.raw`[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?`,
      'DOUBLE',
    ),
    json_get_bool: scalar(`'BOOLEAN'`, 'true|false', 'BOOLEAN'),
    json_get_json: at(1, (value) => `CAST(${value} AS VARCHAR)`),
    json_get_array: ofType(`'ARRAY'`, (value) => `CAST(${value} AS JSON[])`),
    json_as_text: at(1, (value) => `${value}->>'$'`),
    json_length: at(
      1,
      (value) =>
        `CASE json_type(${value}) WHEN 'ARRAY' THEN json_array_length(${value}) WHEN 'OBJECT' THEN len(json_keys(${value})) END`,
    ),
    json_object_keys: ofType(`'OBJECT'`, (value) => `json_keys(${value})`),
    json_from_scalar: { x: 'to_json(x)' },
  },
  differs: {
    'json_get_json json_as_text':
      'A number in the result is spelt as DuckDB spells it: `4.2e-1` becomes `0.42`.',
    json_contains:
      "It asks whether JSON contains another JSON value. For a member, write `json_exists(d, '$.name')`.",
  },
  missing: {},
};

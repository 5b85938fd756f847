import { variadic, type Overloads, type Subject } from './subject.ts';

/** The most elements that `make_array`, and fields that `struct`, take. */
const MOST = 32;

/** The names with `array_` and with `list_`. */
const both = (...names: readonly string[]): string =>
  names.flatMap((name) => [`array_${name}`, `list_${name}`]).join(' ');

const same = (one: string, other: string): string => `${one} IS NOT DISTINCT FROM ${other}`;

/** How many elements of the list up to the one at `__i` equal `x`. */
const seen = `len(list_filter(a[:__i], lambda __y: ${same('__y', 'x')}))`;

/** Keeps or changes the elements that equal `x`, the first `n` of them. */
const without = (n?: string): string => {
  const removed = n === undefined ? same('__e', 'x') : `(${same('__e', 'x')}) AND ${seen} <= ${n}`;
  return `list_filter(a, lambda __e, __i: NOT (${removed}))`;
};
const replaced = (n?: string): string => {
  const matches = n === undefined ? same('__e', 'x') : `(${same('__e', 'x')}) AND ${seen} <= ${n}`;
  return `list_transform(a, lambda __e, __i: CASE WHEN ${matches} THEN y ELSE __e END)`;
};

/** The elements of a list that `keep` names, each once, in the order in which they come first. */
const distinct = (list: string, keep = 'true'): string =>
  `list_filter(${list}, lambda __e, __i: ${keep} AND list_position(${list}, __e) = __i)`;

/** The place of an element, from a place on. */
const indexed = (...names: readonly string[]): Record<string, Overloads> =>
  Object.fromEntries(
    names.map((name) => [
      name,
      {
        'a, x': `system.main.${name}(a, x)`,
        'a, x, i': 'list_position(a[i:], x) + i - 1',
      },
    ]),
  );

const joined =
  '(system.main.array_to_string(list_transform(a, lambda __e: coalesce(__e::VARCHAR, absent)), d))';

const dimensions = String.raw`length(regexp_extract(typeof(a), '(\[\])*$')) // 2`;

export const lists: Subject = {
  title: 'Lists',
  own: 'array_append array_cat array_concat array_contains array_extract array_has array_has_all array_has_any array_intersect array_pop_back array_pop_front array_prepend array_push_back array_resize array_reverse array_slice flatten generate_series list_any_value list_append list_cat list_concat list_contains list_distance list_element list_extract list_has list_has_all list_has_any list_intersect list_max list_prepend list_resize list_reverse list_slice range unnest',
  macros: {
    array_any_value: { a: 'list_any_value(a)' },
    [both('dims')]: {
      a: `list_transform(range(${dimensions}), lambda __i: json_array_length(to_json(a), '$' || repeat('[0]', __i)))`,
    },
    ...indexed('array_position', 'list_position', 'array_indexof', 'list_indexof'),
    array_to_string: {
      'a, d': 'system.main.array_to_string(a, d)',
      'a, d, absent': joined,
    },
    array_element: { 'a, i': 'list_extract(a, i)' },
    'array_empty list_empty empty': { a: 'len(a) = 0' },
    [both('except')]: { 'a, b': distinct('a', 'list_position(b, __e) IS NULL') },
    'array_join list_join list_to_string': {
      'a, d': 'array_to_string(a, d)',
      'a, d, absent': joined,
    },
    list_length: { a: 'len(a)' },
    array_max: { a: 'list_max(a)' },
    array_min: { a: 'list_min(a)' },
    [both('ndims')]: { a: `CASE WHEN a IS NULL THEN NULL ELSE ${dimensions} END` },
    list_pop_back: { a: 'array_pop_back(a)' },
    list_pop_front: { a: 'array_pop_front(a)' },
    list_push_back: { 'a, x': 'list_append(a, x)' },
    list_push_front: { 'x, a': 'list_prepend(x, a)' },
    [both('positions')]: {
      'a, x': `list_filter(range(1, len(a) + 1), lambda __i: ${same('a[__i]', 'x')})`,
    },
    [both('remove')]: { 'a, x': without('1') },
    [both('remove_n')]: { 'a, x, n': without('n') },
    [both('remove_all')]: { 'a, x': without() },
    [both('repeat')]: { 'x, n': 'list_transform(range(n), lambda __i: x)' },
    [both('replace')]: { 'a, x, y': replaced('1') },
    [both('replace_n')]: { 'a, x, y, n': replaced('n') },
    [both('replace_all')]: { 'a, x, y': replaced() },
    [both('union')]: {
      'a, b': `CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE ${distinct('list_concat(a, b)')} END`,
    },
    arrays_overlap: { 'a, b': 'list_has_any(a, b)' },
    'make_array make_list': variadic(0, MOST, (names) => `[${names.join(', ')}]`),
    string_to_array: {
      's, d': 'system.main.string_to_array(s, d)',
      's, d, absent': 'list_transform(system.main.string_to_array(s, d), lambda __e: nullif(__e, absent))',
    },
    string_to_list: {
      's, d': 'string_to_array(s, d)',
      's, d, absent': 'list_transform(string_to_array(s, d), lambda __e: nullif(__e, absent))',
    },
  },
  differs: {
    array_distance: 'It is for arrays of a fixed size; for lists, write `list_distance`.',
    array_length: 'It counts the first dimension only.',
    'string_to_array, string_to_list': 'With an empty separator, each character is an element.',
    'array_distinct list_distinct': 'The order of the result is not that of the list, and NULL is left out.',
    array_push_front: 'The list comes first: `array_push_front(list, element)`.',
    'array_sort list_sort': "NULL comes last unless you say otherwise: `list_sort(l, 'ASC', 'NULLS FIRST')`.",
    cardinality: 'It is for maps; for a list, write `len(l)`.',
  },
  missing: {},
};

export const structures: Subject = {
  title: 'Structs, maps and unions',
  own: 'element_at map map_entries map_extract map_keys map_values union_extract union_tag',
  macros: {
    get_field: variadic(2, 5, ([first, ...keys]) =>
      keys.reduce((value, key) => `(${value})[${key}]`, first!),
    ),
    struct: variadic(
      1,
      MOST,
      (names) => `{${names.map((name, index) => `'c${index}': ${name}`).join(', ')}}`,
    ),
  },
  differs: {
    row: 'Its fields have no names; for DataFusion they are `c0`, `c1` and so on, as with `struct`.',
  },
  missing: {
    named_struct: "`{'name': value}`",
    arrow_cast: '`CAST(x AS BIGINT)`',
    arrow_typeof: '`typeof(x)`, which gives DuckDB’s name of the type',
  },
};

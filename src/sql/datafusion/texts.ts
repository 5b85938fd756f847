import type { Subject } from './subject.ts';

const words = String.raw`regexp_extract_all(s, '[\p{L}\p{N}]+|[^\p{L}\p{N}]+')`;

/** A pattern with flags, as RE2 and DataFusion write them inside it. */
const flagged = (pattern: string): string =>
  `CASE WHEN flags IS NULL OR flags = '' THEN ${pattern} ELSE '(?' || flags || ')' || ${pattern} END`;

const found = (text: string, pattern: string): string => `len(regexp_extract_all(${text}, ${pattern}))`;

export const texts: Subject = {
  title: 'Text',
  own: 'ascii bit_length char_length character_length chr concat concat_ws contains ends_with left length levenshtein lower ltrim position repeat replace reverse right rtrim starts_with translate trim uuid',
  macros: {
    btrim: { s: 'trim(s)', 's, chars': 'trim(s, chars)' },
    find_in_set: {
      's, set': `CASE WHEN s IS NULL OR set IS NULL THEN NULL ELSE coalesce(list_position(string_split(set, ','), s), 0) END`,
    },
    initcap: {
      s: `CASE WHEN s IS NULL THEN NULL ELSE array_to_string(list_transform(${words}, lambda __w: upper(left(__w, 1)) || lower(substr(__w, 2))), '') END`,
    },
    lpad: { 's, n': `(system.main.lpad(s, n, ' '))`, 's, n, fill': 'system.main.lpad(s, n, fill)' },
    rpad: { 's, n': `(system.main.rpad(s, n, ' '))`, 's, n, fill': 'system.main.rpad(s, n, fill)' },
    octet_length: {
      x: `CASE typeof(x) WHEN 'BLOB' THEN system.main.octet_length(x::BLOB) WHEN 'BIT' THEN system.main.octet_length(x::VARCHAR::BIT) ELSE strlen(x::VARCHAR) END`,
    },
    'substr_index substring_index': {
      's, part, n': `CASE WHEN n = 0 OR part = '' THEN '' WHEN n > 0 THEN array_to_string(string_split(s, part)[:n], part) ELSE array_to_string(string_split(s, part)[n:], part) END`,
    },
  },
  differs: {
    'strpos instr': 'The place of an empty text is 0 instead of 1.',
    split_part: 'Part 0 is an empty text instead of an error.',
    to_hex: 'Its digits are capital letters: `lower(to_hex(x))`.',
    upper: '`ß` becomes `ẞ` instead of `SS`.',
    'substr substring':
      'A position below 1 counts from the end; for DataFusion, the text begins at 1 and nothing is before it.',
  },
  missing: {
    overlay: '`left(s, at - 1) || part || substr(s, at + n)`; DuckDB does not parse `overlay(…)`',
  },
};

export const bytes: Subject = {
  title: 'Bytes as text',
  own: '',
  macros: {
    encode: {
      x: 'system.main.encode(x)',
      'x, format': `CASE lower(format) WHEN 'base64' THEN rtrim(to_base64(unhex(hex(x))), '=') WHEN 'hex' THEN lower(hex(x)) ELSE error('encode: ' || format || ' is not available; expected base64 or hex') END`,
    },
    decode: {
      x: 'system.main.decode(x)',
      'x, format': `CASE lower(format) WHEN 'base64' THEN from_base64(x || repeat('=', (4 - length(x) % 4) % 4)) WHEN 'hex' THEN unhex(x) ELSE error('decode: ' || format || ' is not available; expected base64 or hex') END`,
    },
  },
  differs: {},
  missing: {},
};

export const patterns: Subject = {
  title: 'Regular expressions',
  own: '',
  macros: {
    regexp_like: {
      's, pattern': 'regexp_matches(s, pattern)',
      's, pattern, flags': `regexp_matches(s, ${flagged('pattern')})`,
    },
    regexp_count: {
      's, pattern': found('s', 'pattern'),
      's, pattern, start': found('substr(s, start)', 'pattern'),
      's, pattern, start, flags': found('substr(s, start)', flagged('pattern')),
    },
  },
  differs: {
    regexp_replace:
      'A group in the replacement is `\\1`; for DataFusion it is `\\\\1` or `${1}`. Of the flags, `g` and `i` mean the same.',
  },
  missing: {
    regexp_match:
      '`regexp_extract(s, pattern)` for the match, `regexp_extract(s, pattern, 1)` for a group, `regexp_extract_all` for all matches',
    regexp_instr: '`strpos(s, regexp_extract(s, pattern))`, if the match is not empty',
  },
};

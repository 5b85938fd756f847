/** A LIKE pattern as a regular expression: `%` matches anything, `_` one character. */
const asRegex = (pattern: string): string =>
  String.raw`replace(replace(regexp_replace(${pattern}, '([\\^$.|?*+()\[\]{}])', '\\\1', 'g'), '%', '.*'), '_', '.')`;

/**
 * Patterns for "begins with", "ends with", "contains" and "equals": DuckDB searches for these as fast as it can read.
 */
const SIMPLE = '%?[^%_]*%?';

const like = (operator: string, not: string): string => `
CREATE MACRO "${operator}"(s, p) AS CASE
  WHEN regexp_full_match(p, '${SIMPLE}', 's') THEN system.main."${operator}"(s, p)
  ELSE ${not} regexp_full_match(s, ${asRegex('p')}, 's') END`;

const ilike = (operator: string, not: string): string => `
CREATE MACRO "${operator}"(s, p) AS ${not} regexp_full_match(lower(s), ${asRegex('lower(p)')}, 's')`;

/**
 * LIKE and ILIKE for every connection of a database, under the operators' own names. DuckDB tries each place of a text
 * for each `%` of such a pattern, and cannot be interrupted meanwhile: `ILIKE '%a%b%'` takes minutes for one message of
 * a megabyte, and a pattern in a message can end the process. A regular expression (RE2) takes time in proportion to
 * the text, and refuses a pattern that is too large.
 */
export const LIKE_MACROS = [like('~~', ''), like('!~~', 'NOT'), ilike('~~*', ''), ilike('!~~*', 'NOT')].join(
  ';',
);

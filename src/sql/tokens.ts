/** A token of SQL: its place in the text, from `start` up to and not including `end`. */
export interface Token {
  readonly kind: 'word' | 'quoted' | 'string' | 'number' | 'symbol';
  readonly start: number;
  readonly end: number;
  /** As written; for a quoted name or a string, the text that it stands for. */
  readonly text: string;
}

const NEVER = /[^]/y;
const COMMENT = /--[^\n]*|\s+/y;
const WORD = /[\p{L}_\u{80}-\u{10ffff}][\p{L}\p{N}_$\u{80}-\u{10ffff}]*/uy;
const NUMBER = /\d[\d_]*(?:\.(?!\.)\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?/y;
const STRING = /'(?:[^']|'')*'/y;
const ESCAPED_STRING = /[eE]'(?:[^'\\]|\\[^]|'')*'/y;
const DOLLAR_STRING = /\$(?<tag>(?:[\p{L}_][\p{L}\p{N}_]*)?)\$[^]*?\$\k<tag>\$/uy;
const QUOTED = /"(?:[^"]|"")*"/y;
const OPERATOR = /[~!@#^&|`?+\-*/%<>=]+|::|:=|[^]/y;

/** The tokens of a query, without comments. A text that is no SQL gives some tokens too. */
export function tokensOf(sql: string): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < sql.length;) {
    const start = at;
    const take = (pattern: RegExp): string | undefined => {
      pattern.lastIndex = start;
      return pattern.exec(sql)?.[0];
    };
    const add = (kind: Token['kind'], written: string, text = written): void => {
      at = start + written.length;
      tokens.push({ kind, start, end: at, text });
    };
    const skipped = take(COMMENT);
    if (skipped !== undefined) {
      at += skipped.length;
      continue;
    }
    if (sql.startsWith('/*', at)) {
      at = endOfComment(sql, at);
      continue;
    }
    const string = take(STRING);
    const escaped = string ?? take(ESCAPED_STRING) ?? take(DOLLAR_STRING);
    const quoted = take(QUOTED);
    const number = take(NUMBER);
    const word = take(WORD);
    if (string !== undefined) add('string', string, string.slice(1, -1).replaceAll("''", "'"));
    else if (escaped !== undefined) add('string', escaped);
    else if (quoted !== undefined) add('quoted', quoted, quoted.slice(1, -1).replaceAll('""', '"'));
    else if (number !== undefined) add('number', number);
    else if (word !== undefined) add('word', word);
    else add('symbol', operatorIn(take(OPERATOR) ?? take(NEVER)!));
  }
  return tokens;
}

/** Comments may hold comments. */
function endOfComment(sql: string, start: number): number {
  let depth = 0;
  for (let at = start; at < sql.length; at++) {
    if (sql.startsWith('/*', at)) {
      depth++;
      at++;
    } else if (sql.startsWith('*/', at)) {
      at++;
      if (--depth === 0) return at + 1;
    }
  }
  return sql.length;
}

/** The first operator of a row of its characters: a comment may follow, and a sign. */
function operatorIn(written: string): string {
  const comment = /--|\/\*/.exec(written);
  const text = comment === null || comment.index === 0 ? written : written.slice(0, comment.index);
  // As PostgreSQL reads it: an operator ends with a sign only if it has one of these.
  return text.length > 1 && !/[~!@#%^&|`?]/.test(text) ? text.replace(/(?<=[^])[+-]+$/, '') : text;
}

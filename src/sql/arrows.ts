import { edit, type Edit, type Edited } from './edits.ts';
import { tokensOf, type Token } from './tokens.ts';

/** Words after which an operand begins, or which are none: all others may be names. */
const KEYWORDS = new Set(
  `all and any as asc between by case collate cross desc distinct else except excluding exists fetch filter
   from full group having ilike in inner intersect is isnull join left like limit natural not notnull offset on
   or order outer over partition positional qualify right sample select semi similar table tablesample then to
   union using values when where window with within asof anti escape glob lateral recursive materialized nulls
   first last return returning into set rows range groups exclude replace rename`.split(/\s+/),
);

/** The functions whose arguments may be lambdas, which have an arrow too: `list_transform(l, x -> x + 1)`. */
const LAMBDA_FUNCTION = /^(?:list_|array_)?(?:transform|apply|filter|reduce)$/i;

const OPENING = new Set(['(', '[', '{']);
const CLOSING = new Set([')', ']', '}']);

/** A pair of brackets, or the query as a whole. */
interface Level {
  /** The token at which the operand begins that ends before the current token; undefined if none does. */
  operand: number | undefined;
  /** An operand that goes on after an arrow's right side: it ends before the token `at`. */
  resumed: { readonly at: number; readonly operand: number } | undefined;
  /** The token at which the level's operand begins that has these brackets. */
  readonly before: number | undefined;
  /** The number of commas, if it is the arguments of a function that takes lambdas. */
  argument: number | undefined;
  /** The token at which the current argument begins. */
  start: number;
  /** The operands before each `CASE`. */
  readonly cases: number[];
}

/**
 * Puts JSON's arrows and their sides into parentheses. DuckDB binds an arrow more loosely than `=` and AND: without
 * them, `id > 0 AND d->>'a' = 'x'` is `(id > 0 AND d) ->> ('a' = 'x')`. Arrows of lambdas stay as they are.
 */
export function bindArrows(query: Edited): Edited {
  const { text: sql } = query;
  if (!sql.includes('->')) return query;
  const tokens = tokensOf(sql);
  const opens: Edit[] = [];
  const closes: Edit[] = [];
  const levels: Level[] = [level(undefined, undefined, 0)];
  for (const [at, token] of tokens.entries()) {
    const current = levels.at(-1)!;
    if (current.resumed?.at === at) {
      current.operand = current.resumed.operand;
      current.resumed = undefined;
    }
    if (isArrow(token)) {
      const { operand } = current;
      if (operand === undefined || isLambda(tokens, at, current)) {
        current.operand = undefined;
        continue;
      }
      const end = endOfOperand(tokens, at + 1);
      if (end === undefined) continue;
      const from = tokens[operand]!.start;
      const to = tokens[end - 1]!.end;
      opens.push({ start: from, end: from, text: '(' });
      closes.push({ start: to, end: to, text: ')' });
      current.operand = undefined;
      current.resumed = { at: end, operand };
    } else follow(tokens, at, levels);
  }
  // Of two parentheses that close at one place the inner is first, and so is each that closes before one opens.
  return edit(query, [...closes, ...opens]);
}

function level(before: number | undefined, argument: number | undefined, start: number): Level {
  return { operand: undefined, resumed: undefined, before, argument, start, cases: [] };
}

function isArrow({ kind, text }: Token): boolean {
  return kind === 'symbol' && (text === '->' || text === '->>');
}

function isLambda(tokens: readonly Token[], at: number, { argument, operand, start }: Level): boolean {
  if (tokens[at]!.text !== '->' || argument === undefined || argument === 0 || operand !== start)
    return false;
  const first = tokens[operand]!;
  return first.text === '(' || (at === operand + 1 && (first.kind === 'word' || first.kind === 'quoted'));
}

/** Notes where operands begin and end. */
function follow(tokens: readonly Token[], at: number, levels: Level[]): void {
  const current = levels.at(-1)!;
  const token = tokens[at]!;
  const { kind, text } = token;
  const before = tokens[at - 1];
  const goesOn = current.operand !== undefined && before !== undefined && joins(before, token);
  if (kind === 'symbol') {
    if (OPENING.has(text)) {
      const isCall = text === '(' && isName(before) && current.operand !== undefined;
      const continues = current.operand !== undefined && (text === '[' || isCall || goesOn);
      if (!continues) current.operand = at;
      const takesLambdas = isCall && LAMBDA_FUNCTION.test(before!.text);
      levels.push(level(current.operand, takesLambdas ? 0 : undefined, at + 1));
    } else if (CLOSING.has(text)) {
      if (levels.length === 1) return;
      const { before: operand } = levels.pop()!;
      levels.at(-1)!.operand = operand;
    } else if (text !== '.' && text !== '::') {
      current.operand = undefined;
      if (text === ',') {
        if (current.argument !== undefined) current.argument++;
        current.start = at + 1;
      }
    }
  } else if (goesOn) return;
  else if (kind === 'word') {
    const word = text.toLowerCase();
    if (word === 'case') current.cases.push(at);
    const isEnd = word === 'end' && current.cases.length > 0;
    if (isEnd) current.operand = current.cases.pop();
    else current.operand = KEYWORDS.has(word) ? undefined : at;
  } else current.operand = at;
}

/** True if an operand goes on from one token to the next: `a.b`, `a::JSON`, `JSON '{}'`. */
function joins(before: Token, token: Token): boolean {
  const isSymbol = before.kind === 'symbol';
  if (isSymbol) return before.text === '.' || before.text === '::';
  return token.kind === 'string' && before.kind === 'word';
}

function isName(token: Token | undefined): boolean {
  return (
    token !== undefined &&
    (token.kind === 'quoted' || (token.kind === 'word' && !KEYWORDS.has(token.text.toLowerCase())))
  );
}

/** The token after an arrow's right side, which begins at `start`; undefined if there is none. */
function endOfOperand(tokens: readonly Token[], start: number): number | undefined {
  const first = tokens[start];
  if (first === undefined) return undefined;
  if (first.kind === 'string' || first.kind === 'number') return start + 1;
  if (first.text === '-' && tokens[start + 1]?.kind === 'number') return start + 2;
  let at = isName(first) ? start + 1 : undefined;
  if (first.kind === 'symbol' && OPENING.has(first.text)) at = afterBrackets(tokens, start);
  while (at !== undefined && at < tokens.length) {
    const { kind, text } = tokens[at]!;
    if (kind !== 'symbol') break;
    if (text === '.' && tokens[at + 1] !== undefined) at += 2;
    else if (text === '[' || (text === '(' && isName(tokens[at - 1]))) at = afterBrackets(tokens, at);
    else break;
  }
  return at;
}

function afterBrackets(tokens: readonly Token[], start: number): number | undefined {
  let depth = 0;
  for (let at = start; at < tokens.length; at++) {
    const { kind, text } = tokens[at]!;
    if (kind !== 'symbol') continue;
    if (OPENING.has(text)) depth++;
    else if (CLOSING.has(text) && --depth === 0) return at + 1;
  }
  return undefined;
}

import { fold, identifier } from './database.ts';
import { edit, type Edit, type Edited } from './edits.ts';
import type { Node } from './syntax-node.ts';
import { tokensOf, type Token } from './tokens.ts';

const VALUE = '__value__';

/** The name of the macro below. */
const VALUE_TEXT = '__text__';

/**
 * The text of bytes, which must be UTF-8, of a string in JSON, or of any other value. DuckDB's own cast of bytes writes
 * `\xC3` for those beyond ASCII.
 */
export const VALUE_TEXT_MACRO = `CREATE OR REPLACE MACRO ${VALUE_TEXT}(v BLOB) AS decode(v), (v) AS
  CASE WHEN typeof(v) = 'JSON' AND json_type(CAST(v AS VARCHAR)) = 'VARCHAR' THEN CAST(v AS VARCHAR)::JSON->>'$'
  ELSE CAST(v AS VARCHAR) END`;

/** A cast to text, and the select list's item that it is, if it has no name. */
interface Cast {
  readonly node: Node;
  readonly isUnnamedItem: boolean;
}

/**
 * Makes each `CAST(__value__ AS VARCHAR)`, also with the type’s other names and with `::`, the text of the message, by the
 * macro above. `tree` is the query as DuckDB parsed it.
 */
export function readValueAsText(query: Edited, tree: unknown): Edited {
  const casts = castsIn(tree);
  if (casts.length === 0) return query;
  const tokens = tokensOf(query.text);
  // DuckDB counts bytes.
  const starts = new Map(
    tokens.map(({ start }, at) => [Buffer.byteLength(query.text.slice(0, start)), at] as const),
  );
  const edits = casts.flatMap(({ node, isUnnamedItem }) => {
    const column = node['child'] as Node;
    const first = starts.get(Number(column['query_location']));
    if (first === undefined) return [];
    const last = endOfName(tokens, first);
    const [open, close] = node['try_cast'] === true ? [`TRY(${VALUE_TEXT}(`, '))'] : [`${VALUE_TEXT}(`, ')'];
    const wrapped: Edit[] = [at(tokens[first]!.start, open), at(tokens[last]!.end, close)];
    if (!isUnnamedItem) return wrapped;
    const name = `${node['try_cast'] === true ? 'TRY_CAST' : 'CAST'}(${namesOf(column).join('.')} AS VARCHAR)`;
    const place = starts.get(Number(node['query_location']));
    const end = place === undefined ? undefined : endOfCast(tokens, place);
    return end === undefined ? wrapped : [...wrapped, at(tokens[end]!.end, ` AS ${identifier(name)}`)];
  });
  return edit(query, edits);
}

function at(place: number, text: string): Edit {
  return { start: place, end: place, text };
}

function castsIn(tree: unknown): Cast[] {
  const found: Cast[] = [];
  const items = new Set<unknown>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if (Array.isArray(value)) return value.forEach(visit);
    const node = value as Node;
    const list = node['select_list'];
    if (Array.isArray(list)) for (const item of list) items.add(item);
    if (isCastOfValue(node)) found.push({ node, isUnnamedItem: items.has(node) && node['alias'] === '' });
    Object.values(node).forEach(visit);
  };
  visit(tree);
  return found;
}

function isCastOfValue({ class: kind, cast_type: type, child }: Node): boolean {
  return (
    kind === 'CAST' &&
    (type as Node)['id'] === 'VARCHAR' &&
    (child as Node)['class'] === 'COLUMN_REF' &&
    fold(namesOf(child as Node).at(-1) ?? '') === VALUE
  );
}

function namesOf(column: Node): string[] {
  return (column['column_names'] as readonly unknown[]).map(String);
}

/** The last token of the name that begins at `first`: `flow.__value__`. */
function endOfName(tokens: readonly Token[], first: number): number {
  let last = first;
  while (tokens[last + 1]?.text === '.') last += 2;
  return last;
}

/** The last token of a cast: `place` is its word `CAST`, or its `::`. */
function endOfCast(tokens: readonly Token[], place: number): number | undefined {
  if (tokens[place]!.text === '::') return place + 1;
  let depth = 0;
  for (let each = place + 1; each < tokens.length; each++) {
    const { kind, text } = tokens[each]!;
    if (kind !== 'symbol') continue;
    if (text === '(') depth++;
    else if (text === ')' && --depth === 0) return each;
  }
  return undefined;
}

import { MillraceError } from '../errors.ts';
import { placeAt } from './edits.ts';
import { tokensOf } from './tokens.ts';

/** Remarks on the columns, and the paths into them, that a query names and no message has had. */
export function unseenRemarks(query: string, names: readonly string[]): MillraceError[] {
  const tokens = tokensOf(query).filter(({ kind }) => kind === 'word' || kind === 'quoted');
  return names.map((name) => {
    const last = /[^.[\]"]+(?="?\]?$)/.exec(name)?.[0] ?? name;
    const token = tokens.find(({ text }) => text === name) ?? tokens.find(({ text }) => text === last);
    const hint =
      token?.kind === 'quoted'
        ? `; a text stands in single quotes: '${token.text.replaceAll("'", "''")}'`
        : '';
    const { line, column } = token === undefined ? {} : placeAt(query, token.start);
    const place = line === undefined ? '' : ` (line ${line}, column ${column} of the query)`;
    const message = `the query names ${name}, and no message has it${hint}${place}`;
    return new MillraceError('MILLRACE_CONFIG_INVALID', message, { field: 'query' });
  });
}

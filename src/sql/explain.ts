import { errorMessage } from '../errors.ts';
import type { Place } from './edits.ts';

/** How a statement of ours holds the user's query: the lines before it, and the way to places in it as it was written. */
export interface Within {
  readonly linesBefore: number;
  /** The query as it is in the statement. */
  readonly text: string;
  readonly original: (place: Place) => Place;
  /** The number of the user's statement, if his query has several and this is not the last. */
  readonly statement?: number;
}

/** DuckDB shows only a part of a long line, between these. */
const CUT = '...';

/**
 * DuckDB's error message without its list of alternatives, and with the place in the user's query. Without `within`, no
 * query of a user is part of the statement.
 */
export function explain(error: unknown, within?: Within): string {
  const whole = error instanceof Error ? error.message : String(error);
  const marker = /\n+LINE (\d+): (.*)\n( *)\^/.exec(whole);
  const said = marker === null ? whole : whole.slice(0, marker.index);
  const message = errorMessage(
    said
      .replace(/\s+(Candidate functions|Possible examples|Candidate bindings).*/s, '')
      // The user never meant one of DuckDB's own tables.
      .replace(/\s+Did you mean "pg_\w+"\?/, ''),
  );
  if (marker === null || within === undefined) return message;
  const [, number, shown, before] = marker;
  const line = Number(number) - within.linesBefore;
  if (line < 1) return message;
  const marked = before!.length - `LINE ${number}: `.length;
  const written = within.text.split('\n')[line - 1] ?? '';
  const part = shown!.startsWith(CUT) ? shown!.slice(CUT.length) : shown!;
  const start = written.indexOf(part.endsWith(CUT) ? part.slice(0, -CUT.length) : part);
  const at = part === shown ? marked : start + marked - CUT.length;
  const isFound = start >= 0 || part === shown;
  const place = within.original({ line, column: isFound ? at + 1 : 1 });
  const inLine = isFound ? `, column ${place.column}` : '';
  return `${message} (line ${place.line}${inLine} of the query)`;
}

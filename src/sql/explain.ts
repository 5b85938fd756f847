import { errorMessage } from '../errors.ts';

/**
 * DuckDB's error message without its list of alternatives, and with the place in the user's query, which `linesBefore`
 * lines of SQL precede.
 */
export function explain(error: unknown, linesBefore: number): string {
  const whole = error instanceof Error ? error.message : String(error);
  const place = /\n+LINE (\d+): (.*)\n( *)\^/.exec(whole);
  const said = place === null ? whole : whole.slice(0, place.index);
  const message = errorMessage(
    said
      .replace(/\s+(Candidate functions|Possible examples|Candidate bindings).*/s, '')
      // The user never meant one of DuckDB's own tables.
      .replace(/\s+Did you mean "pg_\w+"\?/, ''),
  );
  const line = Number(place?.[1]) - linesBefore;
  if (place === null || line < 1) return message;
  // DuckDB shows only part of a long line, beginning with dots, and so the column is lost.
  const column = place[3]!.length - `LINE ${place[1]}: `.length + 1;
  return `${message} (line ${line}${place[2]!.startsWith('...') ? '' : `, column ${column}`} of the query)`;
}

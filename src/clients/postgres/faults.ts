/** The code of the server's answer (https://www.postgresql.org/docs/current/errcodes-appendix.html), if it is one. */
function codeOf(error: unknown): string | undefined {
  const { code } = error as { readonly code?: unknown };
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !/^E[A-Z]{4}$/.test(code)
    ? code
    : undefined;
}

/** Connection exceptions, operator intervention, too many connections, and a server that has become a standby. */
const AWAY = /^(?:08|57P|53300|25006)/;

/** Data exceptions, constraints, what triggers raise, and values that are too large or of a wrong type. */
const OF_ROWS = /^(?:21|22|23|44|54|P0|428C9|42804)/;

const NO_TABLE = /^(?:42P01|3F000)$/;

/** A table or a column that was dropped, renamed or changed. */
const CHANGED = /^(?:42P01|42703|3F000|42704)$/;

/** Whether the connection is gone, or of no more use. */
export function isAway(error: unknown): boolean {
  const code = codeOf(error);
  return code === undefined || AWAY.test(code);
}

/** Whether the error is about the values of a row. */
export function isOfRows(error: unknown): boolean {
  return OF_ROWS.test(codeOf(error) ?? '');
}

export function isNoTable(error: unknown): boolean {
  return NO_TABLE.test(codeOf(error) ?? '');
}

/** Whether the table is no longer as it was. */
export function isChanged(error: unknown): boolean {
  return CHANGED.test(codeOf(error) ?? '');
}

/** The server's words, with the details that say which value it is about. */
export function describeFault(error: unknown): string {
  const { message, detail } = error as { readonly message: string; readonly detail?: string };
  return detail === undefined ? message : `${message}: ${detail}`;
}

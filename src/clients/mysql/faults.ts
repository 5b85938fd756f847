/** A value that no statement can hold: found before the server sees it. */
export class UnfitValue extends Error {}

interface ServerError extends Error {
  readonly errno?: number;
  readonly sqlState?: string;
}

/** Too many connections, shutdown, read-only, and connections that the server has killed. */
const AWAY: ReadonlySet<number> = new Set([1040, 1053, 1077, 1079, 1152, 1203, 1290, 1836, 1927, 3168, 4031]);

/** Data exceptions, constraints, and what triggers raise, by SQLSTATE. */
const OF_ROWS = /^(?:22|23|44|45)/;

/** Those that have another SQLSTATE: no default, incorrect value, truncated, CHECK, no partition, a row that is too large. */
const OF_ROWS_TOO: ReadonlySet<number> = new Set([
  1118, 1264, 1265, 1292, 1364, 1366, 1367, 1406, 1411, 1526, 1644, 3140, 3819, 4025,
]);

/** A table, a column or a database that was dropped, renamed or changed. */
const CHANGED: ReadonlySet<number> = new Set([1049, 1051, 1054, 1136, 1146]);

const SYNTAX = 1064;

/** Whether the connection is gone, or of no more use. */
export function isAway(error: unknown): boolean {
  const { errno, sqlState } = error as ServerError;
  // The library's own errors have no SQLSTATE.
  return !(error instanceof UnfitValue) && (sqlState === undefined || AWAY.has(errno ?? 0));
}

/** Whether the error is about the values of a row. */
export function isOfRows(error: unknown): boolean {
  if (error instanceof UnfitValue) return true;
  const { errno, sqlState } = error as ServerError;
  return OF_ROWS.test(sqlState ?? '') || OF_ROWS_TOO.has(errno ?? 0);
}

/** Whether the table is no longer as it was. */
export function isChanged(error: unknown): boolean {
  return CHANGED.has((error as ServerError).errno ?? 0);
}

/** The server's words. */
export function describeFault(error: unknown): string {
  const { errno, message } = error as ServerError;
  // They quote the statement, with the rows in it.
  return errno === SYNTAX ? 'the server does not understand the statement' : message;
}

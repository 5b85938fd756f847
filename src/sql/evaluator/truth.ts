/**
 * SQL’s three truth values, a byte for each row. In this order, AND is the least of two, OR the greatest, and NOT the
 * distance from the other end.
 */
export const FALSE = 0;
export const UNKNOWN = 1;
export const TRUE = 2;

/** The truths of NULL values, whose `valid` is 0, become unknown. */
export function unknownWhereNull(truths: Uint8Array, valid: Uint8Array | undefined, length: number): void {
  if (valid === undefined) return;
  for (let row = 0; row < length; row++) if (valid[row] === 0) truths[row] = UNKNOWN;
}

/** Which values are NULL: a `valid` of 0. */
export function areNull(truths: Uint8Array, valid: Uint8Array | undefined, length: number): void {
  if (valid === undefined) truths.fill(FALSE, 0, length);
  else for (let row = 0; row < length; row++) truths[row] = valid[row] === 0 ? TRUE : FALSE;
}

export function and(truths: Uint8Array, others: Uint8Array, length: number): void {
  for (let row = 0; row < length; row++) if (others[row]! < truths[row]!) truths[row] = others[row]!;
}

export function or(truths: Uint8Array, others: Uint8Array, length: number): void {
  for (let row = 0; row < length; row++) if (others[row]! > truths[row]!) truths[row] = others[row]!;
}

export function not(truths: Uint8Array, length: number): void {
  for (let row = 0; row < length; row++) truths[row] = TRUE - truths[row]!;
}

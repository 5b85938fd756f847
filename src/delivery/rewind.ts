/** How far to go back: by a whole number or by milliseconds. */
export type Rewind = number | { readonly ms: number };

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?<fraction>[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)$/;

/** The cursor that far back, in the cursor's own notation; undefined if it is not of that kind. */
export function rewound(cursor: string, rewind: Rewind): string | undefined {
  return typeof rewind === 'number' ? rewoundNumber(cursor, rewind) : rewoundTime(cursor, rewind.ms);
}

/** Stops at zero. Keeps zeros that pad the number to a width. */
function rewoundNumber(cursor: string, by: number): string | undefined {
  if (!/^\d+$/.test(cursor)) return undefined;
  const back = BigInt(cursor) - BigInt(by);
  const text = back < 0n ? '0' : back.toString();
  return cursor.startsWith('0') ? text.padStart(cursor.length, '0') : text;
}

/** In UTC, with a fraction of a second only if the cursor had one. Truncates to milliseconds, which goes back. */
function rewoundTime(cursor: string, ms: number): string | undefined {
  const match = TIME.exec(cursor);
  const time = match === null ? Number.NaN : Date.parse(cursor);
  if (Number.isNaN(time)) return undefined;
  const back = time - ms;
  if (Number.isNaN(new Date(back).getTime())) return undefined;
  const hasFraction = match?.groups?.['fraction'] !== undefined;
  return hasFraction
    ? new Date(back).toISOString()
    : new Date(Math.floor(back / 1000) * 1000).toISOString().replace('.000Z', 'Z');
}

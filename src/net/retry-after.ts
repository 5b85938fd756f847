/** The longest wait that a server may impose on us, in milliseconds. */
const LONGEST_RETRY_AFTER = 3_600_000;

/** Converts seconds or an HTTP date (RFC 9110 section 10.2.3) to milliseconds from now; 0 for anything else. */
export function readRetryAfter(value: string | undefined): number {
  if (value === undefined) return 0;
  const text = value.trim();
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(wait) ? 0 : Math.min(Math.max(wait, 0), LONGEST_RETRY_AFTER);
}

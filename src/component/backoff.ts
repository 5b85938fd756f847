import { NotConnectedError } from '../errors.ts';

/** How long to wait before trying again: exponential, capped, with full jitter. Milliseconds. */
export interface Backoff {
  readonly initial: number;
  readonly max: number;
  /** Attempts in a row that may fail before the stream fails; Infinity tries for ever. */
  readonly attempts: number;
  /** A connection that held this long was a good one, and the pauses start small again; 5 s unless given. */
  readonly stableAfter?: number;
}

export const defaultBackoff: Backoff = { initial: 500, max: 30_000, attempts: Infinity };

/** Milliseconds. */
const STABLE_AFTER = 5_000;

/** Milliseconds to wait before attempt number `failures` + 1, drawn evenly from nothing to the exponential cap. */
export function backoffDelay(backoff: Backoff, failures: number, random = Math.random): number {
  return random() * Math.min(backoff.max, backoff.initial * 2 ** Math.min(failures - 1, 30));
}

/** As `backoffDelay`, but as long at least as the peer asked for. */
export function retryDelay(backoff: Backoff, failures: number, error: unknown): number {
  const delay = backoffDelay(backoff, failures);
  return error instanceof NotConnectedError ? Math.max(delay, error.retryAfter) : delay;
}

/** Whether a connection that was made at `since`, in milliseconds of `performance.now()`, has held long enough. */
export function isStable({ stableAfter = STABLE_AFTER }: Backoff, since: number): boolean {
  return performance.now() - since >= stableAfter;
}

import { NotConnectedError } from '../errors.ts';

/** How long to wait before trying again: exponential, capped, with full jitter. Milliseconds. */
export interface Backoff {
  readonly initial: number;
  readonly max: number;
  /** The stream fails after this many failed attempts in a row; Infinity retries forever. */
  readonly attempts: number;
  /** After a connection that held this long, the pauses start small again; default 5 s. */
  readonly stableAfter?: number;
}

export const defaultBackoff: Backoff = { initial: 500, max: 30_000, attempts: Infinity };

/** Milliseconds. */
const STABLE_AFTER = 5_000;

/** Milliseconds to wait before attempt number `failures` + 1, drawn evenly from nothing to the exponential cap. */
export function backoffDelay(backoff: Backoff, failures: number, random = Math.random): number {
  return random() * Math.min(backoff.max, backoff.initial * 2 ** Math.min(failures - 1, 30));
}

/** As `backoffDelay`, but at least as long as the peer asked for. */
export function retryDelay(backoff: Backoff, failures: number, error: unknown): number {
  const delay = backoffDelay(backoff, failures);
  return error instanceof NotConnectedError ? Math.max(delay, error.retryAfter) : delay;
}

/**
 * Whether a connection made at `since`, in milliseconds of `performance.now()`, has held long enough to be stable.
 */
export function isStable({ stableAfter = STABLE_AFTER }: Backoff, since: number): boolean {
  return performance.now() - since >= stableAfter;
}

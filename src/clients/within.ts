import { abortable } from '../component/waker.ts';
import { NotConnectedError } from '../errors.ts';

/**
 * Resolves as `promise` does, within `timeout` milliseconds. A client library may wait for ever for a server that is
 * frozen.
 * @throws NotConnectedError when the time is up: `what` says what was waited for; the reason of a signal that aborts first
 */
export async function within<T>(
  what: string,
  promise: Promise<T>,
  { timeout, signal }: { readonly timeout: number; readonly signal: AbortSignal },
): Promise<T> {
  const late = new AbortController();
  const timer = setTimeout(
    () => late.abort(new NotConnectedError(`${what}: no answer within ${timeout / 1000} s`)),
    timeout,
  );
  try {
    return await abortable(promise, AbortSignal.any([signal, late.signal]));
  } finally {
    clearTimeout(timer);
  }
}

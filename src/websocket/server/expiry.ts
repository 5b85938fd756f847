/** `setTimeout` takes no longer delay, in milliseconds. */
const LONGEST = 2 ** 31 - 1;

/** Calls `expired` at `time`, in milliseconds since the epoch, however far off it is. @returns what cancels that */
export function atExpiry(time: number, expired: () => void): () => void {
  let timer: NodeJS.Timeout;
  const wait = (): void => {
    const left = time - Date.now();
    // The clock may have been set back since.
    timer = left <= 0 ? setTimeout(expired, 0) : setTimeout(wait, Math.min(left, LONGEST));
    timer.unref();
  };
  wait();
  return () => clearTimeout(timer);
}

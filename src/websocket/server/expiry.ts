/** The longest delay that `setTimeout` accepts, in milliseconds. */
const LONGEST = 2 ** 31 - 1;

/** Calls `expired` at `time`, in milliseconds since the epoch, however far off. @returns a function that cancels it */
export function atExpiry(time: number, expired: () => void): () => void {
  let timer: NodeJS.Timeout;
  const wait = (): void => {
    const left = time - Date.now();
    // The clock may have been set back meanwhile.
    timer = left <= 0 ? setTimeout(expired, 0) : setTimeout(wait, Math.min(left, LONGEST));
    timer.unref();
  };
  wait();
  return () => clearTimeout(timer);
}

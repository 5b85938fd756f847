/** Below this, a loop is faster than a call. */
const SHORT = 40;

/** Copies the bytes from `start` to `end` to `at` in another array. */
export function copyBytes(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): void {
  if (end - start < SHORT)
    for (let index = start; index < end; index++) to[at + index - start] = from[index]!;
  else to.set(from.subarray(start, end), at);
}

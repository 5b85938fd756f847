export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}

/** Waits for a condition, but no longer than `patience` milliseconds. */
export async function until(condition: () => boolean, patience: number): Promise<void> {
  const deadline = performance.now() + patience;
  while (!condition() && performance.now() < deadline) await sleep(20);
}

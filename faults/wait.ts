export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}

/**
 * Resolves when the condition holds.
 * @throws Error after `patience` milliseconds, naming the condition
 */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  patience: number,
): Promise<void> {
  const deadline = performance.now() + patience;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${patience} ms for ${what}`);
    await sleep(20);
  }
}

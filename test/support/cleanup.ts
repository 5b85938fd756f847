type End = () => unknown;

const afterThisTest = new Set<End>();
const afterThisFile = new Set<End>();

/** Has `end` called after the test that runs, or after the next one where none does. */
export function afterTest(end: End): void {
  afterThisTest.add(end);
}

/** Has `end` called after the last test of the file. */
export function afterFile(end: End): void {
  afterThisFile.add(end);
}

/** For `setup.ts`. */
export async function endTest(): Promise<void> {
  const ends = [...afterThisTest];
  afterThisTest.clear();
  await Promise.all(ends.map((end) => end()));
}

/** For `setup.ts`. The newest first: a program ends before its folder goes. */
export async function endFile(): Promise<void> {
  const ends = [...afterThisFile].toReversed();
  afterThisFile.clear();
  for (const end of ends) await end();
}

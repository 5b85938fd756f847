import { expect, test } from 'vitest';
import { collectGarbage } from '../../src/cli/garbage.ts';

test('memory that nothing holds any more goes back to the system', async () => {
  let garbage: object[] | undefined = Array.from({ length: 500_000 }, (_, index) => ({ index }));
  const held = process.memoryUsage().heapTotal;
  expect(garbage).toHaveLength(500_000);
  garbage = undefined;
  await collectGarbage();
  expect(process.memoryUsage().heapTotal).toBeLessThan(held - 10 * 1024 ** 2);
});

import * as fc from 'fast-check';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { StateBudget } from '../../src/component/state-budget.ts';
import { KeptDeliveries } from '../../src/delivery/kept-deliveries.ts';
import { Batch } from '../../src/message/batch.ts';
import { createReceipt } from '../../src/message/receipt.ts';
import { tempDir } from '../support/temp-dir.ts';

const dir = tempDir();
let folders = 0;

const batchOf = (texts: readonly string[]): Batch => new Batch(texts.map((text) => Buffer.from(text)));

test('whatever fits where, everything is given in order, and counts until it has been seen to', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.string({ maxLength: 300 }), { minLength: 1, maxLength: 20 }), {
        minLength: 1,
        maxLength: 30,
      }),
      fc.nat(5_000),
      fc.nat(5_000),
      fc.boolean(),
      async (batches, memory, disk, hasFolder) => {
        const folder = hasFolder ? join(dir.path, `state-${folders++}`) : undefined;
        const state = new StateBudget({ memory, disk }, folder);
        const kept = new KeptDeliveries(state);
        const ends: string[] = [];
        for (const [index, texts] of batches.entries()) {
          const before = { ...counts(state) };
          const receipt = createReceipt({
            settled: (error) => void ends.push(`${index} ${error === undefined ? 'done' : 'failed'}`),
            parked: () => void ends.push(`${index} parked`),
          });
          await kept.add({ batch: batchOf(texts), receipt });
          const isKept = state.messages > before.messages;
          expect(ends.includes(`${index} parked`)).toBe(isKept);
          expect(kept.trouble === undefined).toBe(
            !batches.slice(0, index + 1).some((_, each) => !ends.includes(`${each} parked`)),
          );
        }
        expect(state.memory).toBeLessThanOrEqual(memory);
        expect(state.disk).toBeLessThanOrEqual(hasFolder ? disk : 0);
        const { messages } = state;
        const [delivery, ...more] = await kept.take();
        expect(more).toEqual([]);
        expect(delivery!.batch.payloads.map((each) => Buffer.from(each).toString())).toEqual(batches.flat());
        expect([kept.messages, kept.trouble, state.messages]).toEqual([0, undefined, messages]);
        delivery!.receipt.done();
        expect(counts(state)).toEqual({ messages: 0, memory: 0, disk: 0 });
        expect(ends.filter((each) => each.endsWith('done'))).toHaveLength(batches.length);
        expect(await kept.take()).toEqual([]);
      },
    ),
    { numRuns: 100 },
  );
});

test('a disk that takes nothing leaves the messages in flight, and says why', async () => {
  const state = new StateBudget({ memory: 0, disk: 1000 }, '/dev/null/state');
  const kept = new KeptDeliveries(state);
  let parked = false;
  const receipt = createReceipt({ settled: () => {}, parked: () => (parked = true) });
  await kept.add({ batch: batchOf(['a', 'b']), receipt });
  expect(parked).toBe(false);
  expect(kept.trouble).toMatch(/^its state cannot be written to the disk: .*ENOTDIR.* \(since /);
  const [delivery] = await kept.take();
  expect(delivery!.batch.payloads.map(String)).toEqual(['a', 'b']);
});

function counts({ messages, memory, disk }: StateBudget): { messages: number; memory: number; disk: number } {
  return { messages, memory, disk };
}

import * as fc from 'fast-check';
import { join } from 'node:path';
import type { FileHandle } from 'node:fs/promises';
import { expect, test, vi } from 'vitest';
import { StateBudget } from '../../src/component/state-budget.ts';
import { KeptDeliveries } from '../../src/delivery/kept-deliveries.ts';
import { Batch } from '../../src/message/batch.ts';
import { createReceipt, noReceipt } from '../../src/message/receipt.ts';
import { tempDir } from '../support/temp-dir.ts';

const dir = tempDir();
let folders = 0;

const batchOf = (texts: readonly string[]): Batch => new Batch(texts.map((text) => Buffer.from(text)));

test('in memory or on disk, everything comes out in order, and counts until it is settled', async () => {
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

test('the few messages that a filter leaves keep no more memory than they cost, and all of it counts', async () => {
  const state = new StateBudget({ memory: 100_000_000, disk: 0 }, undefined);
  const kept = new KeptDeliveries(state);
  const received = batchOf(['a', 'b', 'x'.repeat(1_000_000)]);
  const piece = Buffer.alloc(1_000_000, 'y');
  const few = new Batch([piece.subarray(0, 10)]);
  await kept.add({ batch: few, receipt: noReceipt });
  expect(state.memory).toBeLessThan(1_000);
  const row = received.derive([2], [Buffer.from('{"n":1}')], 'bytes');
  await kept.add({ batch: row, receipt: noReceipt });
  expect(state.memory).toBeGreaterThan(1_000_000);
  const [delivery] = await kept.take();
  expect(delivery!.batch.payloads.map(String)).toEqual(['yyyyyyyyyy', '{"n":1}']);
  expect(delivery!.batch.payloads[0]!.buffer.byteLength).toBeLessThan(1_000);
  expect(Buffer.compare(delivery!.batch.sent[1]!, received.payloads[2]!)).toBe(0);
});

test('state that the disk does not return fails the stream, and nothing is confirmed', async () => {
  const files: FileHandle[] = [];
  class Watched extends StateBudget {
    override async file(): Promise<FileHandle> {
      files.push(await super.file());
      return files.at(-1)!;
    }
  }
  const kept = new KeptDeliveries(
    new Watched({ memory: 0, disk: 1000 }, join(dir.path, `state-${folders++}`)),
  );
  const settled = vi.fn();
  await kept.add({ batch: batchOf(['a']), receipt: createReceipt({ settled }) });
  await files[0]!.truncate(0);
  const code = 'MILLRACE_FILE_UNAVAILABLE';
  await expect(kept.take()).rejects.toMatchObject({ code, fatal: true });
  expect(settled).not.toHaveBeenCalled();
});

function counts({ messages, memory, disk }: StateBudget): { messages: number; memory: number; disk: number } {
  return { messages, memory, disk };
}

import { expect, test } from 'vitest';
import type { Processor } from '../../src/component/contracts.ts';
import { EndOfInputError } from '../../src/errors.ts';
import { collecting, engineFor, settling, testInput, testProcessor, textsOf } from './harness.ts';

/**
 * Runs a stream into which a message comes, two more as soon as the processor has one, and the last two after a few turns
 * of promises. @returns the batches that the processor gets
 */
async function batches(gathers: boolean, own: Partial<Processor>, before = ''): Promise<string[][]> {
  const arrived = ['first'];
  let isOver = false;
  let wake = (): void => {};
  const push = (...texts: readonly string[]): void => {
    arrived.push(...texts);
    wake();
  };
  const input = testInput('pushed', {
    gathers,
    drain: () => {},
    read: async () => {
      while (arrived.length === 0) {
        if (isOver) throw new EndOfInputError();
        await new Promise<void>((resolve) => (wake = resolve));
      }
      return settling(arrived.splice(0), () => {});
    },
  });
  const seen: string[][] = [];
  const processor = testProcessor('slow', {
    process: async (batch) => {
      seen.push(textsOf(batch));
      if (seen.length > 1) return [batch];
      push('second', 'third');
      for (let turn = 0; turn < 1000; turn++) await Promise.resolve();
      isOver = true;
      push('fourth', 'fifth');
      return [batch];
    },
    ...own,
  });
  const { definition, texts } = collecting();
  const engine = engineFor(
    `streams: [{ input: { type: pushed }, pipeline: { thread_num: 2, processors: [${before}{ type: slow }] }, output: { type: collect } }]`,
    [input, processor, definition],
  );
  await engine.run();
  expect(texts).toEqual(['first', 'second', 'third', 'fourth', 'fifth']);
  return seen;
}

const TOGETHER = [['first'], ['second', 'third', 'fourth', 'fifth']];
const APART = [['first'], ['second', 'third'], ['fourth', 'fifth']];

test('messages gather for a processor for which a batch costs as much as many messages do', async () => {
  expect(await batches(true, { rest: 1000 })).toEqual(TOGETHER);
});

test('messages do not gather for a processor that does not ask for it', async () => {
  expect(await batches(true, {})).toEqual(APART);
});

test('messages do not gather behind an input that would not bring them together', async () => {
  expect(await batches(false, { rest: 1000 })).toEqual(APART);
});

test('messages do not gather for a processor behind one that groups them anyway', async () => {
  expect(await batches(true, { rest: 1000 }, '{ type: batch, count: 1 }, ')).toEqual([
    ['first'],
    ['second'],
    ['third'],
    ['fourth'],
    ['fifth'],
  ]);
});

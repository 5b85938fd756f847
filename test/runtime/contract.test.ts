import { z } from 'zod';
import { describe, expect, test } from 'vitest';
import type { Codec, Processor, WriteResult } from '../../src/component/contracts.ts';
import { defineCodec, type AnyDefinition } from '../../src/component/define.ts';
import { EndOfInputError, MillraceError, type Rejection } from '../../src/errors.ts';
import { Batch } from '../../src/message/batch.ts';
import { joinDeliveries, type Delivery } from '../../src/message/delivery.ts';
import { createReceipt } from '../../src/message/receipt.ts';
import { engineFor, testInput, testOutput, testProcessor, textsOf } from './harness.ts';

const wrong = new MillraceError('MILLRACE_OUTPUT_REFUSED', 'wrong');
const rejection = (index: number): Rejection => ({ index, error: wrong });

/** Runs batches through a stream of the components of a test. */
async function run(
  batches: readonly (readonly string[])[],
  own: readonly AnyDefinition[],
  {
    pipeline = '',
    codec = '',
    refused = [],
  }: Partial<typeof WITH_PROCESSOR & typeof WITH_CODEC> & { refused?: Rejection[] } = {},
) {
  const settled: unknown[] = batches.map(() => 'not settled');
  let next = 0;
  const input = testInput('batches', {
    read: () => {
      const number = next++;
      const texts = batches[number];
      if (texts === undefined) return Promise.reject(new EndOfInputError());
      const batch = new Batch(texts.map((text) => Buffer.from(text)));
      const receipt = createReceipt({ settled: (error) => (settled[number] = error) });
      return Promise.resolve({ batch, receipt, refused });
    },
  });
  const [written, letters] = [collector('out'), collector('letters')];
  const others = own.some(({ kind }) => kind === 'output') ? own : [...own, written.definition];
  const engine = engineFor(
    `streams: [{ id: s, input: { type: batches }, ${pipeline} output: { type: out, ${codec} }, error_output: { type: letters } }]`,
    [input, ...others, letters.definition],
  );
  const { failed } = await engine.run();
  const reasons = engine.health()[0]?.reasons ?? [];
  const rejected = letters.texts.map((letter) => {
    const { payload, error } = JSON.parse(letter) as { payload: string; error: Record<string, string> };
    return [payload, error['code'], error['message']];
  });
  return { failed, reason: reasons[0], settled, written: written.texts, rejected };
}

function collector(type: string) {
  const texts: string[] = [];
  const write = (batch: Batch): Promise<void> => Promise.resolve(void texts.push(...textsOf(batch)));
  return { definition: testOutput(type, { write }), texts };
}

const WITH_PROCESSOR = { pipeline: 'pipeline: { processors: [{ type: own }] },' };
const WITH_CODEC = { codec: 'codec: { type: own }' };

describe('an output that names no message of its batch, or one twice, fails the stream, and the batch stays unconfirmed', () => {
  const results: readonly (readonly [string, WriteResult])[] = [
    [
      'refused message 2 of a batch of 2 messages; expected an index from 0 to 1',
      { refused: [rejection(2)] },
    ],
    ['wants to retry message -1 of a batch of 2 messages; expected an index from 0 to 1', { retry: [-1] }],
    [
      'wants to retry message 0.5 of a batch of 2 messages; expected an index from 0 to 1',
      { retry: [1, 0.5] },
    ],
    [
      'refused message 1 of a batch twice; expected each index once',
      { refused: [rejection(1), rejection(1)] },
    ],
    ['wants to retry message 1 of a batch twice; expected each index once', { retry: [1, 0, 1] }],
    [
      'wants to retry message 0 of a batch twice; expected each index once',
      { refused: [rejection(0)], retry: [0] },
    ],
  ];
  test.each(results)('%s', async (said, result) => {
    const output = testOutput('out', { write: () => Promise.resolve(result) });
    const { failed, reason, settled, rejected } = await run([['a', 'b'], ['c']], [output]);
    expect(failed).toEqual(['s']);
    expect(reason).toContain(`the stream has failed: output out ${said}`);
    expect(settled[0]).toMatchObject({ code: 'MILLRACE_COMPONENT_WRONG', fatal: true });
    expect(rejected).toEqual([]);
  });
});

test('an input that refuses a message that it did not give fails the stream, and is told', async () => {
  const { failed, reason, settled } = await run([['a', 'b']], [], { refused: [rejection(2)] });
  expect(failed).toEqual(['s']);
  expect(reason).toContain('input batches refused message 2 of a batch of 2 messages');
  expect(settled).toEqual([expect.objectContaining({ code: 'MILLRACE_COMPONENT_WRONG' })]);
});

test('messages that an input refuses are rejected alone, in whatever order it names them', async () => {
  const { rejected, written } = await run([['a', 'b', 'c', 'd']], [], {
    refused: [rejection(2), rejection(0)],
  });
  expect(written).toEqual(['b', 'd']);
  expect(rejected.map(([payload]) => payload)).toEqual(['a', 'c']);
});

const rejecting: readonly (readonly [string, readonly number[]])[] = [
  ['rejected message 2 of a batch of 2 messages; expected an index from 0 to 1', [0, 2]],
  ['rejected message NaN of a batch of 2 messages; expected an index from 0 to 1', [NaN]],
  ['rejected message 1 of a batch twice; expected each index once', [1, 1]],
];

describe('a batch of which a processor or a codec rejects no message, or one twice, is rejected as a whole, and the next goes on', () => {
  const both = (said: string) => [
    ['a', 'MILLRACE_COMPONENT_WRONG', said],
    ['b', 'MILLRACE_COMPONENT_WRONG', said],
  ];
  const isFirst = (batch: Batch): boolean => textsOf(batch)[0] === 'a';

  test.each(rejecting)('a processor that %s', async (said, indices) => {
    const own = testProcessor('own', {
      process(batch, { reject }) {
        for (const index of isFirst(batch) ? indices : []) reject(rejection(index));
        return [batch];
      },
    });
    const { failed, settled, written, rejected } = await run([['a', 'b'], ['c']], [own], WITH_PROCESSOR);
    expect({ failed, settled, written }).toEqual({
      failed: [],
      settled: [undefined, undefined],
      written: ['c'],
    });
    expect(rejected).toEqual(both(`processor own ${said}`));
  });

  test.each(rejecting)('a codec that %s', async (said, indices) => {
    const code = (batch: Batch, reject: (each: Rejection) => void): Batch => {
      for (const index of isFirst(batch) ? indices : []) reject(rejection(index));
      return batch;
    };
    const own = codec({ decode: code, encode: code });
    const { settled, written, rejected } = await run([['a', 'b'], ['c']], [own], WITH_CODEC);
    expect({ settled, written }).toEqual({ settled: [undefined, undefined], written: ['c'] });
    expect(rejected).toEqual(both(`the codec of output out ${said}`));
  });

  test('a processor that returns nothing at all', async () => {
    const process = ((batch: Batch) => (isFirst(batch) ? undefined : [batch])) as Processor['process'];
    const { written, rejected } = await run(
      [['a', 'b'], ['c']],
      [testProcessor('own', { process })],
      WITH_PROCESSOR,
    );
    expect(written).toEqual(['c']);
    expect(rejected).toEqual(
      both('processor own returned no list; expected the batches that go on, or an empty list'),
    );
  });
});

function codec(each: Codec): AnyDefinition {
  const about = { summary: 'For tests.', status: 'stable', examples: [] } as const;
  return defineCodec({ ...about, type: 'own', schema: z.strictObject({}), create: () => each });
}

describe('messages that a processor keeps and then throws are rejected once, and come from it no more', () => {
  /** Keeps everything to the end, and throws at `bad`. */
  function hoarder(join: (kept: readonly Delivery[]) => Delivery[]) {
    const kept: Delivery[] = [];
    return testProcessor('own', {
      ordered: true,
      process(batch, { keep }) {
        kept.push({ batch, receipt: keep() });
        if (textsOf(batch).includes('bad')) throw new Error('it is bad');
        return [];
      },
      flush: () => join(kept.splice(0)),
    });
  }
  const batches = [['a', 'b'], ['bad', 'c'], ['d']];

  test.each([
    ['each alone', (kept: readonly Delivery[]) => [...kept]],
    ['as one', joinDeliveries],
  ])('which returns what it kept %s', async (_, join) => {
    const { failed, settled, written, rejected } = await run(batches, [hoarder(join)], WITH_PROCESSOR);
    expect({ failed, settled, written }).toEqual({
      failed: [],
      settled: [undefined, undefined, undefined],
      written: ['a', 'b', 'd'],
    });
    expect(rejected).toEqual([
      ['bad', 'MILLRACE_PROCESSOR_FAILED', 'own: it is bad'],
      ['c', 'MILLRACE_PROCESSOR_FAILED', 'own: it is bad'],
    ]);
  });
});

import { z } from 'zod';
import { expect, test } from 'vitest';
import { defineCodec } from '../../src/component/define.ts';
import type { Codec } from '../../src/component/contracts.ts';
import { MillraceError, NotConnectedError } from '../../src/errors.ts';
import { Batch } from '../../src/message/batch.ts';
import { createReceipt } from '../../src/message/receipt.ts';
import { until } from '../support/until.ts';
import { engineFor, testInput, testOutput, textsOf } from './harness.ts';
import { EndOfInputError } from '../../src/errors.ts';

const codec = (type: string, own: Partial<Codec>) =>
  defineCodec({
    type,
    summary: 'For tests.',
    status: 'stable',
    schema: z.strictObject({}),
    examples: [],
    create: () => ({ decode: (batch) => batch, encode: (batch) => batch, ...own }),
  });

/** Gives the texts once, and keeps the positions that were rejected. */
function giving(texts: readonly string[]) {
  const settled: (readonly number[])[] = [];
  let given = false;
  const input = testInput('given', {
    read: () => {
      if (given) return Promise.reject(new EndOfInputError());
      given = true;
      const batch = new Batch(texts.map((text) => Buffer.from(text)));
      const receipt = createReceipt({
        settled: (_, rejected) => void settled.push(rejected.map(({ index }) => index)),
      });
      return Promise.resolve({ batch, receipt });
    },
  });
  return { input, settled };
}

function keeping() {
  const written: string[] = [];
  const letters: { payload: string; processed?: { payload: string }; error: { code: string } }[] = [];
  const outputs = [
    testOutput('kept', { write: (batch) => Promise.resolve(void written.push(...textsOf(batch))) }),
    testOutput('dead', {
      write: (batch) =>
        Promise.resolve(
          void letters.push(...textsOf(batch).map((text) => JSON.parse(text) as (typeof letters)[0])),
        ),
    }),
  ];
  return { written, letters, outputs };
}

const streams = (input: string, output = ''): string =>
  `streams: [{ input: { type: given${input} }, output: { type: kept${output} }, error_output: { type: dead } }]`;

test('a codec takes its time, makes several messages of one or none, and rejects messages by their place in its input', async () => {
  const { input, settled } = giving(['a b', '', 'bad', 'c']);
  const { written, letters, outputs } = keeping();
  const words = codec('words', {
    async decode(batch, reject) {
      await Promise.resolve();
      const parts = batch.payloads.map((payload) =>
        Buffer.from(payload)
          .toString()
          .split(' ')
          .filter((word) => word !== ''),
      );
      const bad = parts.findIndex(([word]) => word === 'bad');
      reject({ index: bad, error: new MillraceError('MILLRACE_UNEXPECTED', 'bad') });
      parts[bad] = [];
      const expanded = batch.expand(parts.map(({ length }) => length));
      return expanded.withPayloads(
        parts.flat().map((word) => Buffer.from(word)),
        'text',
      );
    },
  });
  const engine = engineFor(streams(', codec: { type: words }'), [input, words, ...outputs]);
  expect(await engine.run()).toEqual({ failed: [], left: [] });
  expect(written).toEqual(['a', 'b', 'c']);
  expect(letters.map(({ payload }) => payload)).toEqual(['bad']);
  // One delivery, settled once, of which the third message was rejected.
  expect(settled).toEqual([[2]]);
});

test('the codec of an output may join messages; an error that it throws rejects the batch', async () => {
  const { input, settled } = giving(['a', 'b']);
  const { written, letters, outputs } = keeping();
  const joins = codec('joins', {
    encode: async (batch) =>
      await Promise.resolve(batch.derive([0], [Buffer.concat(batch.payloads)], 'text')),
  });
  const throws = codec('throws', { decode: () => Promise.reject(new Error('no schema')) });
  const all = [input, joins, throws, ...outputs];
  expect((await engineFor(streams('', ', codec: { type: joins }'), all).run()).failed).toEqual([]);
  expect(written).toEqual(['ab']);
  const again = giving(['x', 'y']);
  const engine = engineFor(streams(', codec: { type: throws }'), [again.input, throws, ...outputs]);
  expect((await engine.run()).failed).toEqual([]);
  expect(letters.map(({ payload, error }) => [payload, error.code])).toEqual([
    ['x', 'MILLRACE_UNEXPECTED'],
    ['y', 'MILLRACE_UNEXPECTED'],
  ]);
  expect([...settled, ...again.settled]).toEqual([[], [0, 1]]);
});

test('a codec that talks to a server is called again when the server is back; it is prepared, and closed', async () => {
  const { input } = giving(['a']);
  const { written, outputs } = keeping();
  const calls: string[] = [];
  const shaky = codec('shaky', {
    prepare: () => Promise.resolve(void calls.push('prepare')),
    decode: (batch) => {
      calls.push('decode');
      if (calls.filter((each) => each === 'decode').length < 3)
        throw new NotConnectedError('the registry is away');
      return batch;
    },
    close: () => Promise.resolve(void calls.push('close')),
  });
  const engine = engineFor(streams(', codec: { type: shaky }'), [input, shaky, ...outputs]);
  expect(await engine.prepare()).toEqual([]);
  expect((await engine.run()).failed).toEqual([]);
  expect(written).toEqual(['a']);
  await until('it to be closed', () => calls.includes('close'));
  expect(calls.slice(0, 4)).toEqual(['prepare', 'decode', 'decode', 'decode']);
});

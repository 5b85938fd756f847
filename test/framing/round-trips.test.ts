import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allCompressions, batchOf, decode, framingOf, texts, ways } from './support.ts';

// Short alphabets, so that delimiters, line breaks and brackets come up by themselves.
const anyBytes = fc
  .array(fc.constantFrom(0, 1, 10, 13, 30, 32, 59, 91, 93, 97, 98, 99, 128, 255), { maxLength: 20 })
  .map((bytes) => Buffer.from(bytes));
const lines = fc
  .array(fc.constantFrom(0, 9, 30, 34, 92, 97, 123, 255), { maxLength: 20 })
  .map((bytes) => Buffer.from([97, ...bytes]));
const json = fc.jsonValue({ maxDepth: 3 }).map((value) => Buffer.from(JSON.stringify(value)));
const messagesOf = { bytes: anyBytes, lines, json };

/** `bytes` cut at the places. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const at = places.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b);
  return [0, ...at].map((start, index) => bytes.subarray(start, at[index] ?? bytes.length));
}

describe.each(ways)('$config', ({ config, carries }) => {
  test.each(allCompressions)('messages framed and compressed with %s come out unchanged', (compression) => {
    const { framer, unframer } = framingOf({ ...config, ...(compression && { compression }) });
    fc.assert(
      fc.property(fc.array(messagesOf[carries], { maxLength: 12 }), (messages) => {
        const { batch, refusals, firsts } = framer.frames(batchOf(messages));
        const refused = new Set(refusals.map(({ index }) => index));
        const sent = messages.filter((_, index) => !refused.has(index));
        const received = batch.payloads.flatMap((frame) => {
          const { messages: found, errors } = unframer.split(frame, false);
          expect(errors).toBeUndefined();
          return found;
        });
        // A frame of nothing between separators has no message.
        const lost = 'terminated' in config && sent.length === 1 && sent[0]!.length === 0;
        expect(texts(received)).toEqual(lost ? [] : texts(sent));
        if (config.type !== 'none') expect(firsts).toHaveLength(batch.length);
      }),
      { numRuns: compression === undefined ? 300 : 40 },
    );
  });

  test('a stream gives the same messages, wherever its pieces end', () => {
    const { framer, unframer } = framingOf(config);
    fc.assert(
      fc.property(
        fc.array(messagesOf[carries], { maxLength: 12 }),
        fc.array(fc.nat({ max: 500 }), { maxLength: 30 }),
        (messages, places) => {
          const { data } = framer.stream(batchOf(messages));
          const whole = decode(unframer, [data]);
          const pieces = decode(unframer, cut(data, places));
          expect(texts(pieces.messages)).toEqual(texts(whole.messages));
          expect(pieces.errors).toEqual(whole.errors);
        },
      ),
    );
  });

  test('bytes of any kind never throw, and none are lost without an error', () => {
    const { unframer } = framingOf({ ...config, max_message_size: 8, max_messages: 5 });
    fc.assert(
      fc.property(anyBytes, fc.array(fc.nat({ max: 30 }), { maxLength: 5 }), (bytes, places) => {
        const { messages, errors } = unframer.split(bytes, false);
        expect(messages.length).toBeLessThanOrEqual(6);
        for (const [index, message] of messages.entries()) {
          if (errors?.has(index) !== true) expect(message.length).toBeLessThanOrEqual(8);
        }
        const good = ({ messages: all, errors: bad }: typeof whole) =>
          texts(all.filter((_, index) => bad?.has(index) !== true));
        const whole = decode(unframer, [bytes]);
        expect(good(decode(unframer, cut(bytes, places)))).toEqual(good(whole));
      }),
      { numRuns: 500 },
    );
  });
});

test('many messages go into frames within the bounds, in order', () => {
  const { framer, unframer } = framingOf({ type: 'lines', max_messages: 3, max_frame_size: 20 });
  const messages = ['1', '2', '3', '4', 'a'.repeat(18), 'b', 'c'.repeat(40), 'd'].map((each) =>
    Buffer.from(each),
  );
  const { batch, firsts } = framer.frames(batchOf(messages));
  expect(batch.payloads.map((frame) => texts(unframer.split(frame, false).messages))).toEqual([
    ['1', '2', '3'],
    ['4'],
    ['a'.repeat(18)],
    ['b'],
    ['c'.repeat(40)],
    ['d'],
  ]);
  expect(firsts).toEqual([0, 3, 4, 5, 6, 7]);
});

test('messages that are kept apart are never in one frame', () => {
  const { framer } = framingOf({ type: 'json_array' });
  const messages = ['1', '2', '3', '4'].map((each) => Buffer.from(each));
  const { batch } = framer.frames(batchOf(messages), (index) => [7, 7, 8, 7][index]);
  expect(texts(batch.payloads)).toEqual(['[1,2]', '[3]', '[4]']);
});

test('frames by default have at most 10,000 messages and 1 MiB', () => {
  const { framer } = framingOf({ type: 'lines' });
  const lengths = (sizes: readonly number[]): number[] =>
    framer
      .frames(batchOf(sizes.map((size) => Buffer.alloc(size, 'x'))))
      .batch.payloads.map(({ length }) => length);
  expect(lengths(Array.from({ length: 10_000 }, () => 1))).toEqual([20_000]);
  expect(lengths(Array.from({ length: 10_001 }, () => 1))).toEqual([20_000, 2]);
  const half = 512 * 1024;
  expect(lengths([half - 1, half - 1])).toEqual([2 * half]);
  expect(lengths([half - 1, half])).toEqual([half, half + 1]);
});

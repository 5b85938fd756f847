import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { errorCodes } from '../../../src/cli/error-codes.ts';
import { MillraceError } from '../../../src/errors.ts';
import { Batch, type Run } from '../../../src/message/batch.ts';
import type { Entry } from '../../../src/delivery/log/entry.ts';
import { decodeEntry, encodeEntry } from '../../../src/delivery/log/entry-codec.ts';
import { FRAME_BYTES } from '../../../src/delivery/log/format.ts';
import { logFolder, openLog, readAll, seen } from './support.ts';

/** Any string, lone surrogates too. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('__proto__', 'constructor', '\ud800', 'é\0\n'),
);
const origin = fc.record({
  source: text,
  ext: fc
    .array(fc.tuple(text, text), { maxLength: 4 })
    .map((pairs) => Object.fromEntries(pairs) as Record<string, string>),
});
const time = fc.integer({ min: 0, max: 4_000_000_000_000_000 });

function runs(count: number): fc.Arbitrary<Run[]> {
  if (count === 0) return fc.constant([]);
  const first = fc.uniqueArray(fc.integer({ min: 1, max: Math.max(1, count - 1) }), { maxLength: 5 });
  return fc.tuple(first, fc.array(origin, { minLength: 1, maxLength: 3 })).chain(([starts, origins]) => {
    const all = [0, ...starts.filter((start) => start < count).toSorted((a, b) => a - b)];
    return fc.tuple(
      ...all.map((start) =>
        fc.record(
          {
            start: fc.constant(start),
            origin: fc.constantFrom(...origins),
            time,
            sequence: fc.maxSafeNat(),
            messageType: fc.constantFrom('text' as const, 'binary' as const),
          },
          { requiredKeys: ['start', 'origin', 'time'] },
        ),
      ),
    );
  });
}

const format = fc.constantFrom('bytes' as const, 'text' as const, 'json' as const);
const payloads = fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 30 });
const asPayloads = payloads.chain((content) =>
  fc.record({ runs: runs(content.length), format }).map((options) => new Batch(content, options)),
);
const asLines = payloads.chain((content) => {
  const whole = content.map((each) => each.map((byte) => (byte === 10 ? 11 : byte)));
  const data = Buffer.concat(whole.flatMap((each) => [each, Buffer.from('\n')]));
  return fc
    .record({ runs: runs(content.length), format })
    .map((options) => new Batch({ data, length: content.length }, options));
});
const batch = fc.oneof(asPayloads, asLines);

const rejection = fc
  .record({
    index: fc.nat(29),
    code: fc.constantFrom(...Object.values(errorCodes)),
    message: text,
    fatal: fc.boolean(),
    errorField: fc.option(text, { nil: undefined }),
    field: fc.option(text, { nil: undefined }),
  })
  .map(({ index, code, message, fatal, errorField, field }) => ({
    index,
    error: new MillraceError(code, message, {
      fatal,
      ...(errorField !== undefined && { field: errorField }),
    }),
    ...(field !== undefined && { field }),
  }));

const entry: fc.Arbitrary<Entry> = fc.record({
  batch,
  rejected: fc.option(fc.record({ batch, rejections: fc.array(rejection, { maxLength: 4 }) }), {
    nil: undefined,
  }),
  keys: fc.option(
    fc.record({ space: text, keys: fc.array(text), expires: fc.maxSafeNat(), max: fc.maxSafeNat() }),
    { nil: undefined },
  ),
});

function whole({ batch, rejected, keys }: Entry) {
  return {
    batch: seen(batch),
    keys,
    rejected: rejected && {
      batch: seen(rejected.batch),
      rejections: rejected.rejections.map(({ index, error, field }) => ({
        index,
        field,
        error: [error.code, error.told, error.message, error.fatal, error.field],
      })),
    },
  };
}

test('an entry comes out as it went in, to the byte', () => {
  fc.assert(
    fc.property(entry, fc.integer({ min: 1, max: 2 ** 48 - 1 }), (given, number) => {
      const stored = decodeEntry(encodeEntry(given, number).subarray(FRAME_BYTES));
      expect(stored.number).toBe(number);
      expect(whole(stored)).toEqual(whole(given));
    }),
    { numRuns: 500 },
  );
});

test('so it does through a file and over restarts, and its memory can be reused at once', async () => {
  const path = logFolder();
  const given = fc.sample(entry, { numRuns: 60, seed: 4 });
  const expected = given.map(whole);
  for (let at = 0; at < given.length; at += 20) {
    const { log } = await openLog(path, { segmentBytes: 4096 });
    const appended = given.slice(at, at + 20).map((each) => log.append(each));
    for (const { batch } of given.slice(at, at + 20)) for (const payload of batch.payloads) payload.fill(1);
    expect(await Promise.all(appended)).toEqual(Array.from({ length: 20 }, (_, index) => at + index + 1));
    await log.close();
  }
  const { log } = await openLog(path);
  const stored = await readAll(log);
  expect(stored.map(({ number }) => number)).toEqual(given.map((_, index) => index + 1));
  expect(stored.map(whole)).toEqual(expected);
});

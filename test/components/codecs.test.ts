import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { binaryCodec } from '../../src/components/codecs/binary.ts';
import { jsonCodec } from '../../src/components/codecs/json.ts';
import { textCodec } from '../../src/components/codecs/text.ts';
import {
  batchOf,
  createCodec,
  hostile,
  numbersOf,
  odd,
  origin,
  rejections,
  textsOf,
} from '../support/payload-cases.ts';

const json = createCodec(jsonCodec);
const text = createCodec(textCodec);
const binary = createCodec(binaryCodec);
const invalidUtf8 = Buffer.from('a\xffb', 'latin1');

function isJson(payload: string): boolean {
  try {
    JSON.parse(payload);
    return true;
  } catch {
    return false;
  }
}

describe('json decode', () => {
  test('passes every JSON value on, byte for byte and without a copy', () => {
    const batch = batchOf(odd);
    const rejected = rejections();
    const decoded = json.decode(batch, rejected.reject);
    expect(decoded.format).toBe('json');
    expect(textsOf(decoded)).toEqual(odd);
    expect(decoded.payloads.every((payload, index) => payload === batch.payloads[index])).toBe(true);
    expect(rejected.all).toEqual([]);
  });

  test.each(hostile)('%s is rejected, and its neighbours come through', (_, bad) => {
    const batch = batchOf(['{"first":1}', ...bad, odd[0]!, ...bad, '{"last":1}']);
    const rejected = rejections();
    const decoded = json.decode(batch, rejected.reject);
    const count = bad.length;
    expect(textsOf(decoded)).toEqual(['{"first":1}', odd[0], '{"last":1}']);
    expect(numbersOf(decoded)).toEqual([100, 101 + count, 102 + 2 * count]);
    expect(decoded.metadata(2)).toEqual({
      source: origin.source,
      ingestTime: 1_700_000_000_000_000,
      ext: { session_id: '1', sequence: String(102 + 2 * count) },
    });
    expect(rejected.indices).toEqual([
      ...bad.map((_payload, index) => 1 + index),
      ...bad.map((_payload, index) => 2 + count + index),
    ]);
    for (const code of rejected.codes) expect(code).toMatch(/^MILLRACE_CODEC_INVALID_(JSON|UTF8)$/);
  });

  test('says what is wrong and where', () => {
    const rejected = rejections();
    json.decode(batchOf(['{"a":1}', '{"a":1]', '', Buffer.from('"ab\xff"', 'latin1')]), rejected.reject);
    expect(rejected.all.map(({ index, error }) => [index, error.code, error.message])).toEqual([
      [1, 'MILLRACE_CODEC_INVALID_JSON', 'not JSON: unexpected `]` at byte 6'],
      [2, 'MILLRACE_CODEC_INVALID_JSON', 'not JSON: the message is empty'],
      [3, 'MILLRACE_CODEC_INVALID_UTF8', 'not UTF-8: invalid sequence at byte 3'],
    ]);
  });

  test('checks the UTF-8 of binary frames and of messages without a frame', () => {
    const bad = Buffer.from('"\xff"', 'latin1');
    for (const options of [{}, { messageType: 'binary' as const }]) {
      const rejected = rejections();
      const decoded = json.decode(batchOf(['1', bad, '2'], options), rejected.reject);
      expect(rejected.codes).toEqual(['MILLRACE_CODEC_INVALID_UTF8']);
      expect(numbersOf(decoded)).toEqual([100, 102]);
    }
  });

  test('gives each message the result that it would get alone', () => {
    const piece = fc.constantFrom(
      '[',
      ']',
      '{',
      '}',
      '"',
      ',',
      ':',
      '1',
      '"a"',
      '{}',
      '[]',
      ' ',
      '\\',
      '{"a":',
      '\ufeff',
      'null',
    );
    const payload = fc.oneof(
      fc.array(piece, { maxLength: 4 }).map((pieces) => pieces.join('')),
      fc.json(),
    );
    fc.assert(
      fc.property(fc.array(payload, { maxLength: 10 }), (payloads) => {
        const rejected = rejections();
        const decoded = json.decode(batchOf(payloads), rejected.reject);
        const good = payloads
          .keys()
          .filter((index) => isJson(payloads[index]!))
          .toArray();
        expect(textsOf(decoded)).toEqual(good.map((index) => payloads[index]));
        expect(numbersOf(decoded)).toEqual(good.map((index) => 100 + index));
        expect([...rejected.indices, ...good].toSorted((a, b) => a - b)).toEqual([...payloads.keys()]);
      }),
      { numRuns: 1000 },
    );
  });

  test('may leave no message', () => {
    const decoded = json.decode(batchOf(['[', ']']), rejections().reject);
    expect(decoded.length).toBe(0);
    expect(decoded.payloads).toEqual([]);
  });
});

describe('json encode', () => {
  test('passes JSON on as it is', () => {
    const batch = batchOf(odd, { format: 'json' });
    expect(json.encode(batch, rejections().reject)).toBe(batch);
  });

  test('wraps text, and bytes as base64', () => {
    const payloads = ['', 'a "b"\n\u0000', '{"a":1}', invalidUtf8];
    const encoded = json.encode(batchOf(payloads), rejections().reject);
    expect(encoded.format).toBe('json');
    expect(textsOf(encoded).map((each) => JSON.parse(each) as unknown)).toEqual([
      { __value__: '' },
      { __value__: 'a "b"\n\u0000' },
      { __value__: '{"a":1}' },
      { __value__: invalidUtf8.toString('base64'), encoding: 'base64' },
    ]);
    expect(numbersOf(encoded)).toEqual([100, 101, 102, 103]);
  });
});

describe.each(['decode', 'encode'] as const)('text %s', (way) => {
  test('takes UTF-8, empty or not, and rejects the rest', () => {
    const batch = batchOf(['', '\ufeffé', invalidUtf8, '[1']);
    const rejected = rejections();
    const result = text[way](batch, rejected.reject);
    expect(result.format).toBe('text');
    expect(textsOf(result)).toEqual(['', '\ufeffé', '[1']);
    expect(numbersOf(result)).toEqual([100, 101, 103]);
    expect(rejected.all.map(({ index, error }) => [index, error.code])).toEqual([
      [2, 'MILLRACE_CODEC_INVALID_UTF8'],
    ]);
    expect(rejected.all[0]!.error.message).toBe('not UTF-8: invalid sequence at byte 1');
  });

  test('gives JSON as its text', () => {
    const batch = batchOf(odd, { format: 'json' });
    const result = text[way](batch, rejections().reject);
    expect(result.format).toBe('text');
    expect(result.payloads).toBe(batch.payloads);
  });
});

test.each(['decode', 'encode'] as const)('binary %s passes anything', (way) => {
  const batch = batchOf(['', invalidUtf8, '{}'], { format: way === 'encode' ? 'text' : 'bytes' });
  const rejected = rejections();
  const result = binary[way](batch, rejected.reject);
  expect(result.format).toBe('bytes');
  expect(result.payloads).toBe(batch.payloads);
  expect(rejected.all).toEqual([]);
});

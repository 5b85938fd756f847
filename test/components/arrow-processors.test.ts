import { describe, expect, test } from 'vitest';
import type { Processor } from '../../src/component/contracts.ts';
import { arrowToJsonProcessor } from '../../src/components/processors/arrow-to-json.ts';
import { jsonToArrowProcessor } from '../../src/components/processors/json-to-arrow.ts';
import { Batch } from '../../src/message/batch.ts';
import {
  batchOf,
  callWith,
  create,
  hostile,
  numbersOf,
  odd,
  rejections,
  textsOf,
} from '../support/payload-cases.ts';

async function run(processor: Processor, batch: Batch, rejected = rejections()): Promise<Batch> {
  const results = await processor.process(batch, callWith(rejected));
  expect(results.length).toBeLessThanOrEqual(1);
  const [result = batch.select([])] = results;
  return result instanceof Batch ? result : result.batch;
}

describe('json_to_arrow', () => {
  test.each(hostile)('%s is rejected, and its neighbours come through', async (_, bad) => {
    const batch = batchOf(['{"first":1}', ...bad, odd[0]!]);
    const rejected = rejections();
    const result = await run(create(jsonToArrowProcessor), batch, rejected);
    expect(result.format).toBe('json');
    expect(textsOf(result)).toEqual(['{"first":1}', odd[0]]);
    expect(numbersOf(result)).toEqual([100, 101 + bad.length]);
    expect(rejected.indices).toEqual(bad.map((_payload, index) => index + 1));
  });

  test('passes JSON on byte for byte', async () => {
    expect(textsOf(await run(create(jsonToArrowProcessor), batchOf(odd)))).toEqual(odd);
    const batch = batchOf(odd, { format: 'json' });
    expect(await run(create(jsonToArrowProcessor, { value_field: '__value__' }), batch)).toBe(batch);
  });

  test('gives no batch when nothing is left', () => {
    const processor = create(jsonToArrowProcessor);
    expect(processor.process(batchOf(['[', ']']), callWith(rejections()))).toEqual([]);
  });

  test('keeps the fields named, byte for byte', async () => {
    const processor = create(jsonToArrowProcessor, { fields_to_include: ['b', '__proto__'] });
    const batch = batchOf([
      '{"a":1, "b" : 1.50}',
      '{"__proto__":{"x":12345678901234567890},"a":2}',
      '{"a":1}',
      '[1]',
    ]);
    const result = await run(processor, batch);
    expect(textsOf(result)).toEqual([
      '{"b" : 1.50}',
      '{"__proto__":{"x":12345678901234567890}}',
      '{}',
      '[1]',
    ]);
    expect(numbersOf(result)).toEqual([100, 101, 102, 103]);
  });

  describe.each(['bytes', 'json'] as const)('with a value_field, on %s', (format) => {
    const processor = create(jsonToArrowProcessor, { value_field: 'data', fields_to_include: ['x'] });

    test('takes the JSON out of the field', async () => {
      const payloads = [
        '{"data":"{\\"x\\": 1.0, \\"y\\":2}"}',
        '{"data":"[1]", "n":0}',
        '{"n":{"data":"2"},"\\u0064ata":"3"}',
      ];
      const result = await run(processor, batchOf(payloads, { format }));
      expect(result.format).toBe('json');
      expect(textsOf(result)).toEqual(['{"x": 1.0}', '[1]', '3']);
      expect(numbersOf(result)).toEqual([100, 101, 102]);
    });

    test.each([
      ['{"n":1}', 'MILLRACE_PROCESSOR_FAILED', 'but the message has no such field'],
      ['[1]', 'MILLRACE_PROCESSOR_FAILED', 'but the message is not an object'],
      ['{"data":{"x":1}}', 'MILLRACE_PROCESSOR_FAILED', 'but it is not a string'],
      ['{"data":"1","data":"2"}', 'MILLRACE_PROCESSOR_FAILED', 'but the message has it more than once'],
      ['{"data":"\\"\\ud800\\""}', 'MILLRACE_PROCESSOR_FAILED', 'but its text has half a surrogate pair'],
      ['{"data":"[1"}', 'MILLRACE_CODEC_INVALID_JSON', 'it ends too early, at byte 2'],
      ['{"data":"{}, {}"}', 'MILLRACE_CODEC_INVALID_JSON', 'unexpected `,` at byte 2'],
      ['{"data":""}', 'MILLRACE_CODEC_INVALID_JSON', 'the message is empty'],
    ])('rejects %s alone', async (bad, code, message) => {
      const rejected = rejections();
      const result = await run(
        processor,
        batchOf(['{"data":"1"}', bad, '{"data":"2"}'], { format }),
        rejected,
      );
      expect(textsOf(result)).toEqual(['1', '2']);
      expect(numbersOf(result)).toEqual([100, 102]);
      expect(rejected.all).toMatchObject([{ index: 1, field: 'data', error: { code } }]);
      expect(rejected.all[0]!.error.message).toContain(message);
    });
  });
});

describe('arrow_to_json', () => {
  test('leaves JSON as it is', async () => {
    const batch = batchOf(odd, { format: 'json' });
    expect(await run(create(arrowToJsonProcessor), batch)).toBe(batch);
  });

  test('makes JSON of everything else', async () => {
    const batch = batchOf(['a\n', '', Buffer.from([0xff])]);
    const result = await run(create(arrowToJsonProcessor), batch);
    expect(result.format).toBe('json');
    expect(textsOf(result)).toEqual([
      '{"__value__":"a\\n"}',
      '{"__value__":""}',
      '{"__value__":"/w==","encoding":"base64"}',
    ]);
    expect(numbersOf(result)).toEqual([100, 101, 102]);
  });

  test('keeps the fields named', async () => {
    const processor = create(arrowToJsonProcessor, { fields_to_include: ['a'] });
    const batch = batchOf(['{"b":1,"a":[1, 2]}', '{"a":9007199254740993}'], { format: 'json' });
    expect(textsOf(await run(processor, batch))).toEqual(['{"a":[1, 2]}', '{"a":9007199254740993}']);
  });
});

test.each([
  [jsonToArrowProcessor, { fields_to_include: [] }],
  [jsonToArrowProcessor, { fields: ['a'] }],
  [arrowToJsonProcessor, { fields_to_include: 'a' }],
  [arrowToJsonProcessor, { value_field: 'a' }],
])('a wrong field is refused', ({ schema }, config) => {
  if (typeof schema === 'function') throw new Error('not a plain schema');
  expect(schema.safeParse(config).success).toBe(false);
});

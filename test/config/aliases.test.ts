import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { expect, test } from 'vitest';
import { registry } from '../../src/components/index.ts';
import { describeFields } from '../../src/config/describe-fields.ts';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { parseConfig } from '../../src/config/load.ts';
import { configMistakes } from '../support/engine.ts';

const file = (rest: string): string =>
  `streams:\n  - input: { type: generate, context: x }\n    output: { type: drop }\n${rest}`;
const buffer = (fields: string): string => file(`    buffer: { type: memory, ${fields} }\n`);
const batch = (fields: string): string =>
  file(`    pipeline: { processors: [{ type: batch, ${fields} }] }\n`);
const load = (text: string) => parseConfig(text, { registry, env: {} });

test('ArkFlow’s name for a field is read as the field, in its own unit', () => {
  expect(load(buffer('capacity: 5')).streams[0]!.buffer).toEqual({ type: 'memory', count: 5, timeout: 100 });
  expect(load(batch('count: 2, timeout_ms: 250')).streams[0]!.pipeline.processors[0]).toEqual({
    type: 'batch',
    count: 2,
    timeout: 250,
  });
  expect(load(batch('count: 2, timeout: 250ms'))).toEqual(load(batch('count: 2, timeout_ms: 250')));
  expect(load(`logging: { file_path: ./x.log }\n${file('')}`).logging).toMatchObject({ path: './x.log' });
});

test.each([
  [
    buffer('count: 5, capacity: 5'),
    'streams[0].buffer.capacity: is another name of `count`; give one of the two',
  ],
  [
    batch('count: 1, timeout: 1s, timeout_ms: 1'),
    'timeout_ms: is another name of `timeout`; give one of the two',
  ],
  [
    `logging: { path: a, file_path: b }\n${file('')}`,
    'logging.file_path: is another name of `path`; give one of the two',
  ],
  [buffer('capcity: 5'), 'streams[0].buffer.capcity: unknown field; did you mean capacity?'],
  [batch('count: 1, timeout_ns: 1'), 'unknown field; did you mean timeout_ms?'],
  [buffer('capacity: 0'), 'streams[0].buffer.capacity: 0 is too small; expected at least 1'],
])('%s is a mistake', (text, message) => {
  expect(configMistakes(text).join('\n')).toContain(message);
  expect(configMistakes(text)).toHaveLength(1);
});

test('the reference lists a field once, with its other name', () => {
  const rows = describeFields(registry.schemaOf(registry.get('buffer', 'memory')));
  expect(rows.map(({ name, aliases }) => [name, aliases])).toEqual([
    ['count', ['capacity']],
    ['timeout', undefined],
  ]);
});

test('JSON Schema takes the other name, and says that it is one', () => {
  const schema = configJsonSchema(registry);
  const validate = new Ajv({ strict: false, formats: { uri: true } }).compile(schema);
  expect(validate(parse(buffer('capacity: 5')))).toBe(true);
  expect(validate(parse(buffer('capcity: 5')))).toBe(false);
  expect(JSON.stringify(schema)).toMatch(/"capacity":\{.{0,250}"deprecated":true/);
});

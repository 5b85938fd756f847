import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { expect, test } from 'vitest';
import { kinds } from '../../src/component/define.ts';
import { registry as allComponents } from '../../src/components/index.ts';
import { describeFields } from '../../src/config/describe-fields.ts';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { nearest } from '../../src/config/nearest.ts';
import { registry } from '../support/config-registry.ts';

test('the fields of a component, as its reference shows them', () => {
  const rows = describeFields(registry.schemaOf(registry.get('input', 'websocket')));
  const plain = { required: false, secret: false };
  expect(rows).toEqual([
    { ...plain, name: 'url', type: 'string', description: 'Where to connect to.' },
    {
      ...plain,
      name: 'mode',
      type: 'client | server',
      default: 'client',
      description: 'Which side connects.',
    },
    { ...plain, name: 'port', type: 'integer', modes: ['server'], description: 'The port to listen on.' },
    {
      ...plain,
      name: 'headers',
      type: 'map of string',
      default: '{}',
      description: 'Sent with each attempt.',
    },
    { ...plain, name: 'token', type: 'string', secret: true, description: 'Shown to the server.' },
    {
      ...plain,
      name: 'timeout',
      type: 'duration',
      default: '5s',
      description: 'How long a connection may take to open.',
    },
    {
      ...plain,
      name: 'max_message_size',
      type: 'size',
      default: '1MiB',
      description: 'The longest message.',
    },
    { ...plain, name: 'compress', type: 'boolean', default: 'false', description: 'Whether to compress.' },
    { ...plain, name: 'tls', type: 'object', description: 'TLS of the connection.' },
    { ...plain, name: 'tls.ca_file', type: 'string', description: 'Authorities to trust.' },
    { ...plain, name: 'tls.insecure', type: 'boolean', default: 'false', description: 'Trust anyone.' },
    expect.objectContaining({ name: 'name', type: 'string' }),
    expect.objectContaining({ name: 'codec', type: 'codec' }),
  ]);
  expect(describeFields(registry.schemaOf(registry.get('input', 'multiple_inputs')))[0]).toEqual({
    ...plain,
    name: 'inputs',
    type: 'list of input',
    required: true,
    description: 'The inputs to read.',
  });
});

test('every field of every component has a description', () => {
  const fields = kinds.flatMap((kind) =>
    allComponents.list(kind).flatMap((definition) =>
      describeFields(allComponents.schemaOf(definition)).map((row) => ({
        ...row,
        of: `${kind} ${definition.type}`,
      })),
    ),
  );
  expect(fields.length).toBeGreaterThan(30);
  expect(
    fields.filter(({ description }) => description === '').map(({ of, name }) => `${of}: ${name}`),
  ).toEqual([]);
});

test.each([
  ['hedaers', 'headers'],
  ['maxMessageSize', 'max_message_size'],
  ['max-message-size', 'max_message_size'],
  ['URL', 'url'],
  ['ul', 'url'],
  ['completely_else', undefined],
])('nearest to %s is %s', (name, known) => {
  expect(nearest(name, ['url', 'headers', 'max_message_size'])).toBe(known);
});

const validate = new Ajv({ strictTypes: false, allowUnionTypes: true, formats: { uri: true } }).compile(
  configJsonSchema(registry),
);

test.each([
  ['- input: { type: generate, context: a }', true],
  ['streams: [{ input: { type: generate, context: a } }]', true],
  ['- input: { type: generate, context: a, count: "${COUNT}" }', true],
  ['- input: { type: websocket, mode: "${MODE}", timeout: 5s, port: 80, max_message_size: 4MiB }', true],
  [
    '- input: { type: multiple_inputs, inputs: [{ type: multiple_inputs, inputs: [{ type: generate, context: a }] }] }',
    true,
  ],
  [
    '- input: { type: generate, context: a }\n  in_flight: { bytes: 1MiB }\n  output: { type: file, path: x, codec: { type: json } }',
    true,
  ],
  ['[]', false],
  ['streams: []', false],
  ['- input: { type: generate, context: a, count: "five" }', false],
  ['- input: { type: generate }', false],
  ['- input: { type: nope }', false],
  ['- input: { type: generate, context: a, conut: 5 }', false],
  ['- input: { type: websocket, mode: sever }', false],
  ['- input: { type: multiple_inputs, inputs: [{ type: nope }] }', false],
  ['streams: [{ input: { type: generate, context: a } }]\nhelth: {}', false],
])('the JSON Schema says of %j: %s', (text, valid) => {
  expect(validate(parse(text))).toBe(valid);
});

test('the JSON Schema gives defaults as a file would, and leaves out Millrace’s own marks', () => {
  const text = JSON.stringify(configJsonSchema(registry));
  expect(text).toContain('"default":"5s"');
  expect(text).toContain('"default":"64MiB"');
  expect(text).not.toContain('"format":"duration"');
  expect(text).not.toContain('"secret"');
  expect(JSON.stringify(configJsonSchema(allComponents))).toContain('"writeOnly":true');
});

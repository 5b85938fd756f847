import { expect, test } from 'vitest';
import {
  MessageValue,
  messageValue,
  type MessageColumn,
  type MessageValueConfig,
} from '../../src/clients/message-value.ts';
import { Refusals } from '../../src/clients/refusals.ts';
import type { Context } from '../../src/component/context.ts';
import { Batch } from '../../src/message/batch.ts';
import { afterTest } from '../support/cleanup.ts';

const context = { stream: { limits: { messages: 100, bytes: 1024 ** 2 } } } as unknown as Context;

async function opened(given: unknown, optional = false): Promise<MessageValue> {
  const config: MessageValueConfig = messageValue('A topic.').parse(given);
  const value = new MessageValue(config, { field: 'topic', context, optional });
  afterTest(() => value.close());
  await value.prepare();
  return value;
}

const batch = new Batch(
  [
    '{"a":"x","n":1.50,"id":1}',
    '{"n":2,"id":2}',
    '{"a":"ü","n":30000000000000000000,"id":30000000000000000000}',
  ].map((text) => Buffer.from(text)),
  { format: 'json', positions: 'own' },
).withMeta('key', ['k0', undefined, 'k2']);

/** The values, and what was rejected: `index: message`. */
async function of(value: MessageValue): Promise<{ values: MessageColumn; rejected: string[] }> {
  const refusals = new Refusals();
  const values = await value.of(batch, refusals.add, new AbortController().signal);
  return { values, rejected: refusals.list.map(({ index, error }) => `${index}: ${error.code}`) };
}

const none = 'MILLRACE_OUTPUT_NO_VALUE';

test('a text without {{…}} is one value for all messages, and so is the form of ArkFlow, as it stands', async () => {
  expect(await of(await opened('orders'))).toEqual({ values: 'orders', rejected: [] });
  expect(await of(await opened({ type: 'value', value: '{{json:a}}' }))).toMatchObject({
    values: '{{json:a}}',
  });
  expect(await of(await opened({ type: 'value', value: 7 }))).toMatchObject({ values: '7' });
});

test('a text with {{…}} has a value for each message, and a message that lacks it is rejected alone', async () => {
  expect(await of(await opened('to.{{json:a}}.{{json:n}}'))).toEqual({
    values: ['to.x.1.50', undefined, 'to.ü.30000000000000000000'],
    rejected: [`1: ${none}`],
  });
  expect(await of(await opened('{{key:-none}}'))).toEqual({ values: ['k0', 'none', 'k2'], rejected: [] });
  expect(await of(await opened('{{key}}', true))).toEqual({ values: ['k0', undefined, 'k2'], rejected: [] });
});

test('an expression is SQL over the fields of each message', async () => {
  const both = await opened({ type: 'expr', expr: "concat('to.', a) || '.' || id" });
  expect(await of(both)).toEqual({
    values: ['to.x.1', 'to..2', 'to.ü.30000000000000000000'],
    rejected: [],
  });
  expect(await of(await opened({ type: 'expr', expr: "a || '!'" }))).toEqual({
    values: ['x!', undefined, 'ü!'],
    rejected: [`1: ${none}`],
  });
});

test('a message for which the expression fails is rejected alone, with the reason', async () => {
  const { values, rejected } = await of(await opened({ type: 'expr', expr: 'CAST(id AS INTEGER) + 1' }));
  expect(values).toEqual(['2', '3', undefined]);
  expect(rejected).toHaveLength(1);
  expect(rejected[0]).toMatch(/^2: MILLRACE_/);
});

test.each([
  ['nothing +', /^not an expression: /],
  ['count(*)', 'not an expression: it needs other messages; expected an expression over one message'],
])('the expression %s is a mistake of the file', async (expr, message) => {
  await expect(opened({ type: 'expr', expr })).rejects.toThrow(message);
});

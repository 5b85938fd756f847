import { expect, test } from 'vitest';
import {
  type AnyDefinition,
  defineCodec,
  defineFraming,
  defineInput,
  defineOutput,
  defineProcessor,
} from '../../src/component/define.ts';
import { EndOfInputError, MillraceError } from '../../src/errors.ts';
import { secret } from '../../src/component/fields.ts';
import { Batch } from '../../src/message/batch.ts';
import { noReceipt } from '../../src/message/receipt.ts';
import { z } from 'zod';
import { conformance, type Subject } from '../../src/testing-api.ts';

const about = {
  type: 'broken',
  summary: 'Does something wrong.',
  status: 'stable',
  schema: z.strictObject({}),
  examples: [{ title: 'Broken', yaml: 'type: broken\n' }],
} as const;

const gives = (batch: Batch | undefined) =>
  batch === undefined
    ? Promise.reject(new EndOfInputError())
    : Promise.resolve({ batch, receipt: noReceipt });

const MESSAGES = ['{"n":0}', '{"n":1}', '{"n":2}'];
const resolved = (): Promise<void> => Promise.resolve();

/** Each breaks the promise of one case. */
const broken: readonly (readonly [string, AnyDefinition, (Subject | undefined)?])[] = [
  [
    'the examples of its definition load',
    defineOutput({
      ...about,
      examples: [{ title: 'Wrong', yaml: 'type: broken\nno: 1\n' }],
      create: () => ({ connect: resolved, write: resolved, close: resolved }),
    }),
  ],
  [
    'a field that it does not have is a mistake',
    defineProcessor({
      ...about,
      // Any value of the file is accepted.
      schema: z.strictObject({ field_of_nobody: z.unknown() }),
      create: () => ({ process: (batch) => [batch] }),
    }),
  ],
  [
    'a mistake is reported before anything runs',
    defineProcessor({ ...about, create: () => ({ process: (batch) => [batch] }) }),
    { mistake: {} },
  ],
  [
    'no secret of its fields is in logs, metrics, readiness, mistakes or metadata',
    defineInput({
      ...about,
      schema: z.strictObject({ token: secret() }),
      create({ token }) {
        const runs = [{ start: 0, origin: { source: token, ext: {} }, time: 0 }];
        const batches = [
          new Batch(
            MESSAGES.map((each) => Buffer.from(each)),
            { runs },
          ),
        ];
        return { connect: resolved, read: () => gives(batches.shift()), close: resolved };
      },
    }),
    { config: { token: 'a-token-to-keep' }, result: MESSAGES },
  ],
  [
    'it can be closed once it is connected, and closed again',
    defineOutput({
      ...about,
      create() {
        let closed = false;
        return {
          connect: resolved,
          write: resolved,
          close() {
            if (closed) return new Promise(() => {});
            closed = true;
            return Promise.resolve();
          },
        };
      },
    }),
  ],
  [
    'messages come through, each once, in order',
    defineProcessor({ ...about, create: () => ({ process: (batch) => [batch.select([1, 0])] }) }),
    { messages: MESSAGES },
  ],
  [
    'a message that it can never take is a dead letter alone, and its neighbours go on in order',
    defineCodec({
      ...about,
      create: () => ({
        decode(batch) {
          if (batch.payloads.some((payload) => payload.length === 0)) {
            throw new MillraceError('MILLRACE_PROCESSOR_FAILED', 'one is empty');
          }
          return batch;
        },
        encode: (batch) => batch,
      }),
    }),
    { refused: '' },
  ],
  [
    'it leaves the batches that it is given as they are',
    defineProcessor({
      ...about,
      create: () => ({
        process(batch) {
          batch.payloads[0]![0] = 0x20;
          return [];
        },
      }),
    }),
    { messages: MESSAGES, result: [] },
  ],
  [
    'every receipt is settled exactly once, when the stream has drained',
    defineProcessor({
      ...about,
      create: () => ({
        process(_batch, { keep }) {
          keep();
          return [];
        },
      }),
    }),
  ],
  [
    'the messages of a stream come out of the frames that they were put into',
    defineFraming({
      ...about,
      create: () => ({
        decoder: () => ({ push: () => {}, flush: () => {} }),
        binary: true,
        overhead: 0,
        fit: (payload) => payload,
        join: (messages) => Buffer.concat(messages),
      }),
    }),
  ],
];

for (const [name, definition, subject] of broken) {
  test(`a component that breaks it does not pass: ${name}`, async () => {
    const found = [...conformance(definition, { patience: 1000, ...subject })].find(
      (each) => each.name === name,
    );
    expect(found).toBeDefined();
    await expect(found!.run()).rejects.toThrow();
  });
}

test('a case that lacks something that it needs is left out, and the list says what is missing', () => {
  const definition = defineOutput({
    ...about,
    create: () => ({ connect: resolved, write: resolved, close: resolved }),
  });
  const { cases, leftOut } = conformance(definition);
  const name = 'when the stream drains, the peer gets every message that was taken in';
  expect(cases.map((each) => each.name)).not.toContain(name);
  expect(leftOut).toContainEqual({ name, why: 'a `peer`' });
});

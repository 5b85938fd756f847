import { expect, test } from 'vitest';
import { z } from 'zod';
import { defineCodec, defineFraming, defineProcessor } from '../../src/component/define.ts';
import { MillraceError } from '../../src/errors.ts';
import { engineFor, testOutput } from './harness.ts';

const meta = { summary: 'For tests.', status: 'stable', examples: [] } as const;
const schema = z.strictObject({ at: z.string().optional() });

const refuse = ({ at = 'nowhere' }: { at?: string | undefined }): never => {
  throw new MillraceError('MILLRACE_CONFIG_INVALID', `no use at ${at}`, { field: 'at' });
};
const own = [
  testOutput('framed', { write: () => Promise.resolve() }),
  defineProcessor({ ...meta, type: 'refuses', schema, create: refuse }),
  defineCodec({ ...meta, type: 'refuses', schema, create: refuse }),
  defineFraming({ ...meta, type: 'refuses', schema, create: refuse }),
  defineProcessor({
    ...meta,
    type: 'throws',
    schema,
    create: () => {
      throw new TypeError('a mistake of its author');
    },
  }),
];

const file = `streams:
  - id: s
    input:
      type: multiple_inputs
      inputs:
        - { type: memory, messages: [a] }
        - { type: memory, messages: [b], codec: { type: refuses, at: inner } }
    pipeline: { processors: [{ type: throws }, { type: refuses, at: second }] }
    output: { type: framed, framing: { type: refuses, at: engine } }
    error_output: { type: websocket, url: "ws://127.0.0.1:1", framing: { type: refuses, at: own } }
`;

test('errors of `create` are mistakes of the file, all at once and each at its place', async () => {
  const engine = engineFor(file, own);
  const problems = await engine.prepare();
  await engine.close();
  expect(problems.map(({ path, message }) => [path.slice(2).join('.'), message])).toEqual([
    ['input.inputs.1.codec.at', 'no use at inner'],
    ['pipeline.processors.0', 'a mistake of its author'],
    ['pipeline.processors.1.at', 'no use at second'],
    ['output.framing.at', 'no use at engine'],
    ['error_output.framing.at', 'no use at own'],
  ]);
});

test('without `prepare`, the stream fails and the others run', async () => {
  const engine = engineFor(
    `streams:
  - { id: broken, input: { type: memory, messages: [a] }, output: { type: drop, codec: { type: refuses } } }
  - { id: whole, input: { type: memory, messages: [a] }, output: { type: drop } }
`,
    own,
  );
  expect(await engine.run()).toMatchObject({ failed: ['broken'] });
});

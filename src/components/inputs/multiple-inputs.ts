import { z } from 'zod';
import type { ComponentConfig } from '../../component/context.ts';
import { defineInput } from '../../component/define.ts';
import { JoinedSources } from '../../component/joined-sources.ts';

/** Several inputs as one. */
export const multipleInputsInput = defineInput({
  type: 'multiple_inputs',
  summary: 'Reads several inputs as one, and ends when all have ended.',
  status: 'stable',
  framing: 'none',
  description:
    'Each input connects and reconnects by itself. Give each a `name` to tell their messages apart: it becomes their `__meta_source`.',
  schema: (components) =>
    z.strictObject({
      inputs: z
        .array(components.input)
        .min(1)
        .describe('The inputs, each with its own type, name and codec.'),
    }),
  examples: [
    {
      title: 'Two feeds',
      yaml: 'type: multiple_inputs\ninputs:\n  - name: north\n    type: websocket\n    url: ws://north.example.com/feed\n  - name: south\n    type: websocket\n    url: ws://south.example.com/feed\n',
    },
  ],
  create: ({ inputs }, context) =>
    new JoinedSources(
      (inputs as ComponentConfig[]).map((input) => context.open('input', input)),
      { ready: 'every', list: 'inputs' },
    ),
});

import { z } from 'zod';
import { natsFields } from '../../../clients/nats/fields.ts';
import { duration } from '../../../component/fields.ts';
import { settings, type Filled } from '../../../component/settings.ts';

const MODE =
  '`regular` is core NATS: messages that come while nobody is connected, or faster than the stream takes them, are lost. `jet_stream` reads a stream through a durable consumer, and acknowledges each message once it is done.';

const name = z.string().regex(/^[^\s.*>/\\]+$/, 'not a name that NATS can have');

const regular = {
  type: z.literal('regular').describe(MODE),
  subject: z.string().min(1).describe('The subject to subscribe to; it may have wildcards.'),
  queue_group: z
    .string()
    .min(1)
    .optional()
    .describe('The members of a queue group share the messages: each goes to one of them.'),
};

const jetStream = {
  type: z.literal('jet_stream').describe(MODE),
  stream: name.describe('The stream. If there is none of that name, the input waits for it.'),
  durable_name: name
    .optional()
    .describe(
      'The durable consumer, which keeps the place in the stream. If there is none of that name, Millrace creates it; one that exists keeps its own settings.',
    ),
  consumer_name: name.optional().describe('Another name of `durable_name`, as ArkFlow has it.'),
  subjects: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe('Of a new consumer: the subjects that it gets, of those of the stream. Without it, all.'),
  deliver: z
    .enum(['all', 'new', 'last'])
    .default('all')
    .describe('Of a new consumer: where it begins. With the first message, the next one, or the last.'),
  ack_wait: duration('s', { min: 1_000 })
    .default(30_000)
    .describe(
      'Of a new consumer: a message that is not acknowledged within this time comes again. While Millrace holds a message, it tells the server so.',
    ),
  max_ack_pending: z
    .int()
    .min(1)
    .default(10_000)
    .describe('Of a new consumer: how many messages may be unacknowledged, by all who share it.'),
};

const shape = {
  ...natsFields,
  mode: z
    .discriminatedUnion('type', [
      settings(regular),
      settings(jetStream, ({ durable_name, consumer_name }, fail) => {
        if (durable_name === undefined && consumer_name === undefined) fail(['durable_name'], 'missing');
      }),
    ])
    .describe('How to read.'),
  headers: z
    .array(z.string().min(1))
    .default([])
    .describe('Headers to keep as entries `header.NAME` of `__meta_ext`; their names are as NATS has them.'),
};

export const schema = settings(shape);
export type NatsInputConfig = Filled<typeof shape>;
export type JetStreamMode = Extract<NatsInputConfig['mode'], { type: 'jet_stream' }>;

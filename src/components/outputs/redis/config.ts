import { z } from 'zod';
import { messageValue } from '../../../clients/message-value.ts';
import { redisFields } from '../../../clients/redis/fields.ts';
import { valueField } from '../../../clients/value-field.ts';
import { duration } from '../../../component/fields.ts';
import { settings, type Filled } from '../../../component/settings.ts';

const KIND =
  '`stream` adds entries to a stream, `list` pushes to the end of a list, `hashes` sets a field of a hash, `strings` sets a key, and `publish` passes messages to the subscribers of the moment.';

const kind = z
  .discriminatedUnion('type', [
    settings({
      type: z.literal('stream').describe(KIND),
      stream: messageValue('The key of the stream.'),
      body_key: z.string().min(1).default('body').describe('The field of an entry that has the message.'),
      fields: z
        .record(z.string().min(1), messageValue('The value of the field.'))
        .default({})
        .describe(
          'Other fields of each entry, by name. A message that lacks a value of one goes without that field.',
        ),
      max_length: z
        .int()
        .min(1)
        .optional()
        .describe(
          'About how many entries the stream may keep; Redis removes the oldest in blocks (`MAXLEN ~`).',
        ),
    }),
    settings({ type: z.literal('list').describe(KIND), key: messageValue('The key of the list.') }),
    settings({
      type: z.literal('hashes').describe(KIND),
      key: messageValue('The key of the hash.'),
      field: messageValue('The field of the hash.'),
    }),
    settings({
      type: z.literal('strings').describe(KIND),
      key: messageValue('The key.'),
      ttl: duration('s', { min: 1 }).optional().describe('How long the key lives after each message.'),
    }),
    settings({ type: z.literal('publish').describe(KIND), channel: messageValue('The channel.') }),
  ])
  .describe('The kind of thing to write to.');

const shape = {
  ...redisFields,
  redis_type: kind,
  value_field: valueField,
  replicas: z
    .int()
    .min(0)
    .default(0)
    .describe(
      'How many replicas must have the messages before they are confirmed (`WAIT`). If they do not within `timeout`, the batch is written again.',
    ),
};

export const schema = settings(shape, ({ mode, replicas }, fail) => {
  if (mode.type === 'cluster' && replicas > 0) fail(['replicas'], 'not possible with `mode.type: cluster`');
});
export type RedisOutputConfig = Filled<typeof shape>;
export type RedisKind = RedisOutputConfig['redis_type'];

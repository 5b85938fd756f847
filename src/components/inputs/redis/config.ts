import { z } from 'zod';
import { redisFields } from '../../../clients/redis/fields.ts';
import { duration } from '../../../component/fields.ts';
import { settings, type Filled } from '../../../component/settings.ts';

const KIND =
  '`stream` reads entries as a member of a consumer group, `list` takes elements from the start of lists, and `subscribe` hears channels.';

const names = (what: string) => z.array(z.string().min(1)).min(1).describe(what);

const consumer = z
  .string()
  .min(1)
  .optional()
  .describe(
    'The name of this consumer. Two processes that run at the same time need two names. Default: the names of the host and of the stream.',
  );

const kind = z
  .discriminatedUnion('type', [
    settings({
      type: z.literal('stream').describe(KIND),
      streams: names('The keys of the streams.'),
      consumer_group: z.string().min(1).describe('The consumer group. It is created if it does not exist.'),
      consumer,
      start_from_oldest: z
        .boolean()
        .default(true)
        .describe(
          'Whether a new group begins with the oldest entry, and not with the next one that is added.',
        ),
      body_key: z
        .string()
        .min(1)
        .default('body')
        .describe(
          'The field of an entry that is the message. An entry without it becomes a JSON object of all its fields.',
        ),
      fields: z
        .array(z.string().min(1))
        .default([])
        .describe('Other fields of an entry, which become entries of `__meta_ext` with these names.'),
      claim_after: duration('s', { min: 1 })
        .default(300_000)
        .describe(
          'Takes over an entry that another consumer of the group has held for so long without a sign of life. All consumers of a group should have the same value.',
        ),
    }),
    settings({ type: z.literal('list').describe(KIND), list: names('The keys of the lists.'), consumer }),
    settings({
      type: z.literal('subscribe').describe(KIND),
      subscribe: z
        .discriminatedUnion('type', [
          settings({
            type: z.literal('channels').describe('`channels` by their names, or by `patterns`.'),
            channels: names('The channels.'),
          }),
          settings({
            type: z.literal('patterns').describe('`channels` by their names, or by `patterns`.'),
            patterns: names('Patterns of channels, such as `news.*`.'),
          }),
        ])
        .describe('The channels to hear.'),
    }),
  ])
  .describe('The kind of thing to read.');

const shape = { ...redisFields, redis_type: kind };

export const schema = settings(shape);
export type RedisInputConfig = Filled<typeof shape>;
type Kind = RedisInputConfig['redis_type'];
export type StreamKind = Extract<Kind, { type: 'stream' }>;
export type ListKind = Extract<Kind, { type: 'list' }>;
export type SubscribeKind = Extract<Kind, { type: 'subscribe' }>;

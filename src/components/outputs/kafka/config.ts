import { z } from 'zod';
import { kafkaFields } from '../../../clients/kafka/fields.ts';
import { messageValue } from '../../../clients/message-value.ts';
import { valueField } from '../../../clients/value-field.ts';
import { settings, type Filled } from '../../../component/settings.ts';

const shape = {
  ...kafkaFields,
  topic: messageValue('The topic to write a message to.'),
  key: messageValue(
    'The key of a message. Messages with one key go to one partition, in order, to the same as from Java’s producer. A message that lacks a value goes without a key.',
  ).optional(),
  partition: messageValue(
    'The number of the partition. Without it, the key decides; messages without a key go to one partition for each batch, in turn.',
  ).optional(),
  headers: z
    .record(z.string().min(1), messageValue('The value of the header.'))
    .default({})
    .describe(
      'Headers of each message, by name. A message that lacks a value of one goes without that header.',
    ),
  compression: z
    .enum(['none', 'gzip', 'snappy', 'lz4', 'zstd'])
    .default('none')
    .describe('How the messages of a request are compressed.'),
  acks: z
    .enum(['0', '1', 'all'])
    .default('all')
    .describe(
      'The replicas that must have a message before it is confirmed: `all` of those in sync, the leader alone with `1`, and none with `0`. Only `all` survives the loss of a broker.',
    ),
  idempotent: z
    .boolean()
    .default(true)
    .describe(
      'Brokers drop what is sent to them again after an outage shorter than `timeout`. Needs `acks: all`; with others it does nothing.',
    ),
  value_field: valueField,
};

export const schema = settings(shape);
export type KafkaOutputConfig = Filled<typeof shape>;

import { z } from 'zod';
import { messageValue } from '../../../clients/message-value.ts';
import { natsFields } from '../../../clients/nats/fields.ts';
import { valueField } from '../../../clients/value-field.ts';
import { settings, type Filled } from '../../../component/settings.ts';

const subject = messageValue('The subject to publish a message to.');

const MODE =
  '`regular` is core NATS: the server has confirmed that it has the messages, and passes them to whoever subscribes at that moment. `jet_stream` stores them in a stream: each is confirmed once the stream has it.';

const mode = z
  .discriminatedUnion('type', [
    settings({ type: z.literal('regular').describe(MODE), subject }),
    settings({
      type: z.literal('jet_stream').describe(MODE),
      subject,
      stream: z
        .string()
        .min(1)
        .optional()
        .describe(
          'The stream that must have the messages; the server refuses those that would land in another one. If `subject` is the same for all messages, it is found without this.',
        ),
      message_id: messageValue(
        'The `Nats-Msg-Id` of a message, by which the stream knows repeats within its `duplicate_window`. Without it, Millrace makes one of the batch and the place in it, which is the same when it writes the message again.',
      ).optional(),
    }),
  ])
  .describe('How to publish.');

const shape = {
  ...natsFields,
  mode,
  headers: z
    .record(
      z.string().regex(/^[!-9;-~]+$/, 'not the name of a header'),
      messageValue('The value of the header.'),
    )
    .default({})
    .describe(
      'Headers of each message, by name. A message that lacks a value of one goes without that header.',
    ),
  value_field: valueField,
};

export const schema = settings(shape);
export type NatsOutputConfig = Filled<typeof shape>;

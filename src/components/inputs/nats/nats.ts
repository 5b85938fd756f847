import { defineInput } from '../../../component/define.ts';
import { schema } from './config.ts';
import { NatsCoreInput } from './core.ts';
import { NatsStreamInput } from './jet-stream.ts';

/** Reads from NATS. */
export const natsInput = defineInput({
  type: 'nats',
  givesBytes: true,
  summary: 'Reads from NATS: a subject, or a JetStream stream.',
  status: 'beta',
  description: `With \`mode.type: jet_stream\`, a durable consumer keeps the place in the stream. A message is acknowledged once it is done: written, dropped by a processor, or in \`error_output\`; behind a log, once the log has it. A message that was not acknowledged, because the process or the server has died, comes again: in order, but perhaps after others. Several processes with one \`durable_name\` share the messages.

With \`mode.type: regular\`, the server passes each message on once and forgets it. Messages that come while the connection is down are lost, and so are those that come while \`in_flight\` is full: \`millrace_messages_dropped_total\` with the reason \`overflow\` counts these.

Metadata: \`__meta_ext\` has \`subject\`, and \`header.NAME\` for each of \`headers\`. From a stream, \`__meta_offset\` is the sequence of the message, \`__meta_event_time\` the time at which it was stored, and \`__meta_ext\` has \`stream\`, \`consumer\` and \`deliveries\`: 1 the first time that the server gives the message, 2 the second.`,
  schema,
  examples: [
    {
      title: 'A stream',
      yaml: 'type: nats\nurl: nats://localhost:4222\nmode:\n  type: jet_stream\n  stream: READINGS\n  durable_name: millrace\nheaders: [Origin]\n',
    },
    {
      title: 'A part of what is published to a subject',
      yaml: 'type: nats\nurl: nats://localhost:4222\nmode: { type: regular, subject: ticks.>, queue_group: millrace }\n',
    },
  ],
  create: (config, context) =>
    config.mode.type === 'regular'
      ? new NatsCoreInput(config, context)
      : new NatsStreamInput(config, config.mode, context),
});

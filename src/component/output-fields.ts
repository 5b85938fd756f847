import { z } from 'zod';
import { duration, size } from './fields.ts';

/** The name of an output in logs, metrics and readiness. */
export const outputName = z
  .string()
  .min(1)
  .optional()
  .meta({ shown: true })
  .describe(
    'Its name in logs, metrics and readiness, where a stream has several outputs. Default: its type.',
  );

/** How often an output is tried. */
export const retry = z
  .strictObject({
    max_attempts: z
      .int()
      .min(1)
      .optional()
      .describe(
        'How many attempts to write a message, or to connect for it, may fail before it goes to `error_output`. Without it, Millrace retries forever.',
      ),
    max_elapsed: duration('s', { min: 1 })
      .optional()
      .describe(
        'How long a message may take from its first attempt before it goes to `error_output`. An attempt that is under way then is cut off. Without it, Millrace retries forever.',
      ),
    initial: duration('s', { min: 1 })
      .optional()
      .describe(
        'The longest pause before the first retry; it doubles with each failure. Default: 500ms, or what `reconnect` of the output says.',
      ),
    max: duration('s', { min: 1 })
      .optional()
      .describe('The longest pause. Default: 30s, or what `reconnect` of the output says.'),
  })
  .describe('Limits and pauses of the attempts to write.');

/** How much may wait for an output. */
export const queue = z
  .strictObject({
    max_messages: z.int().min(1).default(10_000).describe('The most messages that wait for the output.'),
    max_bytes: size({ min: 1 })
      .default(16 * 1024 ** 2)
      .describe('The most bytes of payload that wait for the output.'),
    on_full: z
      .enum(['block', 'drop_newest', 'drop_oldest'])
      .default('block')
      .describe(
        'The policy when the queue is full: the stream waits, or Millrace drops messages for this output alone, the newest or those that have waited longest. Dropped messages are confirmed, and counted in `millrace_messages_dropped_total` with the reason `queue_full`.',
      ),
  })
  .describe(
    'How far the output may fall behind the others of `fan_out` or `switch` before it holds them back. With a policy that drops, any output can have it. All that waits also counts in `in_flight`.',
  );

export type RetryConfig = z.output<typeof retry>;
export type QueueConfig = z.output<typeof queue>;

/** The queue of an output that configures none. */
export const defaultQueue: QueueConfig = queue.parse({});

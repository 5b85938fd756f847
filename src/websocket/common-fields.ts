import { duration, size, tls } from '../component/fields.ts';
import { compression } from './compression.ts';

/** What every end of a WebSocket has. */
export const commonFields = {
  max_message_size: size({ min: 1, max: 2 ** 30 })
    .default(1024 * 1024)
    .describe(
      'The largest message to accept, after decompression. A larger one closes its connection with 1009, before it is read.',
    ),
  compression,
  tls: tls
    .optional()
    .describe('TLS, for `wss://`. A server needs `cert_file` and `key_file`; a client needs nothing here.'),
  ping_interval: duration('s')
    .default(30_000)
    .describe('A connection that has been quiet this long gets a ping. 0 turns pings off.'),
  ping_timeout: duration('s', { min: 1 })
    .default(10_000)
    .describe(
      'A connection that stays quiet this long after a ping is dead: it is cut, and a client connects again.',
    ),
};

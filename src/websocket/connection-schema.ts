import { z } from 'zod';
import { duration, size } from '../component/fields.ts';
import { checkTemplate } from '../component/template.ts';
import { attemptNames } from './client/values.ts';
import { compression } from './compression.ts';

/** The name of a subprotocol, which is a token (RFC 6455 section 4.1). */
export const SUBPROTOCOL = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Names of subprotocols (RFC 6455 section 1.9); a client's may hold templates. */
export const subprotocols = z
  .array(
    z.string().superRefine((name, context) => {
      if (name.includes('{{')) checkTemplate(name, attemptNames, context);
      else if (!SUBPROTOCOL.test(name)) {
        context.addIssue({ code: 'custom', message: 'not a subprotocol name (RFC 6455 section 4.1)' });
      }
    }),
  )
  .refine((names) => new Set(names).size === names.length, {
    message: 'each subprotocol can be named only once',
  });

/** The fields that both ends of a WebSocket have. */
export const connectionFields = {
  protocols: subprotocols
    .default([])
    .describe(
      'Subprotocols. A client offers them in this order; a server picks the first of them that the client offers.',
    ),
  max_message_size: size({ min: 1, max: 2 ** 30 })
    .default(1024 * 1024)
    .describe(
      'The largest message to accept, after decompression. A larger one closes its connection with 1009, before it is read.',
    ),
  compression: compression.default(false),
  ping_interval: duration('s')
    .default(30_000)
    .describe('A connection that has been silent this long gets a ping. 0 turns pings off.'),
  ping_timeout: duration('s', { min: 1 })
    .default(10_000)
    .describe(
      'A connection that stays silent this long after a ping is dead: it is cut, and a client reconnects.',
    ),
};

/** The description of `tls`, for both ends. */
export const TLS =
  'TLS, for `wss://`. A server needs `cert_file` and `key_file`; a client needs nothing here.';

/** The description of `limits`, for both ends. */
export const LIMITS = 'Limits on the other side. A client has only `fragments`.';

/** The most frames in one message. */
export const fragments = z
  .int()
  .min(1)
  .default(16_384)
  .describe('The most frames in one message; more close its connection with 1008.');

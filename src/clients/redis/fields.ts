import { z } from 'zod';
import { clientTls, duration, secret } from '../../component/fields.ts';
import { settings, type Filled } from '../../component/settings.ts';

/** A server: user, password and number of the database may stand in it. */
const SERVER =
  /^rediss?:\/\/(?:[^@\s/]*@)?(?:\[[^\]\s]+\]|[^:@/\s?#]+)(?::\d{1,5})?(?:\/(?<database>\d{0,5})?)?$/i;

const EXPECTED = 'not a Redis server; expected one like redis://host:6379/0, or rediss:// for TLS';

const serverUrl = secret(z.string().regex(SERVER, EXPECTED)).meta({ secret: true });

const nodeUrl = secret(
  z.string().superRefine((url, context) => {
    const server = SERVER.exec(url);
    if (server === null) context.addIssue({ code: 'custom', message: EXPECTED });
    else if (Number(server.groups?.['database'] ?? 0) > 0)
      context.addIssue({ code: 'custom', message: 'a cluster has only the database 0' });
  }),
).meta({ secret: true });

const MODE = '`single` is one server; `cluster` is a Redis cluster.';

const mode = z
  .discriminatedUnion('type', [
    settings({
      type: z.literal('single').describe(MODE),
      url: serverUrl.describe(
        'The server, such as `redis://user:password@host:6379/0`. With `rediss://`, the connection uses TLS.',
      ),
    }),
    settings({
      type: z.literal('cluster').describe(MODE),
      urls: z
        .array(nodeUrl)
        .min(1)
        .describe(
          'Some nodes of the cluster, which name the others. User and password are those of the first.',
        ),
    }),
  ])
  .describe('Where Redis (or Valkey) is.');

/** The fields of every Redis client. */
export const redisFields = {
  mode,
  username: z.string().min(1).optional().describe('The user (Redis 6), if it is not in the URL.'),
  password: secret(z.string())
    .optional()
    .meta({ secret: true })
    .describe('The password, if it is not in the URL.'),
  password_file: z.string().optional().describe('A file that holds the password, read at each attempt.'),
  tls: clientTls.optional().describe('TLS, also where the URL does not ask for it.'),
  timeout: duration('s', { min: 1 })
    .default(5_000)
    .describe(
      'How long the server may take to answer: to connect, and to confirm what it was sent. Then the connection counts as lost.',
    ),
};

export type RedisConfig = Filled<typeof redisFields>;

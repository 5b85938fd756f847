import { z } from 'zod';
import { clientTls, duration, secret } from '../../component/fields.ts';
import { settings, type Filled } from '../../component/settings.ts';

/** A server: with or without its scheme, its credentials and its port. */
const SERVER = /^(?:(?:nats|tls):\/\/)?(?:[^@\s/]+@)?(?:\[[^\]\s]+\]|[^:@/\s]+)(?::\d{1,5})?\/?$/i;

const auth = settings(
  {
    username: z.string().min(1).optional().describe('The user.'),
    password: secret(z.string()).optional().meta({ secret: true }).describe('The password.'),
    password_file: z.string().optional().describe('A file that holds the password, read at each attempt.'),
    token: secret(z.string().min(1)).optional().meta({ secret: true }).describe('The token.'),
    token_file: z.string().optional().describe('A file that holds the token, read at each attempt.'),
    credentials_file: z
      .string()
      .optional()
      .describe('A `.creds` file with a JWT and its seed, read at each attempt.'),
    seed_file: z.string().optional().describe('A file with the seed of an NKey, read at each attempt.'),
  },
  (value, fail) => {
    const { username, password, password_file, ...others } = value;
    const ways = [username, ...Object.values(others)].filter((each) => each !== undefined);
    if (ways.length !== 1)
      fail([], 'expected one of username, token, token_file, credentials_file, seed_file');
    const passwords = [password, password_file].filter((each) => each !== undefined).length;
    if (username !== undefined && passwords !== 1) fail([], 'expected one of password, password_file');
    if (username === undefined && passwords > 0) fail(['username'], 'missing');
  },
);

/** The fields of every NATS client. */
export const natsFields = {
  url: secret(
    z.union([z.string(), z.array(z.string()).min(1)]).transform((given, context) => {
      const servers = [given].flat().flatMap((each) => each.split(',').map((server) => server.trim()));
      for (const server of servers) {
        if (SERVER.test(server)) continue;
        const message =
          'not a NATS server; expected one like nats://host:4222, or several with commas between them';
        context.addIssue({ code: 'custom', message });
      }
      return servers;
    }),
  )
    .meta({ secret: true })
    .describe(
      'The servers of one cluster, such as `nats://host:4222`: a list, or text with commas. Each attempt to connect tries them in turn. `tls://` demands TLS.',
    ),
  auth: auth.optional().describe('How to prove who you are. Without it, the user in `url`, if there is one.'),
  tls: clientTls
    .optional()
    .describe('TLS. A server that offers it gets it even without this; with this, no other will do.'),
  timeout: duration('s', { min: 1 })
    .default(5_000)
    .describe(
      'How long the server may take to answer: to connect, and to confirm what it was sent. Then the connection counts as lost.',
    ),
};

export type NatsConfig = Filled<typeof natsFields>;

import { isIP } from 'node:net';
import { z } from 'zod';
import { parseAddress } from '../../component/address.ts';
import { allowedHosts } from '../../component/host-policy.ts';
import { duration, headerName, port, secret, serverTls, size } from '../../component/fields.ts';
import { settings, type Filled } from '../../component/settings.ts';
import { serverAuth } from '../../net/auth/auth-schema.ts';
import { connectionFields, fragments, LIMITS, TLS } from '../connection-schema.ts';
import { outgoing } from '../messages.ts';
import { isOriginWord, parseOrigin } from '../../net/origins.ts';
import { sessionNames } from './session-names.ts';

const addressRange = z.string().refine((value) => {
  const [address = '', bits, ...rest] = value.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}, 'not an address; expected one like 10.0.0.7, 10.0.0.0/8 or fd00::/8');

const origin = z
  .string()
  .refine(
    (value) => value === '*' || isOriginWord(value) || parseOrigin(value, true) !== undefined,
    'not an origin; expected one like https://app.example.com, https://*.example.com, file://, null or *',
  );

const rate = z.number().positive();

const limits = settings(
  {
    fragments,
    connections: z
      .int()
      .min(1)
      .default(10_000)
      .describe('The most connections at the same time; more get 503.'),
    connections_per_address: z
      .int()
      .min(1)
      .optional()
      .describe(
        'The most connections at the same time from one address (for IPv6, one /64); more get 429. No limit by default.',
      ),
    handshake_timeout: duration('s', { min: 1 })
      .default(10_000)
      .describe('How long a handshake may take, from the connection to the last header. One value per port.'),
    header_size: size({ min: 1024, max: 1024 * 1024 })
      .default(16 * 1024)
      .describe('The most bytes of headers in a handshake; more get 431. One value per port.'),
    messages_per_second: rate
      .optional()
      .describe(
        'Messages that each connection may send, on average; one second’s worth may come at once. `rate_per` can share the rate among connections.',
      ),
    bytes_per_second: size({ min: 1 })
      .optional()
      .describe(
        'Bytes of messages that each connection may send, on average; one second’s worth may come at once.',
      ),
    over_rate: z
      .enum(['pause', 'close'])
      .default('pause')
      .describe(
        'The policy for a connection that sends more: `pause` stops reading from it until the rate is met again, which makes its sender wait; `close` closes it with 1008.',
      ),
    rate_per: z
      .enum(['connection', 'subject', 'address'])
      .default('connection')
      .describe(
        'The connections that share the rates: each `connection` has its own; all connections that authenticated as one `subject` share them (without a subject, those of one address); or all connections of one `address` (for IPv6, one /64). With the last two, a client that reconnects continues where it was.',
      ),
    idle_timeout: duration('s', { min: 1 })
      .optional()
      .describe(
        'A connection that sends no message for this long is closed with 1008. Pings do not count. Off by default.',
      ),
    in_flight_share: z
      .number()
      .gt(0)
      .max(1)
      .default(0.25)
      .describe(
        'The part of the stream’s `in_flight` that one connection may fill. A connection that has filled it does not stop the others.',
      ),
    outgoing_bytes: size({ min: 1024 })
      .default(1024 * 1024)
      .describe('The most bytes that may wait to be sent to one connection.'),
    failed_logins: z
      .int()
      .min(1)
      .default(10)
      .describe(
        'The most failures to authenticate of one address (for IPv6, one /64) in a minute; further ones get 429. Correct credentials are accepted all the same, because several clients may share the address. A genuine token that is not valid now does not count as a failure, nor does a handshake without credentials.',
      ),
  },
  ({ messages_per_second, bytes_per_second }, fail, given) => {
    if (messages_per_second !== undefined || bytes_per_second !== undefined) return;
    for (const field of ['over_rate', 'rate_per'] as const)
      if (given[field] !== undefined) fail([field], 'needs messages_per_second or bytes_per_second');
  },
).describe(LIMITS);

export type Limits = z.output<typeof limits>;

/** The path on which a server accepts connections. */
export const path = z
  .string()
  .regex(/^\/[^?#\s]*$/, 'not a path; expected one that starts with / and has no ?, # or space')
  .refine((value) => !/[^!-~\s]/.test(value), {
    message: 'clients percent-encode characters outside ASCII; do the same here, as in /caf%C3%A9',
  })
  .superRefine((value, context) => {
    const names = value.split('/').filter((segment) => segment.startsWith(':'));
    for (const name of names) {
      if (/^:[A-Za-z_]\w*$/.test(name)) continue;
      context.addIssue({
        code: 'custom',
        message: `not a parameter: ${name}; expected a name, as in /devices/:id`,
      });
    }
    if (new Set(names).size < names.length) {
      context.addIssue({ code: 'custom', message: 'each parameter can be named only once' });
    }
  });

const drain = z.strictObject({
  code: z
    .union([z.literal(1001), z.literal(1012)])
    .default(1001)
    .describe(
      'The close code: 1001 (going away), or 1012 (service restart), which tells clients to reconnect.',
    ),
  timeout: duration('s', { min: 1, max: 30_000 })
    .default(10_000)
    .describe(
      'How long clients have to answer the close before they are cut. If an output sends to the sessions of an input, messages in flight first get the same time to be answered. The whole shutdown may take 30 seconds.',
    ),
});

/** The fields of every WebSocket server: the input in server mode, and the output in server mode. */
export const serverFields = {
  url: secret(
    z.string({
      error: ({ input }) => (Array.isArray(input) ? 'a list of URLs is for `mode: client`' : undefined),
    }),
  )
    .optional()
    .meta({ secret: true })
    .describe(
      'Server: the address to bind, `ws://0.0.0.0:8080/ws` or `0.0.0.0:8080`, instead of `host`, `port` and `path`.',
    ),
  host: z.string().min(1).default('0.0.0.0').meta({ shown: true }).describe('The host address to bind.'),
  port: port.optional().describe('The port to listen on; 0 picks a free one. Required without `url`.'),
  path: path
    .default('/')
    .describe(
      'The URL path to accept connections on, compared exactly. A segment `:name` matches any value, which is kept as `param.<name>`. Other paths get 404.',
    ),
  protocol_required: z
    .boolean()
    .default(false)
    .describe('Refuse clients that offer none of `protocols`, with 400.'),
  allowed_origins: z
    .array(origin)
    .optional()
    .describe(
      'The web pages that may connect, by origin: `https://app.example.com`, `https://*.example.com`; `null` or `file://` for files, as the browser sends it; `*` for all. Others get 403. Without it, only pages from the host and port that they connect to may. Clients other than browsers send no origin, and may connect.',
    ),
  allowed_hosts: allowedHosts
    .optional()
    .describe(
      'The names by which clients may address this server, in `Host`: `feed.example.com`, `*.example.com`, `*` for all. Others get 403; IP addresses and `localhost` always pass. Without it, and without `allowed_origins`, a page that connects from this very machine must ask for `localhost`, an address or the machine’s name, so that no site can make its own name resolve to this server.',
    ),
  trusted_proxies: z
    .array(addressRange)
    .default([])
    .describe(
      'Addresses of proxies whose `X-Forwarded-For` is trusted: `remote_address` and the limits by address then apply to the client before them. Behind a proxy that ends TLS, `X-Forwarded-Host` and `X-Forwarded-Proto` say which host a page may come from.',
    ),
  welcome: outgoing(sessionNames)
    .optional()
    .describe(
      'A message to send to each client when it has connected: text; `{ base64: … }`; or any other JSON value. Strings in it may hold `{{meta:session_id}}` and the like.',
    ),
  drain: drain.prefault({}).describe('How connections end at shutdown.'),
  metadata: z
    .strictObject({
      headers: z
        .array(headerName)
        .default([])
        .describe('Headers of the handshake to keep, as `header.<name>`.'),
      query: z
        .array(z.string().min(1))
        .default([])
        .describe(
          'Query parameters of the URL to keep, as `query.<name>`. The values of a repeated parameter are joined with commas.',
        ),
    })
    .prefault({})
    .describe(
      'The parts of the handshake to add to `__meta_ext` of the session and its messages. In an output, they are for `match` and `welcome`.',
    ),
  auth: serverAuth.optional(),
  limits: limits.prefault({}),
  tls: serverTls.optional().describe(TLS),
  ...connectionFields,
};

/** The settings of a server, whichever component it belongs to. */
export type ServerConfig = Filled<typeof serverFields>;

/** The reason that goes with the close code at shutdown. */
export function drainReason({ code }: ServerConfig['drain']): string {
  return code === 1012 ? 'service restart' : 'going away';
}

/** The address that a server binds: `url` stands for host, port and path. */
export function bindAddress({
  url,
  host,
  port,
  path,
}: Pick<ServerConfig, 'url' | 'host' | 'port' | 'path'>): {
  host: string;
  port: number;
  path: string;
} {
  const address = url === undefined ? undefined : parseAddress(url);
  if (address === undefined) return { host, port: port ?? 0, path };
  const ofUrl = address.path === undefined || address.path === '/' ? path : address.path;
  return { host: address.host, port: address.port, path: ofUrl };
}

import { z } from 'zod';
import { parseAddress } from '../../../component/address.ts';
import {
  duration,
  headers,
  port,
  reconnect,
  refuseOtherMode,
  secret,
  size,
  subprotocols,
  tls,
  websocketUrl,
} from '../../../component/fields.ts';

const server = { mode: 'server' } as const;
const client = { mode: 'client' } as const;

const shape = {
  mode: z
    .enum(['client', 'server'])
    .default('client')
    .describe('`client` connects to a WebSocket server; `server` listens for connections.'),
  url: secret(z.string())
    .optional()
    .describe(
      'Client: the server’s URL, `ws://` or `wss://`; required. Server: the address to bind, `ws://0.0.0.0:8080/ws` or `0.0.0.0:8080`, in place of `host`, `port` and `path`.',
    ),
  host: z
    .string()
    .min(1)
    .optional()
    .meta({ ...server, default: '0.0.0.0' })
    .describe('Host address to bind.'),
  port: port
    .optional()
    .meta(server)
    .describe('Port to listen on; 0 takes a free one. Required without `url`.'),
  path: z
    .string()
    .regex(/^\/[^?#\s]*$/, 'not a path; expected one that starts with / and has no ?, # or space')
    .optional()
    .meta({ ...server, default: '/' })
    .describe('URL path to accept connections on, compared exactly. Other paths get 404.'),
  headers: secret(headers)
    .optional()
    .meta({ ...client, secret: true, default: {} })
    .describe('Headers to send with the handshake, at every attempt.'),
  timeout: duration('s', { min: 1 })
    .optional()
    .meta({ ...client, default: '10s' })
    .describe('How long the handshake may take. A bare number is seconds.'),
  protocols: subprotocols
    .default([])
    .describe(
      'Subprotocols. A client offers them in this order; a server picks the first of them that the client offers.',
    ),
  max_message_size: size({ min: 1, max: 2 ** 30 })
    .default(1024 * 1024)
    .describe(
      'The largest message to accept. A larger one closes its connection with 1009, before it is read.',
    ),
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
  reconnect: reconnect
    .optional()
    .meta({ ...client, default: {} })
    .describe(
      'Pauses between attempts to connect: exponential, each drawn at random from nothing up to its limit.',
    ),
  metadata: z
    .strictObject({
      headers: z
        .array(z.string().min(1).toLowerCase())
        .default([])
        .describe('Headers of the handshake to keep, as `header.<name>`.'),
      query: z
        .array(z.string().min(1))
        .default([])
        .describe('Query parameters of the URL to keep, as `query.<name>`.'),
    })
    .optional()
    .meta({ ...server, default: {} })
    .describe('What of the handshake goes into `__meta_ext` besides what always does.'),
};

const modes = z.strictObject(shape).superRefine(
  (value, context) => {
    refuseOtherMode(shape, value, value.mode, (field, message) =>
      context.addIssue({ code: 'custom', path: [field], message }),
    );
  },
  // Also where another field is wrong, so that all mistakes are told at once.
  { when: ({ value }) => shape.mode.safeParse((value as { mode?: unknown } | null)?.mode).success },
);

export const schema = modes.superRefine((value, context) => {
  const fail = (path: string[], message: string): void => context.addIssue({ code: 'custom', path, message });
  if (value.mode === 'client') {
    if (value.url === undefined)
      return fail(['url'], 'missing; a client needs the URL of a server, like ws://host:port/path');
    const problem = websocketUrl.safeParse(value.url).error?.issues[0];
    if (problem !== undefined) return fail(['url'], problem.message);
    if (value.tls !== undefined && !value.url.toLowerCase().startsWith('wss:')) {
      fail(['tls'], 'has no effect with a ws:// URL; use wss:// or remove it');
    }
    return;
  }
  if (value.tls !== undefined) {
    refuseOtherMode(tls.shape, value.tls, 'server', (field, message) => fail(['tls', field], message));
    if (value.tls.cert_file === undefined) fail(['tls'], 'a server needs cert_file and key_file');
  }
  if (value.url === undefined) {
    if (value.port === undefined)
      fail(['port'], 'missing; a server needs `port`, or `url` with the address to bind');
    return;
  }
  const address = parseAddress(value.url);
  if (address === undefined) {
    return fail(['url'], 'not an address to bind; expected one like ws://0.0.0.0:8080/ws or 0.0.0.0:8080');
  }
  for (const name of ['host', 'port'] as const) {
    if (value[name] !== undefined) fail([name], 'given by `url` already; remove one of the two');
  }
  if (value.path !== undefined && address.path !== undefined && address.path !== '/') {
    fail(['path'], 'given by `url` already; remove one of the two');
  }
  if (address.secure && value.tls === undefined)
    fail(['tls'], 'missing; a wss:// address needs cert_file and key_file');
  if (/^ws:/i.test(value.url) && value.tls !== undefined)
    fail(['tls'], 'does not fit a ws:// address; use wss://');
});

export type WebSocketInputConfig = z.output<typeof schema>;

/** Where a server binds, with every default filled in. */
export function bindAddress(config: WebSocketInputConfig): { host: string; port: number; path: string } {
  const address = config.url === undefined ? undefined : parseAddress(config.url);
  return {
    host: address?.host ?? config.host ?? '0.0.0.0',
    port: address?.port ?? config.port ?? 0,
    path: config.path ?? address?.path ?? '/',
  };
}

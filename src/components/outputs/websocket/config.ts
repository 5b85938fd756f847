import { z } from 'zod';
import { duration, forMode, refuseOtherMode, secret, size } from '../../../component/fields.ts';
import { checkTemplate } from '../../../component/template.ts';
import { auth, checkAuth } from '../../../net/auth/fields.ts';
import { checkClientConfig } from '../../../websocket/client/check.ts';
import {
  clientFields,
  subprotocols,
  websocketUrl,
  type ClientConfig,
} from '../../../websocket/client/fields.ts';
import { commonFields } from '../../../websocket/common-fields.ts';
import { checkServer } from '../../../websocket/server/check.ts';
import { isSessionEntry } from '../../../websocket/server/session-entries.ts';
import {
  checkClientLimits,
  limitsField,
  serverFields,
  type ServerConfig,
} from '../../../websocket/server/fields.ts';
import { checkMatch } from './match-check.ts';
import { findBadPath, matchNames } from './match.ts';

const match = z
  .record(z.string(), z.string())
  .superRefine((value, context) => {
    const entries = Object.entries(value);
    if (entries.length === 0) context.addIssue({ code: 'custom', message: 'nothing to match' });
    for (const [entry, text] of entries) {
      if (!isSessionEntry(entry)) {
        context.addIssue({
          code: 'custom',
          path: [entry],
          message:
            'no session has such an entry; expected session_id, remote_address, path, protocol, subject, or one that begins with param., query., header. or claim.',
        });
      }
      checkTemplate(text, matchNames, context, [entry]);
      const bad = findBadPath(text);
      if (bad !== undefined) {
        const message = `not a JSON path: ${bad}; expected one like id, data.id or items[0].id`;
        context.addIssue({ code: 'custom', path: [entry], message });
      }
    }
  })
  .describe(
    'Which sessions get a message: those whose `__meta_ext` has these entries with these values, as `param.room` or `subject`. Values may hold `{{meta:NAME}}`, an entry of the message’s `__meta_ext`, and `{{json:PATH}}`, what is there in its payload. A session’s entry that is a query parameter may hold several values: with commas between them, or given several times (100 at most). A message that has no value for one of them goes to nobody. Without `match` all sessions of the path get every message.',
  );

/** Left out means not set: not every mode has them. */
const optionalCommon = {
  max_message_size: commonFields.max_message_size
    .unwrap()
    .optional()
    .meta({ default: '1MiB' })
    .describe(
      'The largest message to accept, after decompression; what is received is dropped. A larger one closes its connection with 1009, before it is read.',
    ),
  compression: commonFields.compression
    .unwrap()
    .optional()
    .meta({ default: false })
    .describe(commonFields.compression.description ?? ''),
  tls: commonFields.tls,
  ping_interval: commonFields.ping_interval
    .unwrap()
    .optional()
    .meta({ default: '30s' })
    .describe(commonFields.ping_interval.description ?? ''),
  ping_timeout: commonFields.ping_timeout
    .unwrap()
    .optional()
    .meta({ default: '10s' })
    .describe(commonFields.ping_timeout.description ?? ''),
};

const shape = {
  mode: z
    .enum(['client', 'server', 'reply'])
    .default('client')
    .describe(
      '`client` connects to a WebSocket server and sends it every message. `server` sends to the sessions of a path: of one that it listens on itself, or, with `path` alone, of one that WebSocket inputs of this file serve. `reply` sends each message to the session that it came from.',
    ),
  url: secret(z.string())
    .optional()
    .describe(
      'Client: the server’s URL, `ws://` or `wss://`; required. Server: the address to bind, `ws://0.0.0.0:8080/ws` or `0.0.0.0:8080`, in place of `host`, `port` and `path`.',
    ),
  protocols: subprotocols
    .optional()
    .meta({ default: [] })
    .describe(
      'Subprotocols. A client offers them in this order; a server picks the first of them that the client offers.',
    ),
  auth: auth.optional().describe('How a client proves who it is, or how a server has its clients do so.'),
  ...forMode('client', clientFields),
  limits: limitsField,
  ...forMode('server', { ...serverFields, match: match.optional() }),
  slow_consumer: z
    .enum(['disconnect', 'drop_oldest', 'block'])
    .optional()
    .meta({ default: 'disconnect' })
    .describe(
      'Server and reply: what is done with a session that does not take what is sent to it, once its buffer is full. `disconnect` closes it with 1008; `drop_oldest` drops what has waited longest; `block` waits until there is room, and everybody else waits with it, also at shutdown.',
    ),
  outgoing_buffer: size({ min: 1024 })
    .optional()
    .describe(
      'Server with `path` alone, and reply: bytes that may wait to be sent to one session, each message counted with 256 bytes more. Without it, the `limits.outgoing_buffer` of the input that has the session (1 MiB by default).',
    ),
  ...forMode('reply', {
    slow_timeout: duration('s', { min: 1 })
      .optional()
      .meta({ default: '5s' })
      .describe(
        'With `slow_consumer: disconnect`: how long a session may take to accept its replies. Until then, those to other sessions may wait.',
      ),
  }),
  ...optionalCommon,
};

/** What an output without a connection of its own can have. */
const withoutConnection: Readonly<Record<'sessions' | 'reply', readonly string[]>> = {
  sessions: ['mode', 'path', 'match', 'slow_consumer', 'outgoing_buffer'],
  reply: ['mode', 'slow_consumer', 'outgoing_buffer', 'slow_timeout'],
};

type Fail = (path: (string | number)[], message: string) => void;
type Value = z.output<z.ZodObject<typeof shape>>;

export const schema = z
  .strictObject(shape)
  .superRefine(
    (value, context) =>
      checkForm(value, (path, message) => context.addIssue({ code: 'custom', path, message })),
    // Also where another field is wrong, so that all mistakes are told at once.
    { when: ({ value }) => shape.mode.safeParse((value as { mode?: unknown } | null)?.mode).success },
  )
  .superRefine((value, context) =>
    check(value, (path, message) => context.addIssue({ code: 'custom', path, message })),
  );

export type WebSocketOutputConfig = z.output<typeof schema>;

/** What the output is: each form is a class of its own. */
export function formOf(value: Pick<Value, 'mode' | 'url' | 'host' | 'port' | 'path'>) {
  if (value.mode !== 'server') return value.mode;
  const { url, host, port, path } = value;
  return path !== undefined && url === undefined && host === undefined && port === undefined
    ? 'sessions'
    : 'listen';
}

/** Reports fields that the form has not, whatever they hold. */
function checkForm(value: Value, fail: Fail): void {
  const form = formOf(value);
  if (form === 'sessions' || form === 'reply') checkWithoutConnection(value, form, fail);
  else refuseOtherMode(shape, value, value.mode, (field, message) => fail([field], message));
}

function check(value: Value, fail: Fail): void {
  const form = formOf(value);
  checkMatch(value, form === 'listen', fail);
  if (form === 'sessions' || form === 'reply') return;
  if (value.auth !== undefined) {
    checkAuth(value.auth, form === 'client' ? 'client' : 'server', (path, message) =>
      fail(['auth', ...path], message),
    );
  }
  if (value.outgoing_buffer !== undefined) {
    const elsewhere = form === 'listen' ? '; where it listens itself it is `limits.outgoing_buffer`' : '';
    fail(['outgoing_buffer'], `only for sessions of this file’s inputs${elsewhere}`);
  }
  if (form === 'client') checkClient(value, fail);
  else if (value.port === undefined && value.url === undefined && value.host === undefined) {
    fail([], 'expected `port` or `url` to listen on, or the `path` of a WebSocket input in server mode');
  } else {
    if (value.limits?.in_flight_share !== undefined) {
      fail(['limits', 'in_flight_share'], 'has no effect here: what clients send to an output is dropped');
    }
    checkServer(value, fail);
  }
}

function checkClient(value: Value, fail: Fail): void {
  if (value.slow_consumer !== undefined)
    fail(['slow_consumer'], 'only for `mode: server` and `mode: reply`; a client always waits');
  if (value.url === undefined) {
    return fail(['url'], 'missing; a client needs the URL of a server, like ws://host:port/path');
  }
  const problem = websocketUrl.safeParse(value.url).error?.issues[0];
  if (problem !== undefined) fail(['url'], problem.message);
  if (value.tls !== undefined && !value.url.toLowerCase().startsWith('wss:'))
    fail(['tls'], 'has no effect with a ws:// URL; use wss:// or remove it');
  if (value.heartbeat?.ignore !== undefined)
    fail(['heartbeat', 'ignore'], 'has no effect here: what the server sends to an output is dropped');
  if (value.reconnect?.end_on !== undefined)
    fail(['reconnect', 'end_on'], 'is for an input: an output ends when there is nothing more to write');
  checkClientLimits(value.limits, fail);
  checkClientConfig(value, [value.url], fail);
}

function checkWithoutConnection(value: Value, form: 'sessions' | 'reply', fail: Fail): void {
  for (const field of Object.keys(shape)) {
    if (withoutConnection[form].includes(field) || value[field as keyof Value] === undefined) continue;
    const why =
      form === 'reply'
        ? '`mode: reply` has no connections of its own; this belongs to the input that has them'
        : 'a server with `path` alone has no connections of its own; this belongs to the input that serves the path. To listen, give it `port` or `url`';
    fail([field], why);
  }
  if (form === 'sessions' || value.slow_timeout === undefined) return;
  if ((value.slow_consumer ?? 'disconnect') !== 'disconnect')
    fail(['slow_timeout'], 'only with `slow_consumer: disconnect`');
}

const common = z.object(commonFields);

function connectionOf(config: WebSocketOutputConfig) {
  const { max_message_size, compression, tls, ping_interval, ping_timeout } = config;
  const set = { max_message_size, compression, tls, ping_interval, ping_timeout };
  const defaults = common.parse({});
  const given = Object.fromEntries(Object.entries(set).filter(([, value]) => value !== undefined));
  return { ...config, ...defaults, ...given, protocols: config.protocols ?? [] };
}

/** The settings of an output in client mode, defaults filled in. */
export function clientConfig(config: WebSocketOutputConfig): ClientConfig & { readonly url: string } {
  return { ...connectionOf(config), url: config.url as string };
}

/** The settings of an output that listens, defaults filled in. */
export function serverConfig(config: WebSocketOutputConfig): ServerConfig {
  return connectionOf(config);
}

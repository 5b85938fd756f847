import { z } from 'zod';
import { duration, secret, size } from '../../../component/fields.ts';
import { givenOf, settings, type Fail, type Filled, type Given } from '../../../component/settings.ts';
import { checkMessageText } from '../../../component/message-text.ts';
import { checkClientConfig } from '../../../websocket/client/check.ts';
import { clientFields, websocketUrl } from '../../../websocket/client/client-schema.ts';
import { connectionFields } from '../../../websocket/connection-schema.ts';
import { checkServer } from '../../../websocket/server/check.ts';
import { isSessionEntry } from '../../../websocket/server/session-entries.ts';
import { serverFields } from '../../../websocket/server/server-schema.ts';
import { checkMatch } from './match-check.ts';

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
      checkMessageText(text, context, [entry]);
    }
  })
  .describe(
    'The sessions that get a message: those whose `__meta_ext` has these entries with these values, such as `param.room` or `subject`. Values may contain `{{meta:NAME}}` (an entry of the message’s `__meta_ext`), `{{key}}`, `{{partition}}` and `{{source}}` (its other metadata), and `{{json:PATH}}` (the value there in its payload). An entry of a session can hold several values: a list in a JWT’s claim, or a query parameter with commas or given several times (100 at most). If a value is one `{{…}}` and the message has a list there, each value of the list counts: `session_id: "{{json:to}}"` sends to every session that `to` lists, once. A message without a value for one of the entries goes to nobody. Without `match`, all sessions of the path get every message.',
  );

const MODE =
  '`client` connects to a WebSocket server and sends it every message. `server` sends to the sessions of a path: one that it listens on itself, or, with `path` alone, one that WebSocket inputs of this file serve. `reply` sends each message to the session that it came from.';

/** An output drops the messages that it receives. */
const max_message_size = connectionFields.max_message_size.describe(
  'The largest message to accept, after decompression; received messages are dropped. A larger one closes its connection with 1009, before it is read.',
);

/** The policy for sessions that don't read. */
const slow = {
  slow_consumer: z
    .enum(['disconnect', 'drop_oldest', 'block'])
    .default('disconnect')
    .describe(
      'Server and reply: what to do with a session that does not read, once its buffer is full. `disconnect` closes it with 1008; `drop_oldest` drops the messages that have waited longest; `block` waits until there is room, and all other sessions wait with it, also at shutdown.',
    ),
  max_outgoing_bytes: size({ min: 1024 })
    .optional()
    .describe(
      'Server with `path` alone, and reply: bytes that may wait to be sent to one session; each message counts 256 bytes more. Default: the `limits.outgoing_bytes` of the session’s input.',
    ),
};

const clientShape = {
  mode: z.literal('client').default('client').describe(MODE),
  url: secret(
    z.string({
      error: ({ input }) =>
        input === undefined
          ? 'missing; a client needs the URL of a server, like ws://host:port/path'
          : undefined,
    }),
  ).describe('Client: the server’s URL, `ws://` or `wss://`.'),
  ...clientFields,
  max_message_size,
};

const serverShape = {
  mode: z.literal('server').describe(MODE),
  ...serverFields,
  max_message_size,
  match: match.optional(),
  ...slow,
};

const replyShape = {
  mode: z.literal('reply').describe(MODE),
  ...slow,
  slow_timeout: duration('s', { min: 1 })
    .default(5_000)
    .describe(
      'With `slow_consumer: disconnect`: how long a session may take to accept its replies. Until then, replies to other sessions may wait.',
    ),
};

export type ClientOutputConfig = Filled<typeof clientShape>;
export type ServerOutputConfig = Filled<typeof serverShape>;
export type ReplyOutputConfig = Filled<typeof replyShape>;

export const schema = z.discriminatedUnion('mode', [
  settings(clientShape, checkClient),
  settings(serverShape, (value, fail, given) => {
    const elsewhere = ['url', 'host', 'port'].some((name) => given[name as 'url'] !== undefined);
    if (given.path !== undefined && !elsewhere) checkSessions(value, given, fail);
    else if (!elsewhere) {
      fail([], 'expected `port` or `url` to listen on, or the `path` of a WebSocket input in server mode');
    } else checkListen(value, given, fail);
  }),
  settings(replyShape, ({ slow_consumer }, fail, given) => {
    if (given.slow_timeout !== undefined && slow_consumer !== 'disconnect')
      fail(['slow_timeout'], 'needs `slow_consumer: disconnect`');
  }),
]);

/** Whether it listens itself; otherwise it sends to the sessions of this file's inputs. */
export function listens({ url, port }: Pick<ServerOutputConfig, 'url' | 'port'>): boolean {
  return url !== undefined || port !== undefined;
}

function checkClient(value: ClientOutputConfig, fail: Fail): void {
  const problem = websocketUrl.safeParse(value.url).error?.issues[0];
  if (problem !== undefined) fail(['url'], problem.message);
  if (value.tls !== undefined && !value.url.toLowerCase().startsWith('wss:'))
    fail(['tls'], 'has no effect with a ws:// URL; use wss:// or remove it');
  if (value.heartbeat?.ignore !== undefined)
    fail(['heartbeat', 'ignore'], 'has no effect here: messages from the server to an output are dropped');
  if (value.reconnect.end_on !== undefined)
    fail(['reconnect', 'end_on'], 'is for an input; an output ends when there is nothing more to write');
  checkClientConfig(value, [value.url], fail);
}

function checkListen(value: ServerOutputConfig, given: Given<ServerOutputConfig>, fail: Fail): void {
  checkMatch(value, true, fail);
  if (value.max_outgoing_bytes !== undefined) {
    const message =
      'is for sessions of this file’s inputs; an output that listens has `limits.outgoing_bytes`';
    fail(['max_outgoing_bytes'], message);
  }
  if (givenOf(value.limits).in_flight_share !== undefined) {
    fail(['limits', 'in_flight_share'], 'has no effect here: messages from clients to an output are dropped');
  }
  checkServer(value, given, fail);
}

/** The fields that an output that does not listen can have. */
const OF_SESSIONS: readonly string[] = ['mode', 'path', 'match', ...Object.keys(slow)];

function checkSessions(value: ServerOutputConfig, given: Given<ServerOutputConfig>, fail: Fail): void {
  for (const field of Object.keys(serverShape)) {
    if (OF_SESSIONS.includes(field) || given[field as keyof ServerOutputConfig] === undefined) continue;
    const why =
      'a server with `path` alone has no connections of its own; this belongs to the input that serves the path. To listen, give it `port` or `url`';
    fail([field], why);
  }
  checkMatch(value, false, fail);
}

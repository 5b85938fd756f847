import { z } from 'zod';
import { duration, secret } from '../../../component/fields.ts';
import { givenOf, settings, type Fail, type Filled, type Given } from '../../../component/settings.ts';
import { jsonPath } from '../../../message/json-path.ts';
import { ack } from '../../../websocket/ack/ack-schema.ts';
import { checkClientConfig } from '../../../websocket/client/check.ts';
import { clientFields, incoming, websocketUrl } from '../../../websocket/client/client-schema.ts';
import { checkServer } from '../../../websocket/server/check.ts';
import type { Scope } from '../../../delivery/dedupe.ts';
import { serverFields } from '../../../websocket/server/server-schema.ts';
import { checkWebPubSub, webPubSub } from '../../../websocket/webpubsub/web-pubsub-schema.ts';

/** `per` is the default: the senders among whom keys are compared. */
const dedupe = (per: Scope) =>
  settings({
    key: jsonPath.describe(
      'The JSON path of the key that tells messages apart, such as `id` or `data.seq`. A message without it passes.',
    ),
    per: z
      .enum(['all', 'subject', 'session'])
      .default(per)
      .describe(
        'The senders among whom a key must be unique: `all`; those authenticated as one `subject` (without a subject, one session); or one `session`. A client has `all` and a server `subject` if you do not set it: otherwise, senders that count from 1 would lose messages to each other.',
      ),
    window: duration('s', { min: 1 }).default(60_000).describe('How long a key is remembered.'),
    max_keys: z
      .int()
      .min(1)
      .max(10_000_000)
      .default(100_000)
      .describe(
        'How many keys are remembered. Beyond that, the oldest keys of the sender with the most go first.',
      ),
  }).describe(
    'Passes each message on once, whichever connection it came on. A copy is acknowledged like the first. With `durability`, the keys survive restarts.',
  );

const resume = z
  .strictObject({
    cursor: jsonPath.describe('The JSON path of the cursor in a message, such as `seq` or `data.time`.'),
    path: z
      .string()
      .min(1)
      .meta({ shown: true })
      .describe(
        'The file that keeps the cursor: one for each URL; the URLs of `strategy: failover` share one.',
      ),
    rewind: z
      .union([z.int().min(1), duration('s', { min: 1 }).transform((ms) => ({ ms }))])
      .optional()
      .describe(
        'How far to go back before the cursor, to be safe: a number for cursors that are whole numbers, a duration for cursors that are times (ISO 8601).',
      ),
  })
  .describe(
    'Remembers the position in the feed: the cursor of the last message that the output has confirmed together with all before it. Use `{{cursor}}` in the URL, `query`, `headers` or `on_open` to ask the server to continue from there.',
  );

const renew = z
  .strictObject({
    max_age: duration('s', { min: 1 })
      .optional()
      .describe('Renew a connection older than this, for feeds that cut connections at some age.'),
    on: z
      .array(incoming)
      .min(1)
      .optional()
      .describe(
        'Messages with which the server asks you to reconnect soon; they are not data. Written like `expect` in `on_open`.',
      ),
  })
  .refine((value) => value.max_age !== undefined || value.on !== undefined, {
    message: 'expected max_age or on',
  })
  .describe('Opens a new connection before closing the old one, so that nothing is missed in between.');

const MODE = '`client` connects to a WebSocket server; `server` listens for connections.';

const common = {
  ack: ack.optional(),
  lifecycle_events: z
    .boolean()
    .default(false)
    .describe('Add a message for each session that opens or closes.'),
};

const clientShape = {
  mode: z.literal('client').default('client').describe(MODE),
  url: secret(
    z.union([z.string(), z.array(z.string()).min(1)], {
      error: ({ input }) =>
        input === undefined
          ? 'missing; a client needs the URL of a server, like ws://host:port/path'
          : undefined,
    }),
  ).describe('Client: the server’s URL, `ws://` or `wss://`, or a list of URLs.'),
  strategy: z
    .enum(['all', 'failover'])
    .default('all')
    .describe(
      'With a list of URLs: `all` keeps a connection to each; `failover` keeps one, and goes to the next URL when it is lost.',
    ),
  ...clientFields,
  resume: resume.optional(),
  renew: renew.optional(),
  redundancy: z
    .int()
    .min(1)
    .max(8)
    .default(1)
    .describe('Connections to each URL. More than one needs `dedupe`.'),
  dedupe: dedupe('all').optional(),
  ...common,
};

const serverShape = {
  mode: z.literal('server').describe(MODE),
  ...serverFields,
  web_pubsub: webPubSub.prefault({}),
  dedupe: dedupe('subject').optional(),
  ...common,
};

export type ClientInputConfig = Filled<typeof clientShape>;
export type ServerInputConfig = Filled<typeof serverShape>;
export type WebSocketInputConfig = ClientInputConfig | ServerInputConfig;

export const schema = z.discriminatedUnion('mode', [
  settings(clientShape, checkClient),
  settings(serverShape, (value, fail, given) => {
    const path = ['dedupe', 'per'];
    if (givenOf(value.dedupe).per === 'subject' && value.auth === undefined)
      fail(path, 'needs `auth`; without it, no session has a subject');
    checkAck(value, fail);
    checkServer(value, given, fail);
    checkWebPubSub(value, given.web_pubsub !== undefined, fail);
  }),
]);

function checkAck(value: WebSocketInputConfig, fail: Fail): void {
  const { codec } = value as { readonly codec?: unknown };
  if (value.ack?.when !== 'stored' || value.ack.reject_reply === undefined || codec !== undefined) return;
  const message =
    'is never sent with `when: stored` and no `codec`: a message rejected after the log already has its `reply`';
  fail(['ack', 'reject_reply'], message);
}

function checkClient(value: ClientInputConfig, fail: Fail, given: Given<ClientInputConfig>): void {
  checkAck(value, fail);
  const path = ['dedupe', 'per'];
  if (value.dedupe?.per === 'subject') fail(path, 'only the clients of a server have a subject');
  if (value.dedupe?.per === 'session' && value.redundancy > 1) {
    fail(path, 'with `redundancy`, a message comes on several sessions; expected `all`');
  }
  const urls = [value.url].flat();
  for (const [index, url] of urls.entries()) {
    const path = typeof value.url === 'string' ? ['url'] : ['url', index];
    const problem = websocketUrl.safeParse(url).error?.issues[0];
    if (problem !== undefined) fail(path, problem.message);
    if (urls.indexOf(url) !== index)
      fail(path, 'named twice; `redundancy` makes several connections to one URL');
  }
  if (value.tls !== undefined && !urls.some((url) => url.toLowerCase().startsWith('wss:'))) {
    fail(['tls'], 'has no effect with a ws:// URL; use wss:// or remove it');
  }
  if (given.strategy !== undefined && urls.length < 2) fail(['strategy'], 'needs a list of URLs');
  if (value.redundancy > 1) {
    if (value.dedupe === undefined) {
      fail(['redundancy'], 'needs `dedupe`; without it, each message would pass once for each connection');
    }
    if (value.strategy === 'failover') {
      fail(['redundancy'], '`strategy: failover` keeps one connection; use one of the two');
    }
  }
  checkCursor(value, fail);
  checkClientConfig(value, urls, fail);
}

/** `resume` and `{{cursor}}` do nothing without each other. */
function checkCursor(value: ClientInputConfig, fail: Fail): void {
  const { url, query, headers, protocols, on_open, heartbeat } = value;
  const used = /\{\{\s*cursor\b/.test(
    JSON.stringify([url, query, headers, protocols, on_open, heartbeat?.send, heartbeat?.reply]),
  );
  if (value.resume !== undefined && !used) {
    fail(['resume'], 'needs `{{cursor}}` in `url`, `query`, `headers` or `on_open`, to go on from there');
  }
  if (value.resume === undefined && used) fail(['resume'], 'missing; `{{cursor}}` gets its value from it');
}

import { z } from 'zod';
import { parseAddress } from '../../../component/address.ts';
import { duration, forMode, refuseOtherMode, secret, tls } from '../../../component/fields.ts';
import { jsonPath } from '../../../message/json-path.ts';
import { auth, checkAuth } from '../../../websocket/auth-fields.ts';
import { clientFields, subprotocols, websocketUrl } from '../../../websocket/client/fields.ts';
import { commonFields } from '../../../websocket/common-fields.ts';
import { matcher } from '../../../websocket/messages.ts';
import { serverFields } from '../../../websocket/server/fields.ts';

const dedupe = z
  .strictObject({
    key: jsonPath.describe(
      'The JSON path of what tells messages apart, such as `id` or `data.seq`. A message without it is passed on.',
    ),
    window: duration('s', { min: 1 }).default(60_000).describe('How long a key is remembered.'),
    max_keys: z
      .int()
      .min(1)
      .max(10_000_000)
      .default(100_000)
      .describe('How many keys are remembered; the oldest go first.'),
  })
  .describe('Passes each message on once, whichever connection it came on.');

const resume = z
  .strictObject({
    cursor: jsonPath.describe('The JSON path of the cursor in a message, such as `seq` or `data.time`.'),
    path: z.string().min(1).describe('The file that keeps it. It holds one cursor for each URL.'),
    rewind: z
      .union([z.int().min(1), duration('s', { min: 1 })])
      .optional()
      .describe(
        'How far to go back behind it, to be safe: a number for cursors that are whole numbers, a duration for those that are times (ISO 8601).',
      ),
  })
  .describe(
    'Remembers where the feed was: the cursor of the last message that the output has confirmed, with all before it. `{{cursor}}` in the URL, `query`, `headers` or `on_open` asks the server to go on from there.',
  );

const renew = z
  .strictObject({
    max_age: duration('s', { min: 1 })
      .optional()
      .describe('A connection older than this is renewed, for feeds that cut it at some age.'),
    on: z
      .array(matcher)
      .min(1)
      .optional()
      .describe(
        'Messages by which the server asks to connect again soon; they are not data. As `expect` in `on_open`.',
      ),
  })
  .refine((value) => value.max_age !== undefined || value.on !== undefined, {
    message: 'expected max_age or on',
  })
  .describe('Opens a new connection before the old one is closed, so that nothing is missed in between.');

const shape = {
  mode: z
    .enum(['client', 'server'])
    .default('client')
    .describe('`client` connects to a WebSocket server; `server` listens for connections.'),
  url: secret(z.union([z.string(), z.array(z.string()).min(1)]))
    .optional()
    .describe(
      'Client: the server’s URL, `ws://` or `wss://`, or a list of them; required. Server: the address to bind, `ws://0.0.0.0:8080/ws` or `0.0.0.0:8080`, in place of `host`, `port` and `path`.',
    ),
  ...forMode('client', {
    strategy: z
      .enum(['all', 'failover'])
      .optional()
      .meta({ default: 'all' })
      .describe(
        'With a list of URLs: `all` keeps a connection to each; `failover` keeps one, to the next of them when it is lost.',
      ),
  }),
  ...forMode('server', serverFields),
  protocols: subprotocols
    .default([])
    .describe(
      'Subprotocols. A client offers them in this order; a server picks the first of them that the client offers.',
    ),
  auth: auth.optional().describe('How a client proves who it is, or how a server has its clients do so.'),
  ...forMode('client', clientFields),
  ...commonFields,
  ...forMode('client', {
    resume: resume.optional(),
    renew: renew.optional(),
    redundancy: z
      .int()
      .min(1)
      .max(8)
      .optional()
      .meta({ default: 1 })
      .describe('Connections to each URL. More than one wants `dedupe`.'),
  }),
  dedupe: dedupe.optional(),
  lifecycle_events: z
    .boolean()
    .default(false)
    .describe('Also tell when a session opens and closes, each as a message.'),
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

type Fail = (path: (string | number)[], message: string) => void;
type Value = z.output<typeof modes>;

export const schema = modes.superRefine((value, context) => {
  const fail: Fail = (path, message) => context.addIssue({ code: 'custom', path, message });
  if (value.auth !== undefined) {
    checkAuth(value.auth, value.mode, (path, message) => fail(['auth', ...path], message));
  }
  if (value.mode === 'client') checkClient(value, fail);
  else checkServer(value, fail);
});

function checkClient(value: Value, fail: Fail): void {
  if (value.url === undefined) {
    return fail(['url'], 'missing; a client needs the URL of a server, like ws://host:port/path');
  }
  const urls = typeof value.url === 'string' ? [value.url] : value.url;
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
  if (value.strategy !== undefined && urls.length < 2) fail(['strategy'], 'is for a list of URLs');
}

function checkServer(value: Value, fail: Fail): void {
  if (value.tls !== undefined) {
    refuseOtherMode(tls.shape, value.tls, 'server', (field, message) => fail(['tls', field], message));
    if (value.tls.cert_file === undefined) fail(['tls'], 'a server needs cert_file and key_file');
  }
  if (value.auth?.type === 'mtls' && value.tls?.ca_file === undefined) {
    fail(['auth'], 'mtls needs `tls.ca_file`, the authority of the clients’ certificates');
  }
  if (value.protocol_required === true && value.protocols.length === 0) {
    fail(['protocol_required'], 'needs `protocols`');
  }
  if (value.url === undefined) {
    if (value.port === undefined)
      fail(['port'], 'missing; a server needs `port`, or `url` with the address to bind');
    return;
  }
  if (typeof value.url !== 'string') return fail(['url'], 'a list of URLs is for `mode: client`');
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
}

export type WebSocketInputConfig = z.output<typeof schema>;

import { z } from 'zod';
import { clientTls, duration, headers, reconnect, secret } from '../../component/fields.ts';
import { settings, type Filled } from '../../component/settings.ts';
import { checkTemplate, template } from '../../component/template.ts';
import { clientAuth } from '../../net/auth/auth-schema.ts';
import { connectionFields, fragments, LIMITS, TLS } from '../connection-schema.ts';
import { matcher, outgoing } from '../messages.ts';
import { answer } from './answer.ts';
import { proxyField } from '../../net/proxy/proxy-field.ts';
import { attemptNames } from './values.ts';

/** The beginning of a URL. A URL parser would also accept one with no slashes, or find the host after more of them. */
export const WEBSOCKET_URL = /^\s*wss?:\/\/[^/\\]/i;

/** `ws://` or `wss://` with a host; a template. */
export const websocketUrl = z.string().superRefine((value, context) => {
  checkTemplate(value, attemptNames, context);
  // A template may stand for anything except the scheme and the slashes.
  const url = URL.parse(value.replaceAll(/\{\{.*?\}\}/g, '0'));
  if (url === null || !WEBSOCKET_URL.test(value)) {
    context.addIssue({
      code: 'custom',
      message: 'not a WebSocket URL; expected one like ws://host:port/path or wss://…',
    });
  } else if (url.hash !== '') {
    context.addIssue({
      code: 'custom',
      message: 'a WebSocket URL has no fragment (RFC 6455 section 3); remove the #…',
    });
  }
});

/** Selects messages of the server. */
export const incoming = matcher(attemptNames);

const onOpen = z
  .array(
    settings(
      {
        send: outgoing(attemptNames)
          .optional()
          .describe(
            'A message to send: text; `{ base64: … }`, which goes out as a binary frame; or any other JSON value. Strings in it may hold `{{…}}`.',
          ),
        expect: incoming
          .optional()
          .describe(
            'The message to wait for: text that it contains; `{ regex: … }`; or any other JSON value that it contains. That message is not part of the data; others that arrive meanwhile are.',
          ),
        timeout: duration('s', { min: 1 })
          .default(10_000)
          .describe('How long `expect` waits before the attempt fails.'),
        reject: z
          .array(incoming)
          .min(1)
          .optional()
          .describe(
            'Messages that make the attempt fail at once, such as a refusal; in the form of `expect`.',
          ),
      },
      ({ send, expect }, fail, given) => {
        if ((send === undefined) === (expect === undefined)) fail([], 'expected either send or expect');
        if (expect === undefined && (given.timeout !== undefined || given.reject !== undefined))
          fail([], 'timeout and reject need expect');
      },
    ),
  )
  .describe(
    'The steps to run, in order, when the connection has opened. It counts as connected after the last step.',
  );

const heartbeat = settings(
  {
    send: outgoing(attemptNames)
      .optional()
      .describe('An application-level ping, sent every `interval`; in the form of `send` in `on_open`.'),
    interval: duration('s', { min: 1 }).default(30_000).describe('The time between two pings.'),
    timeout: duration('s', { min: 1 })
      .optional()
      .describe('A connection on which no message arrives within this time after a ping is dead: it is cut.'),
    ignore: z
      .array(incoming)
      .min(1)
      .optional()
      .describe(
        'Messages that are not data, such as pongs and heartbeats; in the form of `expect` in `on_open`.',
      ),
    reply: z
      .array(
        z.strictObject({
          match: incoming.describe(
            'The messages to answer; they are not data. In the form of `expect` in `on_open`.',
          ),
          send: answer.describe(
            'The answer, in the form of `send` in `on_open`. `{{json:PATH}}` is the value at a JSON path of the answered message, for servers that want it back: `{"pong":{{json:ping}}}`.',
          ),
        }),
      )
      .min(1)
      .optional()
      .describe('Answers the application-level pings that the server sends.'),
    silence_timeout: duration('s', { min: 1 })
      .optional()
      .describe(
        'A connection on which no message, data or not, arrives for this long is cut. Off by default.',
      ),
  },
  (_, fail, given) => {
    if (Object.values(given).every((each) => each === undefined))
      fail([], 'expected send, ignore, reply or silence_timeout');
    if (given.send === undefined && (given.interval !== undefined || given.timeout !== undefined))
      fail([], 'interval and timeout need send');
  },
).describe('Heartbeats in messages, for servers that do not rely on WebSocket pings.');

const templatedHeaders = headers.superRefine((value, context) => {
  for (const [name, text] of Object.entries(value)) checkTemplate(text, attemptNames, context, [name]);
});

/** The fields of every WebSocket client: the input in client mode, the output, and the commands `send` and `tail`. */
export const clientFields = {
  headers: secret(templatedHeaders)
    .default({})
    .meta({ secret: true })
    .describe('Headers to send with the handshake, at every attempt. Values may hold `{{…}}`.'),
  query: secret(z.record(z.string().min(1), template(attemptNames)))
    .default({})
    .meta({ secret: true })
    .describe('Parameters to add to the URL’s query. Values may hold `{{…}}`.'),
  auth: clientAuth.optional(),
  timeout: duration('s', { min: 1 })
    .default(10_000)
    .describe(
      'How long the handshake may take, including everything before it: the token of `auth`, the proxy, redirects. A bare number is in seconds.',
    ),
  proxy: proxyField,
  on_open: onOpen.default([]),
  heartbeat: heartbeat.optional(),
  reconnect: reconnect.prefault({}),
  limits: settings({ fragments }).prefault({}).describe(LIMITS),
  tls: clientTls.optional().describe(TLS),
  ...connectionFields,
};

/** The settings of a client, whichever component it belongs to. */
export type ClientConfig = Filled<typeof clientFields>;

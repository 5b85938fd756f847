import { z } from 'zod';
import type { ComponentConfig } from '../../../component/context.ts';
import { clientTls, duration, secret, size } from '../../../component/fields.ts';
import { MessageTemplate } from '../../../component/message-template.ts';
import { checkJsonPaths, checkMessageText, messageNames } from '../../../component/message-text.ts';
import { alias, settings, type Filled } from '../../../component/settings.ts';
import { clientAuth } from '../../../net/auth/auth-schema.ts';
import { proxyField } from '../../../net/proxy/proxy-field.ts';

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Node writes these itself, or they would change how the request is read. */
const OWN_HEADERS = /^(?:content-length|transfer-encoding|trailer|connection|upgrade|expect|te)$/i;

/** The part that says where requests go. Nothing in it is filled in: a sender must not choose the server. */
const SERVER = /^\s*https?:\/\/[^/\\?#{}]+/i;

const url = z.string().superRefine((text, context) => {
  checkMessageText(text, context);
  const plain = text.replaceAll(/\{\{.*?\}\}/g, '0');
  if (!SERVER.test(text) || URL.parse(plain) === null) {
    const message =
      'not an HTTP URL; expected one like https://host:port/path, with {{…}} at most in its path and its query';
    context.addIssue({ code: 'custom', message });
  } else if (URL.parse(plain)!.hash !== '') {
    context.addIssue({ code: 'custom', message: 'a request has no fragment; remove the #…' });
  }
});

const headers = z.record(z.string(), z.string()).superRefine((value, context) => {
  const seen = new Set<string>();
  for (const [name, text] of Object.entries(value)) {
    const fail = (message: string): void => context.addIssue({ code: 'custom', path: [name], message });
    if (!HEADER_NAME.test(name)) fail('not a header name (RFC 9110 section 5.1)');
    else if (OWN_HEADERS.test(name)) fail('this header belongs to the connection and cannot be set');
    if (seen.has(name.toLowerCase())) fail('is already there, spelled with other letters');
    seen.add(name.toLowerCase());
    if (/[^\t\u0020-\u007e\u0080-\u00ff]/.test(text))
      fail('a header cannot have line breaks, or characters beyond Latin-1');
    checkMessageText(text, context, [name]);
  }
});

const body = z.string().superRefine((text, context) => {
  try {
    MessageTemplate.compile(text, messageNames);
    checkJsonPaths(text, messageNames, context);
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
  }
});

const fields = {
  url: secret(url).describe(
    'Where requests go. Its path and its query may hold `{{…}}`, filled in from each message: `https://api.example.com/devices/{{meta:param.device}}`. Values are percent-encoded.',
  ),
  method: z
    .enum(['POST', 'PUT', 'PATCH', 'DELETE', 'GET'])
    .default('POST')
    .describe('The method. `GET` has no body.'),
  headers: secret(headers)
    .default({})
    .meta({ secret: true })
    .describe(
      'Headers to send. Values may hold `{{…}}`, filled in from each message. Without a `Content-Type`, it follows from the messages.',
    ),
  batch: z
    .enum(['each', 'array', 'ndjson'])
    .default('each')
    .describe(
      'The messages of a request: one each, as many as have come together as a JSON array, or so many lines (`application/x-ndjson`). Messages with another URL or other headers get another request.',
    ),
  max_messages: z
    .int()
    .min(1)
    .default(1_000)
    .describe('The most messages in a request, with `array` and `ndjson`.'),
  max_body_size: size({ min: 1 })
    .default(1024 ** 2)
    .describe(
      'How large a body may get before compression, with `array` and `ndjson`. A longer message has a request for itself.',
    ),
  max_in_flight: z
    .int()
    .min(1)
    .max(1_000)
    .default(1)
    .describe(
      'How many requests of a batch may be under way at a time. With more than one, messages may arrive in another order.',
    ),
  body: body
    .optional()
    .describe(
      'The body for a message, with `each`, instead of the message: text with `{{…}}`. In JSON, a value in quotes is escaped, and one without quotes is JSON: `{"text":"{{json:title}}","level":{{json:level}}}`.',
    ),
  body_field: z
    .string()
    .min(1)
    .optional()
    .describe(
      'A field of each message whose value is sent instead of the message: a text as it is, anything else as JSON.',
    ),
  compression: z.enum(['gzip']).optional().describe('How bodies are compressed.'),
  auth: clientAuth.optional(),
  timeout: duration('s', { min: 1 })
    .default(30_000)
    .describe(
      'How long a request may take, with everything before it: the token of `auth`, the proxy, redirects.',
    ),
  timeout_ms: alias('timeout', duration('ms', { min: 1 })),
  idempotency_key: z
    .boolean()
    .default(true)
    .describe(
      'Whether to send an `Idempotency-Key`, the same at each attempt to send the same messages, and after a restart if the stream has a log.',
    ),
  retry_count: z
    .int()
    .min(0)
    .optional()
    .meta({ foreign: true })
    .describe('ArkFlow’s number of retries. Millrace retries as `retry` says.'),
  proxy: proxyField,
  tls: clientTls.optional().describe('TLS of `https://` URLs.'),
};

export const schema = settings(fields, (value, fail, given) => {
  if (value.batch !== 'each' && value.body !== undefined) fail(['body'], 'needs `batch: each`');
  if (value.body !== undefined && value.body_field !== undefined)
    fail(['body_field'], 'there is a `body` too; use one of the two');
  if (value.method === 'GET' && (value.body !== undefined || value.body_field !== undefined))
    fail(['method'], 'a GET has no body; expected POST, PUT, PATCH or DELETE');
  if (value.method === 'GET' && value.batch !== 'each') fail(['batch'], 'a GET has no body; expected `each`');
  if (value.batch === 'each' && (given.max_messages !== undefined || given.max_body_size !== undefined))
    fail(
      [given.max_messages === undefined ? 'max_body_size' : 'max_messages'],
      'needs `batch: array` or `ndjson`',
    );
});

export type HttpOutputConfig = Filled<typeof fields>;

/** The framing that puts the messages of a batch into a body; undefined if each has its own. */
export function framingOf(config: HttpOutputConfig): { framing: ComponentConfig } | undefined {
  if (config.batch === 'each') return undefined;
  return {
    framing: {
      type: config.batch === 'array' ? 'json_array' : 'lines',
      max_messages: config.max_messages,
      max_frame_size: config.max_body_size,
      max_message_size: config.max_body_size,
    },
  };
}

import { z } from 'zod';
import {
  defineBuffer,
  defineCodec,
  defineInput,
  defineOutput,
  defineProcessor,
  type Definition,
} from '../../src/component/define.ts';
import { duration, secret, size } from '../../src/component/fields.ts';
import { Registry } from '../../src/component/registry.ts';
import { settings, type Fail } from '../../src/component/settings.ts';

/** A registry of components that have a schema and do nothing, for the tests of config and command line. */

type Rest<S extends z.ZodType> = Omit<Definition<S, never>, 'status' | 'examples' | 'create'>;

function stub<S extends z.ZodType>(definition: Rest<S>) {
  return { status: 'stable' as const, examples: [], create: neverCreated, ...definition };
}

function neverCreated(): never {
  throw new Error('a stub is never created');
}

const url = z.string().optional().describe('Where to connect to.');

const socketFields = {
  headers: z.record(z.string(), secret(z.string())).default({}).describe('Sent with each attempt.'),
  token: secret(z.string().min(8)).optional().describe('Shown to the server.'),
  timeout: duration('s', { max: 60_000 }).default(5000).describe('How long a connection may take to open.'),
  max_message_size: size()
    .default(1024 ** 2)
    .describe('The longest message.'),
  compress: z.boolean().default(false).describe('Whether to compress.'),
  tls: z
    .strictObject({
      ca_file: z.string().optional().describe('Authorities to trust.'),
      insecure: z.boolean().default(false).describe('Trust anyone.'),
    })
    .optional()
    .describe('TLS of the connection.'),
};

function checkUrl({ url: text }: { readonly url?: string | undefined }, fail: Fail): void {
  if (text?.startsWith('http') === true) fail(['url'], `${text} is no ws URL; expected ws:// or wss://`);
}

const socket = defineInput(
  stub({
    type: 'websocket',
    summary: 'Receives messages from WebSocket connections.',
    schema: z.discriminatedUnion('mode', [
      settings(
        {
          url,
          mode: z.literal('client').default('client').describe('Which side connects.'),
          ...socketFields,
        },
        (value, fail) => {
          if (value.url === undefined) fail(['url'], 'is missing; expected a URL in client mode');
          checkUrl(value, fail);
        },
      ),
      settings(
        {
          url,
          mode: z.literal('server').describe('Which side connects.'),
          port: z.int().min(0).max(65_535).optional().describe('The port to listen on.'),
          ...socketFields,
        },
        checkUrl,
      ),
    ]),
  }),
);

const generate = defineInput(
  stub({
    type: 'generate',
    summary: 'Makes messages.',
    schema: z.strictObject({
      context: z.string().describe('The message.'),
      count: z.int().min(1).optional().describe('How many.'),
    }),
  }),
);

const multiple = defineInput(
  stub({
    type: 'multiple_inputs',
    summary: 'Reads several inputs as one.',
    schema: (components) =>
      z.strictObject({ inputs: z.array(components.input).min(1).describe('The inputs to read.') }),
  }),
);

export const registry = new Registry([
  socket,
  generate,
  multiple,
  defineBuffer(
    stub({ type: 'memory', summary: 'Keeps.', schema: z.strictObject({ capacity: z.int().default(100) }) }),
  ),
  defineProcessor(
    stub({ type: 'sql', summary: 'Queries.', schema: z.strictObject({ query: z.string().min(1) }) }),
  ),
  defineProcessor(
    stub({ type: 'batch', summary: 'Joins.', schema: z.strictObject({ count: z.int().max(1000) }) }),
  ),
  defineOutput(
    stub({
      type: 'stdout',
      summary: 'Writes to stdout.',
      schema: z.strictObject({ pretty: z.boolean().default(false) }),
    }),
  ),
  defineOutput(
    stub({ type: 'file', summary: 'Writes to a file.', schema: z.strictObject({ path: z.string() }) }),
  ),
  defineOutput(
    stub({ type: 'websocket', summary: 'Sends messages.', schema: z.strictObject({ url: z.url() }) }),
  ),
  defineCodec(stub({ type: 'json', summary: 'JSON.', schema: z.strictObject({}) })),
  defineCodec(
    stub({
      type: 'text',
      summary: 'Text.',
      schema: z.strictObject({ encoding: z.literal('utf-8').default('utf-8') }),
    }),
  ),
]);

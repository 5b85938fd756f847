import { z } from 'zod';
import { duration, fixedPath, size } from '../component/fields.ts';
import { allowedHosts } from '../component/host-policy.ts';
import type { Registry } from '../component/registry.ts';
import { alias, settings } from '../component/settings.ts';
import { ignoredHealthFields } from './arkflow.ts';

const httpPath = z
  .string()
  .regex(/^\/[^?#\s]*$/, 'not a path; expected one that begins with /, such as /health');

const logging = settings({
  level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .describe('The least severe level to log.'),
  format: z.enum(['plain', 'json']).default('plain').describe('Readable lines, or one JSON object a line.'),
  path: fixedPath.optional().describe('A file to append lines to, instead of stderr.'),
  file_path: alias('path', fixedPath),
}).describe('Where log lines go: never to stdout, which is for data.');

const healthCheck = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Whether to serve the paths below.'),
    address: z
      .string()
      .refine(isAddress, 'not an address; expected host:port, such as 127.0.0.1:4747 or [::1]:4747')
      .default('127.0.0.1:4747')
      .meta({ shown: true })
      .describe('Host and port to listen on.'),
    allowed_hosts: allowedHosts
      .optional()
      .describe(
        'Names that requests may have in `Host`: `millrace.example.com`, `*.example.com`, `*` for all. Others get 403; IP addresses and `localhost` always pass. Without it, requests from other machines may have any name, and requests from this machine its own name as well.',
      ),
    health_path: httpPath.default('/health').describe('The state of every stream, as JSON.'),
    readiness_path: httpPath
      .default('/readiness')
      .describe(
        '200 while messages get through every stream, as far as Millrace can tell; otherwise 503 with the reasons.',
      ),
    liveness_path: httpPath.default('/liveness').describe('200 while the process runs.'),
    metrics_path: httpPath.default('/metrics').describe('Metrics for Prometheus.'),
    ...ignoredHealthFields,
  })
  .superRefine((value, context) => {
    const taken = new Map<string, string>();
    for (const name of ['health_path', 'readiness_path', 'liveness_path', 'metrics_path'] as const) {
      const other = taken.get(value[name]);
      taken.set(value[name], name);
      if (other === undefined) continue;
      const message = `not free: it is also the ${other}; expected each to have its own`;
      context.addIssue({ code: 'custom', path: [name], message });
    }
  })
  .describe('Health, readiness, liveness and metrics over HTTP.');

const durability = settings(
  {
    enabled: z.boolean().default(true).describe('Whether the stream has a log.'),
    path: fixedPath
      .optional()
      .describe('The folder of the log, which is created if missing. Each stream needs its own. Required.'),
    backend: z
      .looseObject({ type: z.string() })
      .optional()
      .meta({ foreign: true })
      .describe('ArkFlow’s place for the log other than a folder, which Millrace does not have.'),
    sync: z
      .enum(['per_entry', 'group_commit', 'periodic'])
      .default('group_commit')
      .describe(
        'When writes are forced to the disk: after each batch; after all batches that have come meanwhile; or every `interval`: a power loss then loses the messages since, a crash of the process none.',
      ),
    interval: duration('s', { min: 1, max: 60_000 })
      .default(1_000)
      .describe('The time between two syncs, with `sync: periodic`.'),
    max_bytes: size({ min: 1024 ** 2 })
      .default(1024 ** 3)
      .describe('How large the log may grow on disk.'),
    on_full: z
      .literal('block')
      .default('block')
      .describe('The policy when the log or the disk is full: the input waits, and so do its senders.'),
  },
  ({ sync, path, backend }, fail, given) => {
    if (backend !== undefined) {
      const message = `${JSON.stringify(backend.type)} is not a place for a log here; expected no \`backend\`, and the \`path\` of a folder on a local disk`;
      fail(['backend', 'type'], message);
    } else if (path === undefined) fail(['path'], 'is missing; expected a string');
    if (given.interval !== undefined && sync !== 'periodic') fail(['interval'], 'needs `sync: periodic`');
  },
).describe(
  'A log on disk. It holds each message from before processing until delivery, so that no crash loses it.',
);

/** The schema of one stream in a file. */
function streamSchema(registry: Registry) {
  const { input, buffer, processor, output } = registry.schemas;
  return z.strictObject({
    id: z
      .string()
      .regex(
        /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/,
        'not an id; expected up to 128 letters, digits, dots, underscores and hyphens, the first a letter or a digit',
      )
      .optional()
      .meta({ shown: true })
      .describe('Its name in logs and metrics. Default: `stream-` and its place in the list, from 0.'),
    input: input.describe('Where messages come from.'),
    buffer: buffer
      .optional()
      .describe(
        'Keeps messages before the pipeline, for example for a window of time. A buffer may also be one of the processors.',
      ),
    temporary: z
      .array(z.looseObject({ type: z.string() }))
      .superRefine((stores, context) => {
        for (const [index, { type }] of stores.entries()) {
          const message = `${JSON.stringify(type)} is not a temporary store; Millrace has none yet`;
          context.addIssue({ code: 'custom', path: [index, 'type'], message });
        }
      })
      .optional()
      .meta({ foreign: true })
      .describe('ArkFlow’s stores that a query reads beside the batch. Millrace has none yet.'),
    pipeline: z
      .strictObject({
        thread_num: z
          .int()
          .min(1)
          .max(256)
          .default(4)
          .describe('How many batches to process at the same time. Messages stay in order.'),
        processors: z.array(processor).default([]).describe('The steps for each batch, in order.'),
      })
      .prefault({})
      .describe('Processes messages on their way.'),
    output: output.prefault({ type: 'stdout' }).describe('Where messages go.'),
    // An embedder's registry may have no such output.
    ...(registry.list('output').some(({ type }) => type === 'fan_out') && {
      outputs: z
        .array(output)
        .min(1)
        .optional()
        .describe(
          'Several outputs instead of `output`: every message goes to each of them, as with the output `fan_out`.',
        ),
    }),
    error_output: output
      .optional()
      .describe('Where rejected messages go, with the reason. Without it, they are logged and counted.'),
    in_flight: z
      .strictObject({
        messages: z
          .int()
          .min(1)
          .default(100_000)
          .describe('Messages that are received and not yet confirmed by the output.'),
        bytes: size({ min: 1 })
          .default(64 * 1024 ** 2)
          .describe('Bytes of payload that are received and not yet confirmed by the output.'),
      })
      .prefault({})
      .describe(
        'How much may be on its way. At the limit, the input stops receiving; at half of it, it continues. WebSocket clients that have nothing in flight are read until they do, up to a quarter more in total (at least 1,000 messages and 1 MiB).',
      ),
    state: z
      .strictObject({
        memory: size({ min: 1 })
          .default(64 * 1024 ** 2)
          .describe('Bytes of memory.'),
        disk: size({ min: 0 })
          .default(64 * 1024 ** 2)
          .describe(
            'Bytes on disk, in a folder of the log. Only a stream with `durability` uses it, when `memory` is full.',
          ),
      })
      .prefault({})
      .describe(
        'How much windows and buffers may keep. It does not count in `in_flight`. A window goes on as one batch: all of it is in memory then, and a query over it takes many times as much. A message that does not fit stays in flight, so that senders wait once `in_flight` is full as well.',
      ),
    durability: durability.optional(),
  });
}

type FileSchema = ReturnType<typeof makeFileSchema>;

/** Each by its registry: zod compiles a schema on its first use, which costs as much as the rest of reading a file. */
const fileSchemas = new WeakMap<Registry, FileSchema>();

/** The schema of a file; one that is a list is the `streams` of it. */
export function fileSchema(registry: Registry): FileSchema {
  let schema = fileSchemas.get(registry);
  if (schema === undefined) fileSchemas.set(registry, (schema = makeFileSchema(registry)));
  return schema;
}

function makeFileSchema(registry: Registry) {
  return z.strictObject({
    logging: logging.prefault({}),
    health_check: healthCheck.prefault({}),
    plugins: z
      .array(z.string().min(1).meta({ shown: true }))
      .optional()
      .describe(
        'Modules with your own components: paths relative to this file’s folder, or packages installed there. Their code runs, on `check` too.',
      ),
    streams: z.array(streamSchema(registry)).min(1).describe('Each runs by itself.'),
  });
}

function isAddress(text: string): boolean {
  const match = /^(?:\[[\da-fA-F:.]+\]|[^\s:/[\]]+):(\d{1,5})$/.exec(text);
  return match !== null && Number(match[1]) <= 65_535;
}

import { z } from 'zod';
import { duration, fixedPath, size } from '../component/fields.ts';
import { allowedHosts } from '../component/host-policy.ts';
import type { Registry } from '../component/registry.ts';
import { alias, settings } from '../component/settings.ts';

const httpPath = z
  .string()
  .regex(/^\/[^?#\s]*$/, 'not a path; expected one that begins with /, such as /health');

const logging = settings({
  level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .describe('The least important lines that are logged.'),
  format: z.enum(['plain', 'json']).default('plain').describe('Lines for people, or one JSON object a line.'),
  path: fixedPath.optional().describe('A file that lines are appended to, in place of stderr.'),
  file_path: alias('path', fixedPath),
}).describe('Where log lines go. Never to stdout: that is for data.');

const healthCheck = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Whether the paths below are served.'),
    address: z
      .string()
      .refine(isAddress, 'not an address; expected host:port, such as 127.0.0.1:4747 or [::1]:4747')
      .default('127.0.0.1:4747')
      .meta({ shown: true })
      .describe('Host and port to listen on.'),
    allowed_hosts: allowedHosts
      .optional()
      .describe(
        'Names under which it may be asked for, in `Host`: `millrace.example.com`, `*.example.com`, `*` for all. Others get 403; IP addresses and `localhost` always pass. Without it, what comes from other machines may ask for any name, and what comes from this one for the machine’s own as well.',
      ),
    health_path: httpPath.default('/health').describe('The state of every stream, as JSON.'),
    readiness_path: httpPath
      .default('/readiness')
      .describe(
        '200 while messages get through every stream as far as can be told, else 503 with the reasons.',
      ),
    liveness_path: httpPath.default('/liveness').describe('200 while the process runs.'),
    metrics_path: httpPath.default('/metrics').describe('Metrics for Prometheus.'),
  })
  .superRefine((value, context) => {
    const taken = new Map<string, string>();
    for (const name of ['health_path', 'readiness_path', 'liveness_path', 'metrics_path'] as const) {
      const other = taken.get(value[name]);
      taken.set(value[name], name);
      if (other === undefined) continue;
      const message = `not free: it is the ${other} too; expected each to have its own`;
      context.addIssue({ code: 'custom', path: [name], message });
    }
  })
  .describe('Health, readiness, liveness and metrics over HTTP.');

const durability = settings(
  {
    enabled: z.boolean().default(true).describe('Whether the stream has a log.'),
    path: fixedPath.describe(
      'The folder of the log; it is made when it is missing. Each stream has one of its own.',
    ),
    sync: z
      .enum(['per_entry', 'group_commit', 'periodic'])
      .default('group_commit')
      .describe(
        'When what is written is forced to the disk: after each batch; after all that have come meanwhile; or every `interval`, so that a power loss takes what came since, and a crash of the process nothing.',
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
      .describe('What happens then, and when the disk is full: the input waits, and so do its senders.'),
  },
  ({ sync }, fail, given) => {
    if (given.interval !== undefined && sync !== 'periodic') fail(['interval'], 'is for `sync: periodic`');
  },
).describe(
  'A log on disk. What has been received is in it before it is processed and until it is delivered, so that no crash loses it.',
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
      .describe('Its name in logs and metrics. With none it is `stream-` and its place in the list, from 0.'),
    input: input.describe('Where its messages come from.'),
    buffer: buffer
      .optional()
      .describe(
        'Keeps messages before the pipeline, for instance for a window of time. A buffer may also be one of the processors.',
      ),
    pipeline: z
      .strictObject({
        thread_num: z
          .int()
          .min(1)
          .max(256)
          .default(4)
          .describe('How many batches are processed at the same time. The order of messages stays.'),
        processors: z
          .array(processor)
          .default([])
          .describe('What is done to each batch, one after the other.'),
      })
      .prefault({})
      .describe('What happens to messages on their way.'),
    output: output.prefault({ type: 'stdout' }).describe('Where its messages go.'),
    error_output: output
      .optional()
      .describe('Where a rejected message goes, with the reason. With none it is logged and counted.'),
    in_flight: z
      .strictObject({
        messages: z
          .int()
          .min(1)
          .default(100_000)
          .describe('Messages received and not yet confirmed by the output.'),
        bytes: size({ min: 1 })
          .default(64 * 1024 ** 2)
          .describe('Bytes of payload received and not yet confirmed by the output.'),
      })
      .prefault({})
      .describe(
        'How much may be on its way. At the limit the input stops receiving, at half of it it goes on. WebSocket clients that have nothing on its way are read until they have, up to a quarter more in all (1,000 messages and 1 MiB at least).',
      ),
    state: z
      .strictObject({
        memory: size({ min: 1 })
          .default(128 * 1024 ** 2)
          .describe('Bytes of memory.'),
        disk: size({ min: 0 })
          .default(256 * 1024 ** 2)
          .describe(
            'Bytes on disk, in a folder of the log. Only a stream with `durability` uses it, when `memory` is full.',
          ),
      })
      .prefault({})
      .describe(
        'How much windows and buffers may keep. It does not count in `in_flight`. A message that does not fit stays in flight, so that senders wait once `in_flight` is full as well.',
      ),
    durability: durability.optional(),
  });
}

/** The schema of a file; one that is a list is the `streams` of it. */
export function fileSchema(registry: Registry) {
  return z.strictObject({
    logging: logging.prefault({}),
    health_check: healthCheck.prefault({}),
    plugins: z
      .array(z.string().min(1).meta({ shown: true }))
      .optional()
      .describe(
        'Modules with components of your own: paths from the folder of this file, or packages that are installed there. Their code runs, on `check` too.',
      ),
    streams: z.array(streamSchema(registry)).min(1).describe('Each runs by itself.'),
  });
}

function isAddress(text: string): boolean {
  const match = /^(?:\[[\da-fA-F:.]+\]|[^\s:/[\]]+):(\d{1,5})$/.exec(text);
  return match !== null && Number(match[1]) <= 65_535;
}

import { z } from 'zod';

const UNITS_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;
const UNITS_BYTES = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, KB: 1e3, MB: 1e6, GB: 1e9 } as const;

/**
 * A span of time: `250ms`, `5s`, `1m`, `1h`, or a bare number in `bareUnit`. Parsed to milliseconds.
 * `min` and `max` are in milliseconds.
 */
export function duration(bareUnit: keyof typeof UNITS_MS = 's', range: { min?: number; max?: number } = {}) {
  const { min = 0, max = 2 ** 31 - 1 } = range;
  return z
    .union([z.string(), z.number()])
    .transform((value, context) => {
      const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h)?$/.exec(String(value));
      const unit = (match?.[2] ?? bareUnit) as keyof typeof UNITS_MS;
      const ms = match === null ? Number.NaN : Number(match[1]) * UNITS_MS[unit];
      if (Number.isNaN(ms)) {
        context.addIssue({
          code: 'custom',
          message: 'not a duration; expected one like 250ms, 5s, 1m or 1h',
        });
      } else if (ms < min || ms > max) {
        context.addIssue({ code: 'custom', message: `out of range; expected ${min}ms to ${max}ms` });
      }
      return ms;
    })
    .meta({ format: 'duration', examples: ['250ms', '5s', '1m'] });
}

/** A number of bytes: `64KiB`, `4MiB`, `1GB`, or a bare number of bytes. */
export function size(range: { min?: number; max?: number } = {}) {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = range;
  return z
    .union([z.string(), z.number()])
    .transform((value, context) => {
      const match = /^(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|KB|MB|GB)?$/.exec(String(value));
      const unit = (match?.[2] ?? 'B') as keyof typeof UNITS_BYTES;
      const bytes = match === null ? Number.NaN : Math.round(Number(match[1]) * UNITS_BYTES[unit]);
      if (Number.isNaN(bytes)) {
        context.addIssue({
          code: 'custom',
          message: 'not a size; expected one like 64KiB, 4MiB or a number of bytes',
        });
      } else if (bytes < min || bytes > max) {
        context.addIssue({ code: 'custom', message: `out of range; expected ${min} to ${max} bytes` });
      }
      return bytes;
    })
    .meta({ format: 'size', examples: ['64KiB', '4MiB'] });
}

/** Marks a field whose value is never shown. */
export function secret<T extends z.ZodType>(schema: T): T {
  return schema.meta({ ...schema.meta(), secret: true });
}

export const port = z.int().min(0).max(65_535);

/** How to connect again. */
export const reconnect = z
  .strictObject({
    initial: duration('s', { min: 1 })
      .default(500)
      .describe('The longest pause before the first new attempt; it doubles with each failure.'),
    max: duration('s', { min: 1 }).default(30_000).describe('The longest pause there is.'),
    attempts: z
      .int()
      .min(1)
      .optional()
      .describe(
        'How many attempts in a row may fail before the stream fails. Without it, it tries for ever.',
      ),
  })
  .describe(
    'Pauses between attempts to connect: exponential, each drawn at random from nothing up to its limit.',
  );

/** TLS of a client, or of a server. Files hold PEM and are read at each attempt to connect. */
export const tls = z
  .strictObject({
    ca_file: z
      .string()
      .optional()
      .describe(
        'Certificates of the authorities to trust, in place of those that come with Node.js. On a server, clients must then show a certificate that one of them signed.',
      ),
    cert_file: z.string().optional().describe('The own certificate, with its intermediates.'),
    key_file: z.string().optional().describe('The key of the own certificate.'),
    server_name: z
      .string()
      .optional()
      .meta({ mode: 'client' })
      .describe('The name to ask for (SNI) and to verify, in place of the URL’s host.'),
    insecure_skip_verify: z
      .boolean()
      .optional()
      .meta({ mode: 'client', default: false })
      .describe('Accept any certificate. That gives up what TLS is for; use it only to find a fault.'),
  })
  .refine((value) => (value.cert_file === undefined) === (value.key_file === undefined), {
    message: 'cert_file and key_file belong together; give both or neither',
  });

export type TlsFiles = z.output<typeof tls>;

const CONTROL_CHARACTER = /[\u0000-\u0008\u000a-\u001f\u007f]/;

/** Headers of a WebSocket handshake that a client sends. */
export const headers = z
  .record(
    z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'not a header name (RFC 9110 section 5.1)'),
    z.string().refine((value) => !CONTROL_CHARACTER.test(value), {
      message: 'a header value cannot hold control characters such as line breaks',
    }),
  )
  .superRefine((value, context) => {
    for (const name of Object.keys(value)) {
      if (!/^sec-websocket-(protocol|key|version|extensions)$/i.test(name)) continue;
      const hint = /protocol$/i.test(name) ? '; use `protocols`' : '';
      const message = `this header is part of the handshake itself and cannot be set${hint}`;
      context.addIssue({ code: 'custom', path: [name], message });
    }
  });

/** Names of subprotocols (RFC 6455 section 1.9). */
export const subprotocols = z
  .array(z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'not a subprotocol name (RFC 6455 section 4.1)'))
  .refine((names) => new Set(names).size === names.length, {
    message: 'each subprotocol can be named once only',
  });

/** `ws://` or `wss://` with a host. */
export const websocketUrl = z.string().superRefine((value, context) => {
  const url = URL.parse(value);
  if (url === null || !/^wss?:$/.test(url.protocol)) {
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

/** For a component with modes: reports every field that is set and belongs to another mode (meta `mode`). */
export function refuseOtherMode(
  shape: Readonly<Record<string, z.ZodType>>,
  value: Readonly<Record<string, unknown>>,
  mode: string,
  report: (field: string, message: string) => void,
): void {
  for (const [name, field] of Object.entries(shape)) {
    const owner = (field.meta() as { mode?: string } | undefined)?.mode;
    if (owner === undefined || owner === mode || value[name] === undefined) continue;
    report(name, `only for \`mode: ${owner}\`; this is \`mode: ${mode}\``);
  }
}

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
        context.addIssue({ code: 'custom', message: 'not a duration; expected one like 250ms, 5s, 1m or 1h' });
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
        context.addIssue({ code: 'custom', message: 'not a size; expected one like 64KiB, 4MiB or a number of bytes' });
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
      .describe('How many attempts in a row may fail before the stream fails. Without it, it tries for ever.'),
  })
  .describe('Pauses between attempts to connect: exponential, each drawn at random from nothing up to its limit.');

/** TLS of a client. Files hold PEM. */
export const clientTls = z
  .strictObject({
    ca_file: z.string().optional().describe('Certificates of the authorities to trust, in place of the system’s.'),
    cert_file: z.string().optional().describe('The client’s own certificate.'),
    key_file: z.string().optional().describe('The key of the client’s own certificate.'),
    server_name: z.string().optional().describe('The name to ask for (SNI) and to verify, in place of the URL’s host.'),
    insecure_skip_verify: z
      .boolean()
      .default(false)
      .describe('Accept any certificate. This gives up the protection that TLS is for; use it only to find a fault.'),
  })
  .describe('TLS of a `wss://` connection.');

/** TLS of a server. Files hold PEM. */
export const serverTls = z
  .strictObject({
    cert_file: z.string().describe('The server’s certificate, with its intermediates.'),
    key_file: z.string().describe('The certificate’s key.'),
    client_ca_file: z
      .string()
      .optional()
      .describe('Where set, clients must show a certificate that one of these authorities signed.'),
  })
  .describe('With this the server speaks `wss://`.');

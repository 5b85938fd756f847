import { z } from 'zod';
import type { Backoff } from './backoff.ts';
import { settings } from './settings.ts';

const UNITS_MS = {
  ns: 1e-6,
  us: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
} as const;

/** The units of durations as ArkFlow reads them (https://docs.rs/humantime), apart from months and years. */
const UNIT_NAMES: Readonly<Record<string, keyof typeof UNITS_MS>> = Object.fromEntries(
  Object.entries({
    ns: 'ns nsec nanos',
    us: 'us usec µs',
    ms: 'ms msec millis',
    s: 's sec secs second seconds',
    m: 'm min mins minute minutes',
    h: 'h hr hrs hour hours',
    d: 'd day days',
    w: 'w wk wks week weeks',
  }).flatMap(([unit, names]) => names.split(' ').map((name) => [name, unit as keyof typeof UNITS_MS])),
);
const UNITS_BYTES = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, KB: 1e3, MB: 1e6, GB: 1e9 } as const;

/** The longest time that Node.js can wait, in milliseconds. */
const LONGEST = 2 ** 31 - 1;

/** From here on, a number of seconds without a unit is probably meant as milliseconds. */
const DOUBTFUL_SECONDS = 1000;

/**
 * A span of time: `250ms`, `5s`, `1m`, `1h`, `1m30s`, `1d`, or a bare number in `bareUnit`. Parsed to milliseconds.
 * `min` and `max` are in milliseconds.
 */
export function duration(bareUnit: keyof typeof UNITS_MS = 's', range: { min?: number; max?: number } = {}) {
  const { min = 0, max = LONGEST } = range;
  return z
    .union([z.string(), z.number()])
    .transform((value, context) => {
      const bare = /^\d+(?:\.\d+)?$/.test(String(value)) ? Number(value) : undefined;
      const ms = bare === undefined ? withUnits(String(value)) : bare * UNITS_MS[bareUnit];
      if (ms === undefined) {
        context.addIssue({
          code: 'custom',
          message: 'not a duration; expected one like 250ms, 5s, 1m or 1h',
        });
        return Number.NaN;
      }
      if (bare !== undefined && bareUnit === 's' && bare >= DOUBTFUL_SECONDS) {
        context.addIssue({ code: 'custom', message: doubt(bare) });
      } else if (ms < min || ms > max) {
        context.addIssue({
          code: 'custom',
          message: `out of range; expected ${ms < min ? `at least ${inUnits(min, UNITS_MS)}` : `at most ${max === LONGEST ? '24 days' : inUnits(max, UNITS_MS)}`}`,
        });
      }
      return ms;
    })
    .meta({ format: 'duration', examples: ['250ms', '5s', '1m'] });
}

/** The milliseconds of `1m30s`: one number or more, each with its unit. Undefined for any other text. */
function withUnits(text: string): number | undefined {
  if (!/^(?:\d+(?:\.\d+)?\s*[a-zµ]+\s*)+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, number, name] of text.matchAll(/([\d.]+)\s*([a-zµ]+)/g)) {
    const unit = UNIT_NAMES[name!];
    if (unit === undefined) return undefined;
    sum += Number(number) * UNITS_MS[unit];
  }
  return sum;
}

/** The IANA name of a time zone, such as `Europe/Berlin`. */
export function timeZone() {
  return z
    .string()
    .refine((name) => /^[A-Z]/i.test(name) && isTimeZone(name), {
      error: 'not a time zone; expected an IANA name, such as UTC or Europe/Berlin',
    })
    .meta({ examples: ['UTC', 'Europe/Berlin'] });
}

function isTimeZone(name: string): boolean {
  try {
    return Intl.DateTimeFormat('en', { timeZone: name }) instanceof Intl.DateTimeFormat;
  } catch {
    return false;
  }
}

/** `value` in the largest unit that holds it exactly: `1h`, `32MiB`. */
function inUnits(value: number, units: Readonly<Record<string, number>>): string {
  const [unit, one] = Object.entries(units)
    .filter(([, size]) => value % size === 0 && (value >= size || size === 1))
    .reduce((largest, each) => (each[1] > largest[1] ? each : largest));
  return `${value / one}${unit}`;
}

function doubt(bare: number): string {
  const hours = Number((bare / 3600).toPrecision(2));
  const long = hours < 1 ? `${Math.round(bare / 60)} minutes` : `${hours} hour${hours === 1 ? '' : 's'}`;
  return `too large for a number without a unit, which is seconds: ${long}; expected ${bare}ms, or ${bare}s where that is meant`;
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
        context.addIssue({
          code: 'custom',
          message: `out of range; expected ${bytes < min ? `at least ${inUnits(min, UNITS_BYTES)}` : `at most ${inUnits(max, UNITS_BYTES)}`}`,
        });
      }
      return bytes;
    })
    .meta({ format: 'size', examples: ['64KiB', '4MiB'] });
}

/** A conversion of strftime, which other programs fill into paths; `%20` and the like are something else. */
export const TIME_CONVERSION = /%[YmdHMF](?![0-9A-Fa-f])/;

/** The path of one file or folder. A placeholder in it is a mistake, because nothing fills it in. */
export const fixedPath = z
  .string()
  .min(1)
  .superRefine((text, context) => {
    const filled = text.includes('{{') ? '{{…}}' : TIME_CONVERSION.exec(text)?.[0];
    if (filled === undefined) return;
    context.addIssue({
      code: 'custom',
      message: `${filled} is not filled in here; expected the path of one file`,
    });
  })
  .meta({ shown: true });

/** Marks a field whose value is never shown: text, unless it gets another schema. */
export function secret(): z.ZodString;
export function secret<T extends z.ZodType>(schema: T): T;
export function secret(schema: z.ZodType = z.string()): z.ZodType {
  return schema.meta({ ...schema.meta(), secret: true });
}

export const port = z.int().min(0).max(65_535);

const closeCodes = z
  .union([z.int(), z.string()])
  .transform((value, context) => {
    const [first = NaN, last = first] = /^\d{4}(?:-\d{4})?$/.test(String(value))
      ? String(value).split('-').map(Number)
      : [];
    if (!(first >= 1000 && last >= first && last <= 4999)) {
      context.addIssue({
        code: 'custom',
        message: 'not a close code; expected one like 1008, or a range like 4000-4099',
      });
    } else if (first === last && (first === 1006 || first === 1015)) {
      context.addIssue({
        code: 'custom',
        message: `${first} is never sent (RFC 6455 section 7.4.1): it stands for a connection that broke`,
      });
    }
    return { first, last };
  })
  .meta({ examples: [1008, '4000-4099'] });

/** How to connect again. */
export const reconnect = z
  .strictObject({
    initial: duration('s', { min: 1 })
      .default(500)
      .describe('The longest pause before the first retry; it doubles with each failure.'),
    max: duration('s', { min: 1 }).default(30_000).describe('The longest pause.'),
    max_attempts: z
      .int()
      .min(1)
      .optional()
      .describe(
        'How many attempts in a row may fail before the stream fails. Without it, Millrace retries forever.',
      ),
    stable_after: duration('s')
      .default(5_000)
      .describe('After a connection that held this long, the pauses start small again.'),
    stop_on: z
      .strictObject({
        close_codes: z
          .array(closeCodes)
          .default([])
          .describe('Close codes of the server, such as 1008, or ranges, such as `4000-4099`.'),
        statuses: z
          .array(z.int().min(300).max(599))
          .default([])
          .describe('HTTP statuses that answer the handshake.'),
      })
      .prefault({})
      .describe('After these, Millrace does not reconnect: the stream fails.'),
    end_on: z
      .array(closeCodes)
      .min(1)
      .optional()
      .describe(
        'Close codes by which the server says that it has sent everything, such as 1000. The input then ends, as a file does, and does not reconnect. The stream writes the messages that it has and ends without an error.',
      ),
  })
  .describe(
    'Pauses between attempts to connect. They grow exponentially; each is a random time from zero up to its limit.',
  );

export type ReconnectConfig = z.output<typeof reconnect>;

/** The pauses that a configuration asks for. */
export function backoffOf({ initial, max, max_attempts = Infinity, stable_after }: ReconnectConfig): Backoff {
  return { initial, max, attempts: max_attempts, stableAfter: stable_after };
}

/** TLS of a client. Files hold PEM and are read at each attempt to connect. */
export const clientTls = settings(
  {
    ca_file: z
      .string()
      .optional()
      .describe('Certificates of the authorities to trust, instead of those that come with Node.js.'),
    cert_file: z.string().optional().describe('Your own certificate, with its intermediates.'),
    key_file: z.string().optional().describe('The key of your certificate.'),
    server_name: z
      .string()
      .optional()
      .describe('The name to ask for (SNI) and to verify, instead of the URL’s host.'),
    insecure_skip_verify: z
      .boolean()
      .default(false)
      .describe('Accept any certificate. TLS then protects nothing; use this only to find a fault.'),
  },
  (value, fail) => {
    if ((value.cert_file === undefined) === (value.key_file === undefined)) return;
    fail([], 'cert_file and key_file belong together; give both or neither');
  },
);

/** TLS of a server. Files hold PEM and are read again when they change. */
export const serverTls = settings(
  {
    ca_file: z
      .string()
      .optional()
      .describe('On a server, clients must show a certificate that one of these authorities signed.'),
    cert_file: z.string().optional().describe('Your own certificate, with its intermediates.'),
    key_file: z.string().optional().describe('The key of your certificate.'),
  },
  ({ cert_file, key_file }, fail) => {
    if (cert_file === undefined && key_file === undefined) fail([], 'a server needs cert_file and key_file');
    else if (cert_file === undefined || key_file === undefined)
      fail([], 'cert_file and key_file belong together; give both or neither');
  },
);

export type ClientTls = z.output<typeof clientTls>;

/** The files of a client or a server. */
export interface TlsFiles {
  readonly ca_file?: string | undefined;
  readonly cert_file?: string | undefined;
  readonly key_file?: string | undefined;
}

const CONTROL_CHARACTER = /[\u0000-\u0008\u000a-\u001f\u007f]/;

const anyHeaderName = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'not a header name (RFC 9110 section 5.1)');

/** The name of a header to look up, in lower case as Node has it. */
export const headerName = anyHeaderName.toLowerCase();

/** Headers of a WebSocket handshake that a client sends. */
export const headers = z
  .record(
    anyHeaderName,
    z.string().refine((value) => !CONTROL_CHARACTER.test(value), {
      message: 'a header value cannot hold control characters such as line breaks',
    }),
  )
  .superRefine((value, context) => {
    const names = new Map<string, string>();
    for (const name of Object.keys(value)) {
      const fail = (message: string): void => context.addIssue({ code: 'custom', path: [name], message });
      const same = names.get(name.toLowerCase());
      if (same !== undefined) fail(`is already there, as ${same}; only one of the two would be sent`);
      names.set(name.toLowerCase(), name);
      // Node refuses some of them only after it has connected, and then nobody closes that connection.
      if (/^(?:content-length|transfer-encoding|trailer)$/i.test(name)) {
        fail('a handshake has no body, so this header cannot be set');
      }
      if (!/^(?:sec-websocket-(?:protocol|key|version|extensions)|connection|upgrade)$/i.test(name)) continue;
      const hint = /protocol$/i.test(name) ? '; use `protocols`' : '';
      fail(`this header is part of the handshake itself and cannot be set${hint}`);
    }
  });

import type { z } from 'zod';
import { duration } from '../component/fields.ts';
import { settings } from '../component/settings.ts';
import { errorMessage } from '../errors.ts';
import type { clientAuth } from '../net/auth/auth-schema.ts';
import { checkClientConfig } from '../websocket/client/check.ts';
import { clientFields, websocketUrl, type ClientConfig } from '../websocket/client/client-schema.ts';
import type { ClientOptions } from './client-options.ts';
import { UsageError } from './shell.ts';

const schema = settings({ url: websocketUrl, ...clientFields });

/** The command-line options of fields that are called something else there. */
const optionNames: Readonly<Record<string, string>> = {
  url: 'URL',
  protocols: '--protocol',
  headers: '--header',
  on_open: '--send',
  auth: '--user or --bearer',
};

/** The settings of a connection, as a file would give them. */
export interface ClientSettings {
  readonly url: string;
  readonly config: ClientConfig;
}

/** The fields of a WebSocket client, as a file would give them. `onOpen` are messages to send when it has connected. */
export function clientFieldsOf(address: string, options: ClientOptions, onOpen: readonly string[] = []) {
  const { caFile, certFile, keyFile, insecure } = options;
  return {
    url: withScheme(address),
    protocols: options.protocol ?? [],
    auth: authOf(options),
    headers: headersOf(options.header ?? []),
    timeout: options.timeout,
    proxy: options.proxy,
    on_open: onOpen.map((text) => ({ send: text })),
    max_message_size: options.maxMessageSize,
    compression: options.compress ?? false,
    ping_interval: options.pingInterval,
    tls:
      (caFile ?? certFile ?? keyFile ?? insecure) === undefined
        ? undefined
        : { ca_file: caFile, cert_file: certFile, key_file: keyFile, insecure_skip_verify: insecure },
  };
}

/**
 * Checks the command line as a file would be checked. `onOpen` are messages to send when the connection has opened.
 * @throws UsageError that lists every mistake
 */
export function clientSettings(
  address: string,
  options: ClientOptions,
  onOpen: readonly string[] = [],
): ClientSettings {
  const fields = clientFieldsOf(address, options, onOpen);
  const { url } = fields;
  if (/^ws:/i.test(url) && fields.tls !== undefined) {
    throw new UsageError(
      '--ca-file, --cert-file, --key-file and --insecure have no effect with ws://; use wss://',
    );
  }
  const parsed = schema.safeParse(fields);
  if (!parsed.success) throw new UsageError(listOf(parsed.error.issues));
  const mistakes: Mistake[] = [];
  checkClientConfig(parsed.data, [url], (path, message) => mistakes.push({ path, message }));
  if (mistakes.length > 0) throw new UsageError(listOf(mistakes));
  return { url: parsed.data.url, config: parsed.data };
}

/** @throws UsageError */
export function readDuration(option: string, text: string, range: { min?: number } = {}): number {
  const { data, error } = duration('s', range).safeParse(text);
  if (data === undefined) throw new UsageError(`${option} ${text}: ${error.issues[0]!.message}`);
  return data;
}

/** The URL that the user means: people type `localhost:8080/feed` and `https://…`. */
function withScheme(address: string): string {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(address)?.[1]?.toLowerCase();
  if (scheme === undefined) return `ws://${address}`;
  return scheme === 'http' || scheme === 'https' ? address.replace(/^http/i, 'ws') : address;
}

function authOf({ user, bearer, bearerFile }: ClientOptions): z.input<typeof clientAuth> | undefined {
  if (bearer !== undefined) return { type: 'bearer', token: bearer };
  if (bearerFile !== undefined) return { type: 'bearer', token_file: bearerFile };
  if (user === undefined) return undefined;
  const colon = user.indexOf(':');
  if (colon < 1) throw new UsageError('--user: expected user:password');
  return { type: 'basic', username: user.slice(0, colon), password: user.slice(colon + 1) };
}

/** A repeated name gets both values, joined as RFC 9110 section 5.3 and RFC 6265 section 5.4 say. */
function headersOf(lines: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    // The line is not quoted: it may be a secret.
    if (colon < 1) throw new UsageError("--header: expected 'Name: value'");
    const value = line.slice(colon + 1).trim();
    const written = line.slice(0, colon).trim();
    const name = Object.keys(headers).find((each) => each.toLowerCase() === written.toLowerCase()) ?? written;
    const before = headers[name];
    const separator = /^cookie$/i.test(name) ? '; ' : ', ';
    headers[name] = before === undefined ? value : before + separator + value;
  }
  return headers;
}

interface Mistake {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** For a wrong name of a field. */
  readonly issues?: readonly { readonly message: string }[];
}

function listOf(mistakes: readonly Mistake[]): string {
  return [...new Set(mistakes.map(sentence))].join('\nerror: ');
}

function sentence(issue: Mistake): string {
  const [field = ''] = issue.path;
  const option = optionNames[String(field)] ?? `--${String(field).replaceAll('_', '-')}`;
  const nested = issue.issues?.[0]?.message;
  const header = field === 'headers' && issue.path.length > 1 ? ` ${String(issue.path[1])}` : '';
  return `${option}${header}: ${nested ?? issue.message}`;
}

/** The message of an error, with command-line options in place of the fields of a file. */
export function clientMessage(error: unknown): string {
  return errorMessage(error).replaceAll(/`tls\.(ca|cert|key)_file`/g, '`--$1-file`');
}

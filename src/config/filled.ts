import type { z } from 'zod';
import { hideInPaths, hideInUrls, looksLikeKey, type FilledUrl, type FilledUrls } from '../component/mask.ts';
import { keepSecrets } from '../telemetry/secrets.ts';
import type { Expansion } from './expand.ts';
import { isPlainObject, valueAt } from './plain.ts';
import type { Path } from './problem.ts';
import { defOf, options, schemaAt, unwrap } from './schema-walk.ts';

/** A URL's scheme with its slashes, user with its `@`, host with its port, and the rest. */
const URL_PARTS = /^(\s*[a-z][a-z0-9+.-]*:[/\\]{2,})((?:[^/\\?#]*@)?)([^/\\?#]*)(.*)$/is;

/**
 * From now on masks the values of `${…}` wherever text leaves the process. Numbers, switches, words that a field
 * lists, durations and sizes are not secret. Nor is the value of a field whose schema says that it may be shown, or
 * the host and port of a URL.
 * @returns the values in URLs of each stream, by its place in the file
 */
export function keepFilled(
  schema: z.core.$ZodType,
  { value, fills }: Expansion,
): ReadonlyMap<number, FilledUrls> {
  const streams = new Map<number, Map<string, FilledUrl>>();
  for (const { path, start, end } of fills) {
    const text = valueAt(value, path);
    if (typeof text !== 'string' || start === end || isShown(schema, value, path)) continue;
    const url = URL_PARTS.exec(text);
    if (url !== null) {
      const { inHost, behindHost } = keepInUrl(url.slice(1), start, end);
      note(streams, path, text, { inHost, behindHost });
      const owner = valueAt(value, path.slice(0, -1));
      // A server's URL is the address to listen on.
      if (isPlainObject(owner) && owner['mode'] === 'server') hideInPaths(behindHost);
    } else if (text.startsWith('/')) {
      const pieces = piecesOf(text.slice(start, end));
      hideInPaths(pieces);
      keepSecrets(pieces);
    } else keepSecrets([text.slice(start, end)]);
  }
  return streams;
}

/** Adds the values of one `${…}` in a URL to those of its stream. */
function note(
  streams: Map<number, Map<string, FilledUrl>>,
  [list, index]: Path,
  url: string,
  { inHost, behindHost }: FilledUrl,
): void {
  if (list !== 'streams' || typeof index !== 'number') return;
  const urls = streams.get(index) ?? new Map<string, FilledUrl>();
  const known = urls.get(url) ?? { inHost: [], behindHost: [] };
  // A stream may use a URL several times: each word counts once.
  urls.set(url, {
    inHost: [...new Set([...known.inHost, ...inHost])],
    behindHost: [...new Set([...known.behindHost, ...behindHost])],
  });
  streams.set(index, urls);
}

function isShown(schema: z.core.$ZodType, value: unknown, path: readonly (string | number)[]): boolean {
  const found = schemaAt(schema, value, path).schema;
  if (found === undefined) return false;
  // The value of such a field is the name of a file.
  if (String(path.at(-1)).endsWith('_file')) return true;
  const { meta } = unwrap(found);
  if (meta.shown === true || meta.format === 'duration' || meta.format === 'size') return true;
  const text = valueAt(value, path);
  return !options(found, text).some((option) => ['string', 'unknown', 'any'].includes(defOf(option).type));
}

/** `parts` are those of `URL_PARTS`. @returns the values hidden in the host and behind it */
function keepInUrl(parts: readonly string[], start: number, end: number): FilledUrl {
  let at = 0;
  const [, user, host, rest] = parts.map((part) => {
    const piece = part.slice(Math.max(0, start - at), Math.max(0, end - at));
    at += part.length;
    return piece;
  }) as [string, string, string, string];
  const name = parts[2]!;
  // A value that is the whole host is an address, and not a key.
  const isAddress = host === name.replace(/:\d*$/, '') || host === name || /^\d*$/.test(host);
  const inHost = isAddress ? [] : [host];
  const behind = piecesOf(rest);
  hideInUrls(name, inHost, behind);
  // A value that is a whole URL consists of words of which few are secrets; one inside a URL is a secret.
  const whole = user + host !== '' && rest !== '';
  const password = user.replace(/^[^:]*:/, '').replace(/@$/, '');
  keepSecrets([...inHost, password, ...(whole ? behind.filter(looksLikeKey) : behind)]);
  return { inHost, behindHost: behind };
}

/** The steps of a path and the values of parameters; also decoded, as a server may quote them. */
function piecesOf(text: string): string[] {
  const pieces = text.split(/[/\\?&;#]+/).map((each) => each.replace(/^[^=]+=(?=.)/, ''));
  // A key may itself have such characters.
  if (!/^[/\\?]/.test(text)) pieces.push(text);
  return [...new Set([...pieces, ...pieces.map(decoded)])].filter((each) => each !== '');
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

import { hash } from 'node:crypto';
import { createMasker, type Masker } from '../telemetry/secrets.ts';

const MASK = '***';

/** A scheme that an authority follows: any with `//`, and those that the WHATWG URL standard reads even without. */
const SCHEME = /^\s*(?:[a-z][a-z0-9+.-]*:[/\\]{2,}|(?:wss?|https?|ftp):[/\\]*|[/\\]{2,})/i;
/** An equals sign, also percent-encoded any number of times. */
const EQUALS = /=|%(?:25)*3d/i;
const HOST_AND_PORT = /^(?:\[[^\]]*\]|[^:]*)(?::(\d{0,5}))?$/;

/** A word in a parameter's name that marks its value as a secret. */
const SECRET_WORD =
  /token|secret|passw|passphrase|signature|credential|apikey|session|sessid|jwt|bearer|^auth(?!or(?!i))|auth$|key$|^(?:sig|code|pass|pwd|sid|otp|ticket)$/;

/**
 * A URL that is safe to show: the password and the values of token-like parameters are `***`, the fragment is gone,
 * and everything else stays. It works on the text and not on a parsed URL, so that it also masks a URL that cannot be
 * parsed, and masks too much rather than too little. Never throws.
 */
export function maskUrl(url: string): string {
  const [scheme, authority, rest] = splitUrl(url);
  const [masked, maskedRest] = maskFilled(authority, rest);
  return scheme + masked + maskBehindHost(maskedRest);
}

/** The values that `${…}` filled into one URL of a stream. */
export interface FilledUrl {
  readonly inHost: readonly string[];
  readonly behindHost: readonly string[];
}

/** The values by URL; the URL is as in the file, with its `${…}` filled in. */
export type FilledUrls = ReadonlyMap<string, FilledUrl>;

/**
 * Stands for a URL of the file in a file that Millrace keeps. It has no secret in it, and a new key does not change
 * it. A filled-in value that looks like a word (a topic, a tenant) does change it, by four digits of a hash, because
 * that is another feed. `filled` is that of the component's stream.
 */
export function urlKey(url: string, filled: FilledUrls): string {
  const { inHost, behindHost } = filled.get(url) ?? { inHost: [], behindHost: [] };
  const [scheme, authority, rest] = splitUrl(url);
  const at = authority.lastIndexOf('@') + 1;
  const host = createMasker(inHost, isText)(authority.slice(at));
  const words = [...inHost, ...behindHost].filter((each) => !looksLikeKey(each));
  const digest = words.length === 0 ? '' : ` #${hash('sha256', JSON.stringify(words)).slice(0, 4)}`;
  const shown = maskBehindHost(createMasker(behindHost, isText)(rest));
  return scheme + authority.slice(0, at) + host + shown + digest;
}

/** Whether a word looks like a key. */
export function looksLikeKey(word: string): boolean {
  return word.length >= 16 || (word.length >= 8 && /\d/.test(word));
}

function isText(text: string): boolean {
  return /[\p{L}\p{N}]/u.test(text);
}

/** As `maskUrl`, but with values from `${…}`: how Millrace once named a URL in the files that it keeps. */
export function maskUrlAsWritten(url: string): string {
  const [scheme, authority, rest] = splitUrl(url);
  return scheme + authority + maskBehindHost(rest);
}

/** The authority comes back masked. */
function splitUrl(url: string): [scheme: string, authority: string, rest: string] {
  const scheme = SCHEME.exec(url)?.[0] ?? '';
  return [scheme, ...maskCredentials(url.slice(scheme.length), scheme !== '')];
}

function maskBehindHost(rest: string): string {
  const shown = before(rest, '#');
  const plainPath = before(shown, '?');
  const query = shown.slice(plainPath.length);
  // A URL inside the path: through a proxy, or after a mistyped scheme.
  const path = plainPath.replaceAll(/(\/\/[^/:@]*:)[^/@]*@/g, `$1${MASK}@`);
  return maskParameters(path, /([/\\;&])/) + query.slice(0, 1) + maskParameters(query.slice(1), /([&;])/);
}

/** Values from `${…}` in URLs of one host: in its name, and behind it. */
interface Filled {
  readonly host: Set<string>;
  readonly rest: Set<string>;
  maskHost: Masker;
  maskRest: Masker;
}

/** The values by host and port. */
const filled = new Map<string, Filled>();

/** From now on `maskUrl` takes these values out of URLs of this host, however short they are. */
export function hideInUrls(host: string, inHost: Iterable<string>, behindHost: Iterable<string>): void {
  const name = hostName(host);
  const known = filled.get(name);
  const all = {
    host: new Set([...(known?.host ?? []), ...inHost]),
    rest: new Set([...(known?.rest ?? []), ...behindHost]),
  };
  filled.set(name, {
    ...all,
    maskHost: createMasker(all.host, isText),
    maskRest: createMasker(all.rest, isText),
  });
}

function maskFilled(authority: string, rest: string): [authority: string, rest: string] {
  if (filled.size === 0) return [authority, rest];
  const at = authority.lastIndexOf('@') + 1;
  const host = authority.slice(at);
  return [hostName(host), ANY_HOST].reduce(
    ([shownAuthority, shownRest], name) => {
      const known = filled.get(name);
      if (known === undefined) return [shownAuthority, shownRest];
      return [authority.slice(0, at) + known.maskHost(shownAuthority.slice(at)), known.maskRest(shownRest)];
    },
    [authority, rest],
  );
}

/** The path of a request to a server, without values from `${…}` in the path that it serves. */
export function maskPath(path: string): string {
  return filled.get(SERVED)?.maskRest(path) ?? path;
}

/** From now on `maskPath` takes these out. */
export function hideInPaths(pieces: Iterable<string>): void {
  hideInUrls(SERVED, [], pieces);
}

const SERVED = '/';

/** For URLs whose host is a template. */
const ANY_HOST = '';

/** The host without the port that a URL parser drops, the same for `ws` and `wss`. */
function hostName(host: string): string {
  return host.includes('{{') ? ANY_HOST : host.toLowerCase().replace(/:(?:80|443)$/, '');
}

/** Splits off the authority, which comes back masked. */
function maskCredentials(text: string, hasScheme: boolean): [authority: string, rest: string] {
  const end = text.search(/[/\\?#]/);
  const authority = end < 0 ? text : text.slice(0, end);
  const rest = end < 0 ? '' : text.slice(end);
  const at = authority.lastIndexOf('@');
  if (at >= 0) return [maskPassword(authority.slice(0, at)) + authority.slice(at), rest];
  const port = HOST_AND_PORT.exec(authority);
  const isHost = port !== null && Number(port[1] ?? 0) <= 65_535;
  // No host and port: an unescaped character cut a password in two. The same is true of an `@` where no URL has one.
  const stray = rest.startsWith('#') || !hasScheme ? rest.lastIndexOf('@') : -1;
  if (isHost && (stray < 0 || !authority.includes(':'))) return [authority, rest];
  const last = rest.lastIndexOf('@');
  return [maskPassword(authority), last < 0 ? rest : rest.slice(last)];
}

function maskPassword(userinfo: string): string {
  const colon = /:|%(?:25)*3a/i.exec(userinfo);
  return colon === null ? userinfo : userinfo.slice(0, colon.index) + colon[0] + MASK;
}

/** Masks the values of `name=value` in a text that `separator`, which captures, splits. */
function maskParameters(text: string, separator: RegExp): string {
  return text
    .split(separator)
    .map((part) => {
      const equals = EQUALS.exec(part);
      if (equals === null) return part;
      const name = part.slice(0, equals.index);
      const value = part.slice(equals.index + equals[0].length);
      return isSecretName(name) || holdsSecret(value) ? name + equals[0] + MASK : part;
    })
    .join('');
}

/** Whether a value is itself a URL or a query with a secret in it. */
function holdsSecret(value: string): boolean {
  const text = decode(value);
  if (/\/\/[^/:]*:[^/@]*@/.test(text)) return true;
  return text.split(/[?&;#]/).some((part) => part.includes('=') && isSecretName(before(part, '=')));
}

/** Whether a value with this name is likely to be a secret. */
export function isSecretName(name: string): boolean {
  const words = decode(name)
    .replaceAll(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z]+/);
  return words.some((word) => SECRET_WORD.test(word));
}

/** Percent-decodes ASCII, also if encoded twice or three times, and leaves what it cannot decode. */
function decode(text: string): string {
  let decoded = text;
  for (let round = 0; round < 3 && decoded.includes('%'); round++) {
    decoded = decoded.replaceAll(/%([0-7][0-9a-f])/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
  }
  return decoded;
}

function before(text: string, delimiter: string): string {
  const at = text.indexOf(delimiter);
  return at < 0 ? text : text.slice(0, at);
}

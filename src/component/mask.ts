const MASK = '***';

/** A scheme that an authority follows: any with `//`, and those that WHATWG URL reads even without. */
const SCHEME = /^\s*(?:[a-z][a-z0-9+.-]*:[/\\]{2,}|(?:wss?|https?|ftp):[/\\]*|[/\\]{2,})/i;
/** Also percent-encoded, however often. */
const EQUALS = /=|%(?:25)*3d/i;
const HOST_AND_PORT = /^(?:\[[^\]]*\]|[^:]*)(?::(\d{0,5}))?$/;

/** What a word of a parameter's name looks like when its value is a secret. */
const SECRET_WORD =
  /token|secret|passw|passphrase|signature|credential|apikey|session|sessid|jwt|bearer|^auth(?!or(?!i))|auth$|key$|^(?:sig|code|pass|pwd|sid|otp|ticket)$/;

/**
 * A URL fit to be shown: the password and the values of token-like parameters are `***`, the fragment is gone, and
 * everything else is as it was. It works on the text and not on a parsed URL, so that one that cannot be parsed is
 * masked too, rather more than less. Never throws.
 */
export function maskUrl(url: string): string {
  const scheme = SCHEME.exec(url)?.[0] ?? '';
  const [authority, rest] = maskCredentials(url.slice(scheme.length), scheme !== '');
  const shown = before(rest, '#');
  const plainPath = before(shown, '?');
  const query = shown.slice(plainPath.length);
  // A URL inside the path: through a proxy, or after a scheme with a typing error.
  const path = plainPath.replaceAll(/(\/\/[^/:@]*:)[^/@]*@/g, `$1${MASK}@`);
  return (
    scheme +
    authority +
    maskParameters(path, /([/\\;&])/) +
    query.slice(0, 1) +
    maskParameters(query.slice(1), /([&;])/)
  );
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
  // No host and port: a password with a character that should have been escaped was cut in two. The same if an `@`
  // comes where no URL has one.
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

/** Whether what has this name is likely to be a secret. */
export function isSecretName(name: string): boolean {
  const words = decode(name)
    .replaceAll(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z]+/);
  return words.some((word) => SECRET_WORD.test(word));
}

/** Percent-decodes ASCII, also where it was encoded twice or three times, and leaves what it cannot decode. */
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

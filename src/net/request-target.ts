/** The part before the path: a scheme, the slashes and the authority, as WHATWG URL reads them. */
const UP_TO_PATH = /^(?:[a-z][a-z0-9+.-]*:)?[/\\]{2,}[^/\\?#]*/i;

/** The characters that a request line cannot hold: all but visible ASCII (RFC 9112 section 3). */
const NOT_VISIBLE = /[^\u0021-\u007e]/gu;

/**
 * The request target of this URL: its path and query as written, where a URL parser would encode or remove parts of
 * them. Only characters that a request line cannot hold are percent-encoded.
 */
export function requestTarget(url: string): string {
  const behind = written(url).replace(UP_TO_PATH, '');
  return behind.startsWith('/') ? behind : `/${behind.replace(/^\\/, '')}`;
}

/** The same for a `Location`, which may be relative to `from`; `resolved` is the URL that it leads to. */
export function redirectTarget(location: string, from: string, resolved: URL): string {
  const text = written(location);
  if (UP_TO_PATH.test(text)) return requestTarget(text);
  if (text.startsWith('/')) return text;
  if (text.startsWith('?')) return before(from, '?') + text;
  return resolved.pathname + text.slice(before(text, '?').length);
}

/** The URL without its fragment and the characters that a URL parser skips. */
function written(url: string): string {
  const text = url.replaceAll(/[\t\n\r]/g, '').replaceAll(/^[\u0000-\u0020]+|[\u0000-\u0020]+$/g, '');
  return before(text, '#').replaceAll(NOT_VISIBLE, (character) =>
    Buffer.from(character).toString('hex').toUpperCase().replaceAll(/../g, '%$&'),
  );
}

function before(text: string, delimiter: string): string {
  const at = text.indexOf(delimiter);
  return at < 0 ? text : text.slice(0, at);
}

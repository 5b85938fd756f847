/** The least number of characters of a secret that clients show: fewer are a mistake. */
const SHORTEST = 4;

const CONTROL = /[\u0000-\u001f\u007f]/;

/** Why a text cannot be a secret; undefined when it can. Does not quote it. */
export function secretProblem(text: string): string | undefined {
  if (text.trim() === '') return 'is blank; expected a secret';
  if (/[\r\n]/.test(text)) return 'has a line break in it; expected one secret, on one line';
  return CONTROL.test(text) ? 'has a control character in it; expected text' : undefined;
}

/** The same for a secret that clients show to us, where we may be stricter. */
export function shownSecretProblem(text: string): string | undefined {
  const problem = secretProblem(text);
  if (problem !== undefined) return problem;
  return text.length < SHORTEST
    ? `is too short for a secret; expected at least ${SHORTEST} characters`
    : undefined;
}

/** The same for a token that we send in a header, which loses the white space around it. */
export function bearerProblem(text: string): string | undefined {
  const problem = secretProblem(text);
  if (problem !== undefined) return problem;
  return text.trim() === text ? undefined : 'has white space around it; expected the token alone';
}

/** The text of a file. @throws Error if it is not UTF-8 */
export function utf8Text(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Error('it is not UTF-8 text');
  }
}

/** A file's text without the line break that editors leave at its end. */
export function withoutLineBreak(text: string): string {
  return text.replace(/\r?\n$/, '');
}

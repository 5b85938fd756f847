const MASK = '***';

/** A shorter text would occur in too many texts that are not secret. */
const SHORTEST = 4;

/** A shorter text counts only as a word of its own. */
const SHORTEST_ANYWHERE = 8;

/** A longer text is searched for as it is, in JSON and in a URL, and not in every mixture of them. */
const LONGEST_PATTERN = 256;

/** Values that are often filled in and reveal nothing: ports and other small numbers, switches, this machine. */
const TRIVIAL = /^(?:\d{1,5}|true|false|yes|no|on|off|none|null|localhost|127(?:\.\d+){3}|0\.0\.0\.0)$/i;

/** Removes secrets from a text. */
export type Masker = (text: string) => string;

/**
 * Makes a function that replaces each of these texts by `***`: in any case, percent-encoded (in whole or in part, once
 * or more often), escaped as in JSON, and in base64, also inside a longer text as in basic authentication. `tells`
 * decides which texts are worth masking.
 */
export function createMasker(texts: Iterable<string>, tells = isTelling): Masker {
  const secrets = [...new Set([...texts].flatMap(linesOf))].filter(tells);
  if (secrets.length === 0) return (text) => text;
  // Longer texts first, so that a shorter one leaves no remains of a longer one.
  const longestFirst = secrets.toSorted((a, b) => b.length - a.length);
  const plain = new RegExp(longestFirst.map(patternOf).join('|'), 'giu');
  const lowerCase = secrets.map((each) => each.toLowerCase());
  const encoded = longestFirst.flatMap(inBase64);
  // Most texts hold no secret, and a plain search costs little.
  const mayHold = (text: string): boolean => {
    const lower = text.toLowerCase();
    return ENCODED.test(text) || lowerCase.some((each) => lower.includes(each));
  };
  return (text) => {
    const masked = mayHold(text) ? text.replaceAll(plain, MASK) : text;
    return encoded.reduce((rest, each) => (rest.includes(each) ? withoutWords(rest, each) : rest), masked);
  };
}

/** The start of an encoded character. */
const ENCODED = /[%\\+]/;

/** Removes `part` with all of the base64 around it, which contains the ends of the secret. */
function withoutWords(text: string, part: string): string {
  let result = '';
  let at = 0;
  for (let index = text.indexOf(part); index >= 0; index = text.indexOf(part, at)) {
    let start = index;
    let end = index + part.length;
    while (start > at && BASE64.test(text[start - 1]!)) start--;
    while (end < text.length && BASE64.test(text[end]!)) end++;
    result += text.slice(at, start) + MASK;
    at = end;
  }
  return result + text.slice(at);
}

const BASE64 = /[\w+=-]/;

/** True if a text may be removed wherever it occurs. */
function isTelling(text: string): boolean {
  return text.trim().length >= SHORTEST && !TRIVIAL.test(text.trim());
}

/** The values filled in for `${…}` in this process. The set only grows: a secret stays one. */
const kept = new Set<string>();
/** The secrets of run time, by keeper. */
const learnt = new Set<readonly string[]>();
let masker: Masker | undefined;

/** From now on, `maskSecrets` removes these. */
export function keepSecrets(texts: Iterable<string>): void {
  const before = kept.size;
  for (const text of texts) kept.add(text);
  if (kept.size > before) masker = undefined;
}

/** Forgets what `keepSecrets` was told. For a process that runs one test file after the other. */
export function forgetSecrets(): void {
  kept.clear();
  masker = undefined;
}

/** How many secrets of one keeper stay masked: a token and those before it, which logs may still quote. */
const LEARNT = 16;

/** Secrets that a component learns at run time: a token that it fetched, a key out of a message. */
export interface SecretKeeper {
  /** From now on, the text is masked wherever it leaves the process. The newest 16 texts of one component are. */
  add(text: string): void;
  /** A text without secrets, for output that leaves the process in the component's own way. */
  mask(text: string): string;
}

/** `release` forgets the keeper's secrets. */
export function createSecretKeeper(): SecretKeeper & { release(): void } {
  const texts: string[] = [];
  return {
    add(text) {
      if (texts.at(-1) === text) return;
      const at = texts.indexOf(text);
      if (at >= 0) texts.splice(at, 1);
      texts.push(text);
      if (texts.length > LEARNT) texts.shift();
      learnt.add(texts);
      masker = undefined;
    },
    mask: maskSecrets,
    release() {
      if (learnt.delete(texts)) masker = undefined;
    },
  };
}

/**
 * A text without the values from `${…}`. Every way out of the process passes through this: the log, health, a command's
 * output, dead letters' errors, metadata. Messages do not.
 */
export function maskSecrets(text: string): string {
  masker ??= createMasker([...kept, ...[...learnt].flat()]);
  return masker(text);
}

/** A JSON value with `maskSecrets` applied to its strings, but not to the names of its fields. */
export function withoutSecrets<T>(value: T): T {
  if (kept.size === 0 && learnt.size === 0) return value;
  return masked(value) as T;
}

function masked(value: unknown): unknown {
  if (typeof value === 'string') return maskSecrets(value);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(masked);
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, masked(each)]));
}

/** The text, and the lines of a key in PEM, which are shown one by one. */
function linesOf(text: string): string[] {
  const lines = text
    .split(/\r?\n/)
    .filter((line) => line.length >= SHORTEST_ANYWHERE && !line.startsWith('-----'));
  return lines.length > 1 ? [text, ...lines] : [text.trim(), text];
}

function patternOf(secret: string): string {
  if (secret.length > LONGEST_PATTERN) {
    return [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret.toWellFormed())]
      .map(escapePattern)
      .join('|');
  }
  const characters = Array.from(secret.toWellFormed(), characterPattern).join('');
  if (secret.length >= SHORTEST_ANYWHERE) return characters;
  const start = /^[\p{L}\p{N}]/u.test(secret) ? '(?<![\\p{L}\\p{N}])' : '';
  const end = /[\p{L}\p{N}]$/u.test(secret) ? '(?![\\p{L}\\p{N}])' : '';
  return start + characters + end;
}

/** The backslashes of an escape in JSON, or in JSON inside JSON; more would cost too much to search for. */
const BACKSLASHES = '\\\\{1,16}';

/** A character as it is, percent-encoded, or as an escape in JSON, also in JSON inside JSON. */
function characterPattern(character: string): string {
  const percent = Array.from(Buffer.from(character), (byte) => `%(?:25)*${hex(byte, 2)}`).join('');
  const units = Array.from(
    { length: character.length },
    (_, at) => `${BACKSLASHES}u${hex(character.charCodeAt(at), 4)}`,
  );
  const forms = [escapePattern(character), percent, units.join('')];
  const [, escaped] = /^\\(.)$/s.exec(JSON.stringify(character).slice(1, -1)) ?? [];
  if (character === '\\') forms.push(BACKSLASHES);
  else if (escaped !== undefined || character === '/')
    forms.push(`${BACKSLASHES}${escapePattern(escaped ?? '/')}`);
  if (character === ' ') forms.push('\\+');
  return `(?:${forms.join('|')})`;
}

function escapePattern(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}

/** The characters of a secret in base64 whatever stands before and after it, for each of its three alignments. */
function inBase64(secret: string): string[] {
  const bytes = Buffer.from(secret);
  if (bytes.length < 6) return [];
  const parts = [0, 1, 2].map((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
    return text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6));
  });
  // In URLs, two of the characters differ (RFC 4648 section 5).
  return [...new Set(parts.flatMap((part) => [part, part.replaceAll('+', '-').replaceAll('/', '_')]))];
}

const MASK = '***';

/** Of fewer characters it would be in too much that is no secret. */
const SHORTEST = 4;

/** Of fewer, it counts only where it stands as a word of its own. */
const SHORTEST_ANYWHERE = 8;

/** Of more, it is looked for as it is, in JSON and in a URL, and not in every mixture of them. */
const LONGEST_PATTERN = 256;

/** What is often filled in and tells nothing: ports and other small numbers, switches, this machine. */
const TRIVIAL = /^(?:\d{1,5}|true|false|yes|no|on|off|none|null|localhost|127(?:\.\d+){3}|0\.0\.0\.0)$/i;

/** Takes secrets out of a text. */
export type Masker = (text: string) => string;

/**
 * Makes a function that puts `***` in place of each of these texts: in any case, percent-encoded (in whole or in part, once
 * or more often), escaped as in JSON, and in base64, also of a longer text as in basic authentication. `tells` says which
 * are worth it.
 */
export function createMasker(texts: Iterable<string>, tells = isTelling): Masker {
  const secrets = [...new Set([...texts].flatMap(linesOf))].filter(tells);
  if (secrets.length === 0) return (text) => text;
  // Whatever a shorter one would leave of a longer one.
  const longestFirst = secrets.toSorted((a, b) => b.length - a.length);
  const plain = new RegExp(longestFirst.map(patternOf).join('|'), 'giu');
  const lowerCase = secrets.map((each) => each.toLowerCase());
  const encoded = longestFirst.flatMap(inBase64);
  // Most texts hold none, and to look for one as it is costs little.
  const mayHold = (text: string): boolean => {
    const lower = text.toLowerCase();
    return ENCODED.test(text) || lowerCase.some((each) => lower.includes(each));
  };
  return (text) => {
    const masked = mayHold(text) ? text.replaceAll(plain, MASK) : text;
    return encoded.reduce((rest, each) => (rest.includes(each) ? withoutWords(rest, each) : rest), masked);
  };
}

/** What an encoded character begins with. */
const ENCODED = /[%\\+]/;

/** Takes out `part` with all of the base64 around it, which has the ends of the secret in it. */
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

/** Whether a text may be taken out wherever it stands. */
function isTelling(text: string): boolean {
  return text.trim().length >= SHORTEST && !TRIVIAL.test(text.trim());
}

/** What was filled in for `${…}` in this process. It only grows: what was a secret stays one. */
const kept = new Set<string>();
/** Those of run time, by who knows them. */
const learnt = new Set<readonly string[]>();
let masker: Masker | undefined;

/** From now on `maskSecrets` takes these out. */
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
  /** From now on the text is masked wherever it leaves the process. Of one component the newest 16 are. */
  add(text: string): void;
  /** A text without secrets, for what leaves the process in a way of the component's own. */
  mask(text: string): string;
}

/** `release` forgets what the keeper was told. */
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
 * A text without what came from `${…}`. Every way out of the process goes through this: the log, health, what a command
 * says, dead letters' errors, metadata. Messages do not.
 */
export function maskSecrets(text: string): string {
  masker ??= createMasker([...kept, ...[...learnt].flat()]);
  return masker(text);
}

/** A value for JSON with `maskSecrets` done to its strings, and not to the names of its fields. */
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

/** Also the lines of a key in PEM, which are shown one by one. */
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

/** Those of an escape of JSON, or of JSON inside of JSON; more would cost too much to look for. */
const BACKSLASHES = '\\\\{1,16}';

/** A character as it is, percent-encoded, or as an escape of JSON, also of JSON inside of JSON. */
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

/** The characters that a secret has in base64 whatever stands before and after it, for each of the three ways it may fall. */
function inBase64(secret: string): string[] {
  const bytes = Buffer.from(secret);
  if (bytes.length < 6) return [];
  const parts = [0, 1, 2].map((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
    return text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6));
  });
  // For URLs two of the characters are others (RFC 4648 section 5).
  return [...new Set(parts.flatMap((part) => [part, part.replaceAll('+', '-').replaceAll('/', '_')]))];
}

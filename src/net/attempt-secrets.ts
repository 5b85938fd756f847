import { isSecretName } from '../component/mask.ts';
import { createMasker, maskSecrets, type Masker } from '../telemetry/secrets.ts';

/** A text shorter than this is in too much that is no secret. */
const SHORTEST = 3;

/** What an `Authorization` begins with. */
const SCHEME = /^(?:basic|bearer|digest|token|apikey)$/i;

/** What must not be shown of one attempt, wherever it turns up again: in a redirect, in what a server says. */
export class Secrets {
  readonly #texts = new Set<string>();
  /** Made when something is to be shown. */
  #masker: Masker | undefined;

  add(...texts: readonly (string | undefined)[]): void {
    for (const text of texts) if (text !== undefined) this.#texts.add(text);
    this.#masker = undefined;
  }

  /** Adds what a handshake says of us, wherever the configuration has it from: servers quote that, too. */
  addRequest({
    url,
    headers,
    protocols,
  }: {
    url: URL;
    headers: Readonly<Record<string, string>>;
    protocols: readonly string[];
  }): void {
    for (const [name, value] of Object.entries(headers)) {
      this.add(value);
      const isSecret = isSecretName(name) || /^cookie$/i.test(name);
      for (const part of value.split(/[\s;,]+/)) {
        // `Bearer`, and what names a cookie or parameter, may be shown.
        const word = part.replace(/^[\w.-]+=(?!=|$)/, '');
        if (looksSecret(word) || (isSecret && !SCHEME.test(word))) this.add(word);
      }
      const [, basic] = /^basic\s+(.*)$/i.exec(value) ?? [];
      if (basic !== undefined)
        this.add(
          Buffer.from(basic, 'base64')
            .toString()
            .replace(/^[^:]*:/, ''),
        );
    }
    const { username, password } = url;
    if (password !== '') {
      const pair = [username, password].map((part) => decodePercent(part));
      this.add(pair[1], password, Buffer.from(pair.join(':')).toString('base64'));
    }
    for (const [name, value] of url.searchParams) {
      if (isSecretName(name) || looksSecret(value)) this.add(value);
    }
    this.add(...protocols.flatMap((name) => name.split('.')).filter(looksSecret));
  }

  /** Adds what a message of ours says under a name that secrets have; its other words are none. */
  addMessage(message: string): void {
    try {
      this.#addNamed(JSON.parse(message));
    } catch {
      // It is no JSON; then nothing in it has a name.
    }
  }

  /** Takes the secrets out, and what came from `${…}`. */
  readonly mask = (text: string): string => {
    this.#masker ??= createMasker(this.#texts, (each) => each.length >= SHORTEST);
    return maskSecrets(this.#masker(text));
  };

  #addNamed(node: unknown, secret = false): void {
    if (typeof node === 'string' && secret) this.add(node);
    if (typeof node !== 'object' || node === null) return;
    for (const [name, each] of Object.entries(node)) this.#addNamed(each, secret || isSecretName(name));
  }
}

function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Whether a word is rather a key than a word. */
function looksSecret(word: string): boolean {
  return word.length >= 20 || (word.length >= 8 && /\d/.test(word));
}

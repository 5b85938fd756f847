import { isSecretName } from '../component/mask.ts';
import { createMasker, maskSecrets, type Masker } from '../telemetry/secrets.ts';

/** A shorter text occurs too often in harmless words to be masked. */
const SHORTEST = 3;

/** The scheme that an `Authorization` header begins with. */
const SCHEME = /^(?:basic|bearer|digest|token|apikey)$/i;

/** The secrets of one attempt, masked wherever they turn up again: in a redirect, in a server's answer. */
export class Secrets {
  readonly #texts = new Set<string>();
  /** Built when the first text is shown. */
  #masker: Masker | undefined;

  add(...texts: readonly (string | undefined)[]): void {
    for (const text of texts) if (text !== undefined) this.#texts.add(text);
    this.#masker = undefined;
  }

  /** Adds the secrets that our handshake sends, wherever the configuration takes them from: servers quote them, too. */
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
        // `Bearer` and the names of cookies and parameters may be shown.
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

  /** Adds the values of our message whose names mark secrets; its other words are not secret. */
  addMessage(message: string): void {
    try {
      this.#addNamed(JSON.parse(message));
    } catch {
      // Not JSON: nothing in it has a name.
    }
  }

  /** Masks the secrets, and the values that came from `${…}`. */
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

/** Whether a text looks like a key and not like a word. */
function looksSecret(word: string): boolean {
  return word.length >= 20 || (word.length >= 8 && /\d/.test(word));
}

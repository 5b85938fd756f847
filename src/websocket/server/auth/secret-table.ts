import { createHmac, randomBytes } from 'node:crypto';

/** Who shows `secret` is `subject`. */
export interface Grant {
  readonly secret: string;
  readonly subject: string | undefined;
}

/**
 * Finds a secret among those that are accepted, in a time that tells nothing of them: they are compared by their digests
 * under a key that this process drew at random. Whoever measures how far a comparison went learns about a digest that
 * they can neither compute nor steer. It is one look-up, however many secrets there are, and the table holds none.
 */
export class SecretTable {
  readonly #key = randomBytes(32);
  readonly #subjects = new Map<string, string | undefined>();

  constructor(grants: Iterable<Grant>) {
    for (const { secret, subject } of grants) this.#subjects.set(this.#digest(secret), subject);
  }

  find(secret: string | Uint8Array): { subject: string | undefined } | undefined {
    const digest = this.#digest(secret);
    return this.#subjects.has(digest) ? { subject: this.#subjects.get(digest) } : undefined;
  }

  #digest(secret: string | Uint8Array): string {
    return createHmac('sha256', this.#key).update(secret).digest('base64');
  }
}

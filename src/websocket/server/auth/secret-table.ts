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
  readonly #entries = new Map<string, { readonly subject: string | undefined; used: boolean }>();

  constructor(grants: Iterable<Grant>) {
    for (const { secret, subject } of grants)
      this.#entries.set(this.#digest(secret), { subject, used: false });
  }

  /** Whose the secret is, if it is one; `accepted` is there until it has been called. */
  find(secret: string | Uint8Array): { subject: string | undefined; accepted?: () => void } | undefined {
    const entry = this.#entries.get(this.#digest(secret));
    if (entry === undefined) return undefined;
    const { subject, used } = entry;
    return used ? { subject } : { subject, accepted: () => void (entry.used = true) };
  }

  #digest(secret: string | Uint8Array): string {
    return createHmac('sha256', this.#key).update(secret).digest('base64');
  }
}

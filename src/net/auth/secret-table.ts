import { createHmac, randomBytes } from 'node:crypto';
import type { Places } from './authenticator.ts';

/** Who shows `secret` is `subject`. */
export interface Grant {
  readonly secret: string;
  readonly subject: string | undefined;
}

interface Found {
  readonly subject: string | undefined;
  readonly places: Places;
}

/** Of each secret so many addresses are remembered; then the first is forgotten. */
const MAX_PLACES = 16;

class RecentPlaces implements Places {
  /** Undefined until there is one: most secrets of a long list are used by nobody. */
  #groups: Set<string> | undefined;

  has(group: string): boolean {
    return this.#groups?.has(group) ?? false;
  }

  add(group: string): void {
    this.#groups ??= new Set();
    this.#groups.delete(group);
    this.#groups.add(group);
    if (this.#groups.size <= MAX_PLACES) return;
    for (const first of this.#groups) {
      this.#groups.delete(first);
      return;
    }
  }
}

/**
 * Finds a secret among those that are accepted, in a time that tells nothing of them: they are compared by their digests
 * under a key that this process drew at random. Whoever measures how far a comparison went learns about a digest that
 * they can neither compute nor steer. It is one look-up, however many secrets there are, and the table holds none.
 */
export class SecretTable {
  readonly #key = randomBytes(32);
  readonly #entries = new Map<string, Found>();

  constructor(grants: Iterable<Grant>) {
    for (const { secret, subject } of grants)
      this.#entries.set(this.#digest(secret), { subject, places: new RecentPlaces() });
  }

  /** Whose the secret is, if it is one. */
  find(secret: string | Uint8Array): Found | undefined {
    return this.#entries.get(this.#digest(secret));
  }

  #digest(secret: string | Uint8Array): string {
    return createHmac('sha256', this.#key).update(secret).digest('base64');
  }
}

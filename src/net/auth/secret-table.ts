import { createHmac, randomBytes } from 'node:crypto';
import type { Places } from './authenticator.ts';

/** A client that shows `secret` is `subject`. */
export interface Grant {
  readonly secret: string;
  readonly subject: string | undefined;
}

interface Found {
  readonly subject: string | undefined;
  readonly places: Places;
}

/** The number of addresses to remember per secret; beyond it, the first is forgotten. */
const MAX_PLACES = 16;

class RecentPlaces implements Places {
  /** Undefined until there is one: nobody uses most secrets of a long list. */
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
 * Finds a secret among the accepted ones in a time that reveals nothing about them: it compares their digests under a
 * key that this process drew at random. An attacker who measures how far a comparison went learns about a digest that
 * they can neither compute nor steer. It is one look-up, however many secrets there are, and the table stores none.
 */
export class SecretTable {
  readonly #key = randomBytes(32);
  readonly #entries = new Map<string, Found>();

  constructor(grants: Iterable<Grant>) {
    for (const { secret, subject } of grants)
      this.#entries.set(this.#digest(secret), { subject, places: new RecentPlaces() });
  }

  /** The owner of the secret, if it is accepted. */
  find(secret: string | Uint8Array): Found | undefined {
    return this.#entries.get(this.#digest(secret));
  }

  #digest(secret: string | Uint8Array): string {
    return createHmac('sha256', this.#key).update(secret).digest('base64');
  }
}

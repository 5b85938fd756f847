import { createPublicKey, type KeyObject } from 'node:crypto';
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  jwksCache,
  type CryptoKey,
  type ExportedJWKSCache,
  type JWTHeaderParameters,
} from 'jose';
import { maskUrl } from '../../component/mask.ts';
import { MillraceError, errorMessage } from '../../errors.ts';
import type { ComponentEvents } from '../../telemetry/events.ts';
import { RETRY_AFTER } from './authenticator.ts';
import { SecretFile, authErrors } from './secret-file.ts';

export type VerificationKeys = AsyncIterable<VerificationKey> | Iterable<VerificationKey>;
type VerificationKey = CryptoKey | KeyObject | Uint8Array;

/** Provides the keys with which tokens are verified. */
export interface KeySource {
  open(): Promise<void>;
  close(): void;
  /**
   * The keys that may have signed a token with this header; none if its key is not the issuer's.
   * @throws KeysUnavailableError when this cannot be determined for now
   */
  candidates(header: JWTHeaderParameters): Promise<VerificationKeys>;
  /** Fetches the newest keys; absent where they are always known. @throws KeysUnavailableError when it fails for now */
  renew?(): Promise<void>;
}

/** Thrown when a token cannot be checked for now. */
export class KeysUnavailableError extends MillraceError {
  override readonly name = 'KeysUnavailableError';
  /** When another attempt is worthwhile, in milliseconds from now. */
  readonly retryAfter: number;

  constructor(message: string, retryAfter: number, cause?: unknown) {
    super(authErrors.MILLRACE_AUTH_UNAVAILABLE, message, { cause });
    this.retryAfter = retryAfter;
  }
}

/** The shared key of HS algorithms. */
export function sharedKey(secret: string): KeySource {
  const key = Buffer.from(secret);
  return { open: async () => {}, close: () => {}, candidates: () => Promise.resolve([key]) };
}

/** Public keys in a PEM file: one, or several while the issuer rotates its keys. */
export function keyFile(path: string, algorithms: readonly string[], events: ComponentEvents): KeySource {
  const file = new SecretFile(path, (text) => parseKeys(text, algorithms), events);
  return {
    open: () => file.open(),
    close: () => file.close(),
    candidates: ({ alg }) => Promise.resolve(file.value.filter((key) => fits(key, alg))),
  };
}

/** How long the endpoint may take, in milliseconds. */
const FETCH_TIMEOUT = 5_000;
/** The age at which keys are fetched again, in milliseconds. */
const MAX_AGE = 600_000;
/** The least time between fetches for unknown keys, in milliseconds: anybody can name an unknown key. */
const COOLDOWN = 10_000;
/** How long keys stay in use while the endpoint fails, in milliseconds. */
const MAX_STALE = 3_600_000;

/** The keys that the issuer publishes (RFC 7517). */
export class RemoteKeys implements KeySource {
  readonly #url: string;
  readonly #events: ComponentEvents;
  readonly #cache: ExportedJWKSCache | Record<string, never> = {};
  readonly #remote: ReturnType<typeof createRemoteJWKSet>;
  #retryAt = 0;
  #failure: KeysUnavailableError | undefined;
  #closed = false;

  constructor(url: string, events: ComponentEvents) {
    this.#url = url;
    this.#events = events;
    this.#remote = createRemoteJWKSet(new URL(url), {
      timeoutDuration: FETCH_TIMEOUT,
      cacheMaxAge: MAX_AGE,
      cooldownDuration: COOLDOWN,
      [jwksCache]: this.#cache,
    });
  }

  /** Fetches the keys, so that a wrong URL is reported at once. Does not wait: the endpoint may come up later. */
  open(): Promise<void> {
    this.#closed = false;
    void this.#remote.reload().catch((error: unknown) => this.#failed(error));
    return Promise.resolve();
  }

  close(): void {
    this.#closed = true;
  }

  async candidates(header: JWTHeaderParameters): Promise<VerificationKeys> {
    if (performance.now() >= this.#retryAt) {
      const settled = this.#settled;
      try {
        return [await this.#remote(header)];
      } catch (error) {
        if (error instanceof errors.JWKSMultipleMatchingKeys) return error;
        if (error instanceof errors.JOSENotSupported) return [];
        if (error instanceof errors.JWKSNoMatchingKey) {
          // The keys have been fetched for it, and it is not among them.
          if (!settled) return [];
          throw this.#tooSoon();
        }
        this.#failed(error);
      }
    }
    return await this.#known(header);
  }

  async renew(): Promise<void> {
    if (performance.now() < this.#retryAt) throw this.#failure!;
    if (this.#settled) throw this.#tooSoon();
    try {
      await this.#remote.reload();
    } catch (error) {
      this.#failed(error);
      throw this.#failure!;
    }
  }

  /** Whether this caller causes no fetch: one has just been made, or is under way for another caller. */
  get #settled(): boolean {
    return this.#remote.coolingDown || this.#remote.reloading;
  }

  /** A key published between two fetches is not known yet: its tokens do not count as guesses. */
  #tooSoon(): KeysUnavailableError {
    const wait = Math.min(Math.max((this.#cache.uat ?? 0) + COOLDOWN - Date.now(), 0), COOLDOWN);
    return new KeysUnavailableError(`a key that is not yet among those at ${maskUrl(this.#url)}`, wait);
  }

  /** While the endpoint fails, a key that is not known may be a new one: it cannot be judged. */
  async #known(header: JWTHeaderParameters): Promise<VerificationKeys> {
    const { uat, jwks } = this.#cache;
    if (jwks !== undefined && Date.now() - uat < MAX_STALE) {
      try {
        return [await createLocalJWKSet(jwks)(header)];
      } catch (error) {
        if (error instanceof errors.JWKSMultipleMatchingKeys) return error;
      }
    }
    throw this.#failure ?? this.#unavailable('no keys');
  }

  #failed(cause: unknown): void {
    // Many callers may have waited for the same answer.
    if (performance.now() < this.#retryAt || this.#closed) return;
    this.#retryAt = performance.now() + RETRY_AFTER;
    this.#failure = this.#unavailable(reasonOf(cause), cause);
    this.#events.credentialsUnavailable(this.#failure, 'tokens of unknown keys get 503');
  }

  #unavailable(reason: string, cause?: unknown): KeysUnavailableError {
    const message = `cannot fetch the keys at ${maskUrl(this.#url)}: ${reason}`;
    return new KeysUnavailableError(message, RETRY_AFTER, cause);
  }
}

/** `fetch` gives the reason only in the error's cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const detail = cause instanceof Error && cause.message !== '' ? cause : error;
  return error instanceof errors.JWKSTimeout
    ? `no answer in ${FETCH_TIMEOUT / 1000} s`
    : errorMessage(detail);
}

const PEM = /-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----/gs;

function parseKeys(text: string, algorithms: readonly string[]): KeyObject[] {
  const keys = [...text.matchAll(PEM)].map(([pem, label = '']) => {
    if (label.includes('PRIVATE')) throw new Error('holds a private key; expected the public one');
    const key = createPublicKey(pem);
    if (!algorithms.some((algorithm) => fits(key, algorithm))) {
      const { namedCurve = '' } = key.asymmetricKeyDetails ?? {};
      const type = `${key.asymmetricKeyType} ${namedCurve}`.trim();
      throw new Error(`holds a key of type ${type}, which is not for ${algorithms.join(', ')}`);
    }
    if ((key.asymmetricKeyDetails?.modulusLength ?? 2048) < 2048) {
      throw new Error(
        'holds an RSA key that is too short; expected at least 2048 bits (RFC 7518 section 3.3)',
      );
    }
    return key;
  });
  if (keys.length === 0) throw new Error('holds no public key in PEM');
  return keys;
}

const CURVES: Readonly<Record<string, string>> = {
  ES256: 'prime256v1',
  ES384: 'secp384r1',
  ES512: 'secp521r1',
};

/** Whether a key suits a signature algorithm (RFC 7518 section 3.1). */
function fits(key: KeyObject, algorithm: string): boolean {
  const type = key.asymmetricKeyType;
  if (/^[RP]S/.test(algorithm)) return type === 'rsa';
  if (algorithm.startsWith('ES')) return key.asymmetricKeyDetails?.namedCurve === CURVES[algorithm];
  return type === 'ed25519';
}

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
import { SecretFile, authErrors } from './secret-file.ts';

export type VerificationKeys = AsyncIterable<VerificationKey> | Iterable<VerificationKey>;
type VerificationKey = CryptoKey | KeyObject | Uint8Array;

/** Where the keys are that tokens are signed with. */
export interface KeySource {
  open(): Promise<void>;
  close(): void;
  /**
   * The keys that may have signed a token with this header; none when its key is not the issuer's.
   * @throws KeysUnavailableError when that cannot be told for now
   */
  candidates(header: JWTHeaderParameters): Promise<VerificationKeys>;
  /** Has the newest keys; absent where they are always known. @throws KeysUnavailableError when that cannot be for now */
  renew?(): Promise<void>;
}

/** Thrown when nobody can say whether a token is good. */
export class KeysUnavailableError extends MillraceError {
  override readonly name = 'KeysUnavailableError';
  /** When it may be known, in milliseconds from now. */
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

/** Public keys in a PEM file: one, or several while the issuer changes from one to the next. */
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
/** Keys are fetched again after so long. */
const MAX_AGE = 600_000;
/** For an unknown key, which anybody can ask for, they are fetched once in so long. */
const COOLDOWN = 10_000;
/** An endpoint that failed is left alone for so long. */
export const RETRY_AFTER = 5_000;
/** Keys stay in use for so long while the endpoint fails. */
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

  /** Fetches the keys, so that a wrong URL is told at once; nobody waits for it, for it may come up later. */
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
          // They have been fetched for it, and it is not there.
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

  /** The keys are not fetched for who asks now: they have been just now, or are being fetched for another. */
  get #settled(): boolean {
    return this.#remote.coolingDown || this.#remote.reloading;
  }

  /** A key that is published between two looks is not known yet: its tokens are no guesses. */
  #tooSoon(): KeysUnavailableError {
    const wait = Math.min(Math.max((this.#cache.uat ?? 0) + COOLDOWN - Date.now(), 0), COOLDOWN);
    return new KeysUnavailableError(`a key that is not among those at ${maskUrl(this.#url)} yet`, wait);
  }

  /** While the endpoint fails. A key that is not there may be new: then nobody can say. */
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
    // Many may have waited for the same answer.
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

/** `fetch` says why in the error's cause only. */
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
        'holds an RSA key that is too short; expected 2048 bits at least (RFC 7518 section 3.3)',
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

/** Whether a key is for a signature algorithm (RFC 7518 section 3.1). */
function fits(key: KeyObject, algorithm: string): boolean {
  const type = key.asymmetricKeyType;
  if (/^[RP]S/.test(algorithm)) return type === 'rsa';
  if (algorithm.startsWith('ES')) return key.asymmetricKeyDetails?.namedCurve === CURVES[algorithm];
  return type === 'ed25519';
}

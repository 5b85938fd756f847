import type { IncomingMessage } from 'node:http';
import {
  decodeProtectedHeader,
  errors,
  jwtVerify,
  type JWTHeaderParameters,
  type JWTPayload,
  type JWTVerifyOptions,
} from 'jose';
import { errorMessage } from '../../errors.ts';
import type { ExtValue } from '../../message/metadata.ts';
import type { ComponentEvents } from '../../telemetry/events.ts';
import type { ServerAuth } from './auth-schema.ts';
import { unknown, type Authenticator, type Verdict } from './authenticator.ts';
import { BEARER_CHALLENGE, bearerToken } from './bearer.ts';
import {
  keyFile,
  KeysUnavailableError,
  RemoteKeys,
  sharedKey,
  type KeySource,
  type VerificationKeys,
} from './keys.ts';

type JwtConfig = Extract<ServerAuth, { type: 'jwt' }>;

/** Accepts a token that an issuer signed (RFC 7519), in `Authorization` or a query parameter. */
export class JwtAuth implements Authenticator {
  readonly challenge = BEARER_CHALLENGE;
  readonly #config: JwtConfig;
  readonly #algorithms: readonly string[];
  readonly #keys: KeySource;
  readonly #options: JWTVerifyOptions;

  constructor(config: JwtConfig, events: ComponentEvents) {
    this.#config = config;
    const { algorithms, issuer, audience } = config;
    this.#algorithms = algorithms;
    this.#keys = keysOf(config, events);
    this.#options = {
      algorithms,
      clockTolerance: this.#tolerance / 1000,
      ...(issuer !== undefined && { issuer }),
      ...(audience !== undefined && { audience }),
    };
  }

  open(): Promise<void> {
    return this.#keys.open();
  }

  close(): void {
    this.#keys.close();
  }

  async authenticate(request: IncomingMessage): Promise<Verdict> {
    const token = bearerToken(request, this.#config.query);
    if (token === undefined) return unknown('no credentials', false);
    try {
      const payload = await this.#verify(token);
      return payload === undefined ? unknown('signed with no known key') : this.#accepted(payload);
    } catch (error) {
      if (error instanceof KeysUnavailableError) {
        return { outcome: 'unavailable', cause: error.message, retryAfter: error.retryAfter };
      }
      // The signature is correct: the issuer made the token, so nobody guessed it.
      if (error instanceof errors.JWTExpired) return unknown('the token has expired', false);
      if (error instanceof errors.JWTClaimValidationFailed) return unknown(errorMessage(error), false);
      return unknown(error instanceof errors.JOSEError ? errorMessage(error) : 'not a token');
    }
  }

  async #verify(token: string): Promise<JWTPayload | undefined> {
    const header = decodeProtectedHeader(token) as JWTHeaderParameters;
    // Checked before any key is looked up: refuses `none`, and algorithms that would use a public key as a shared one.
    if (!this.#algorithms.includes(header.alg)) throw new errors.JOSEAlgNotAllowed('algorithm not allowed');
    const payload = await this.#verifyWith(await this.#keys.candidates(header), token);
    // A token that names no key may be signed with a key newer than the known ones.
    if (payload !== undefined || header.kid !== undefined || this.#keys.renew === undefined) return payload;
    await this.#keys.renew();
    return await this.#verifyWith(await this.#keys.candidates(header), token);
  }

  async #verifyWith(keys: VerificationKeys, token: string): Promise<JWTPayload | undefined> {
    for await (const key of keys) {
      try {
        return (await jwtVerify(token, key, this.#options)).payload;
      } catch (error) {
        if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
      }
    }
    return undefined;
  }

  #accepted(payload: JWTPayload): Verdict {
    const ext: Record<string, ExtValue> = {};
    for (const name of this.#config.claims ?? []) {
      const value = Object.hasOwn(payload, name) ? payload[name] : undefined;
      if (value !== undefined) ext[`claim.${name}`] = claimValue(value);
    }
    const { sub, exp } = payload;
    return {
      outcome: 'known',
      subject: typeof sub === 'string' && sub !== '' ? sub : undefined,
      ext,
      expires: exp === undefined ? undefined : exp * 1000 + this.#tolerance,
    };
  }

  get #tolerance(): number {
    return this.#config.clock_tolerance;
  }
}

function keysOf(config: JwtConfig, events: ComponentEvents): KeySource {
  if (config.secret !== undefined) return sharedKey(config.secret);
  if (config.key_file !== undefined) return keyFile(config.key_file, config.algorithms, events);
  return new RemoteKeys(config.jwks_url ?? '', events);
}

/** Strings, numbers and lists of strings stay as they are; anything else becomes JSON. */
function claimValue(value: unknown): ExtValue {
  const isText = (each: unknown): boolean => typeof each === 'string';
  const isKept = isText(value) || Number.isFinite(value) || (Array.isArray(value) && value.every(isText));
  return isKept ? (value as ExtValue) : JSON.stringify(value);
}

import type { IncomingMessage } from 'node:http';
import type { Ext } from '../../message/metadata.ts';

/** The result of checking a client's credentials. */
export type Verdict =
  | {
      readonly outcome: 'known';
      /** The client's name, where it is known. */
      readonly subject?: string | undefined;
      /** Further parts of the credentials for `__meta_ext`. */
      readonly ext?: Ext;
      /** When they expire, in milliseconds since the epoch. */
      readonly expires?: number | undefined;
      /** The addresses that have shown this secret; absent for a secret that cannot be guessed. */
      readonly places?: Places | undefined;
    }
  | {
      /** The client is not recognized. `cause` is for the log and holds no secret; the client is told nothing. */
      readonly outcome: 'unknown';
      readonly cause: string;
      /** False when it cannot have been a guess. */
      readonly guess?: boolean;
    }
  /** The client is recognized and may not connect. */
  | { readonly outcome: 'forbidden'; readonly cause: string }
  /** The credentials cannot be checked for now. */
  | {
      readonly outcome: 'unavailable';
      readonly cause: string;
      /** When another attempt is worthwhile, in milliseconds from now. */
      readonly retryAfter: number;
    };

/** The addresses that have shown a secret, up to a limit. */
export interface Places {
  has(group: string): boolean;
  add(group: string): void;
}

/** How long a source of keys is left alone after a failure, in milliseconds. */
export const RETRY_AFTER = 5_000;

/** One way to authenticate clients. */
export interface Authenticator {
  /** How to authenticate, for `WWW-Authenticate` (RFC 9110 section 11.6.1). */
  readonly challenge: string;
  /** @throws MillraceError MILLRACE_AUTH_UNAVAILABLE */
  open(): Promise<void>;
  close(): void;
  /** Never throws because of a client's input. */
  authenticate(request: IncomingMessage): Verdict | Promise<Verdict>;
  /** Whether an offered subprotocol is a secret, which the server neither selects nor keeps. */
  isSecret?(protocol: string): boolean;
}

export function unknown(cause: string, guess = true): Verdict {
  return { outcome: 'unknown', cause, guess };
}

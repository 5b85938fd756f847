import type { IncomingMessage } from 'node:http';
import type { Ext } from '../../message/metadata.ts';

/** What a client's credentials come to. */
export type Verdict =
  | {
      readonly outcome: 'known';
      /** Who the client is, where that is known. */
      readonly subject?: string | undefined;
      /** What else of the credentials goes into `__meta_ext`. */
      readonly ext?: Ext;
      /** When they expire, in milliseconds since the epoch. */
      readonly expires?: number | undefined;
      /** Where clients with a secret that could be guessed have been let in from. */
      readonly places?: Places | undefined;
    }
  | {
      /** It is not known who it is. `cause` is for the log, and tells no secret; the client is told nothing. */
      readonly outcome: 'unknown';
      readonly cause: string;
      /** False when it cannot have been a guess. */
      readonly guess?: boolean;
    }
  /** It is known who it is, and that it may not connect. */
  | { readonly outcome: 'forbidden'; readonly cause: string }
  /** It cannot be told for now. */
  | {
      readonly outcome: 'unavailable';
      readonly cause: string;
      /** When it is worth to ask again, in milliseconds from now. */
      readonly retryAfter: number;
    };

/** The addresses of those who have shown a secret; so many are remembered. */
export interface Places {
  has(group: string): boolean;
  add(group: string): void;
}

/** One way to find out who a client is. */
export interface Authenticator {
  /** How to authenticate, for `WWW-Authenticate` (RFC 9110 section 11.6.1). */
  readonly challenge: string;
  /** @throws MillraceError MILLRACE_AUTH_UNAVAILABLE */
  open(): Promise<void>;
  close(): void;
  /** Never throws for what a client sent. */
  authenticate(request: IncomingMessage): Verdict | Promise<Verdict>;
  /** Whether a subprotocol that a client offers is a secret, which is neither answered nor kept. */
  isSecret?(protocol: string): boolean;
}

export function unknown(cause: string, guess = true): Verdict {
  return { outcome: 'unknown', cause, guess };
}

import type { RedisLink } from '../../../clients/redis/link.ts';
import type { InputDelivery } from '../../../message/delivery.ts';

/** Connections: one command that waits for messages holds up all that are sent after it. */
export interface Links {
  /** For commands that wait. */
  readonly reads: RedisLink;
  /** For those that tell the server what is done. */
  readonly tells: RedisLink;
}

/** Reads one kind of thing. */
export interface RedisReader {
  /** Begins, or goes on, with new connections. */
  open(links: Links, signal: AbortSignal): Promise<void>;
  read(signal: AbortSignal): Promise<InputDelivery>;
  /** Resolves when the server knows everything that is done, or cannot be told. */
  close(): Promise<void>;
}

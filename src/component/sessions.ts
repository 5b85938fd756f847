import type { Ext } from '../message/metadata.ts';

/** The policy for a session whose buffer is full because it does not read. */
export type SlowConsumer = 'disconnect' | 'drop_oldest' | 'block';

/** The messages that wait to be sent on one connection. Sizes are in bytes. */
export interface Outgoing {
  /** The size of all that wait, each message with its overhead. */
  readonly waiting: number;
  /** How many messages have been handed to the connection since it opened; of these, the system has taken `written`. */
  readonly sent: number;
  readonly written: number;
  /** Bytes that the system has taken, or the peer has confirmed, if it does. */
  readonly taken: number;
  /** How long nothing that waits has been taken, in milliseconds; 0 when nothing waits. */
  readonly stalled: number;
  /** A peer that reads takes something within this many milliseconds. */
  readonly patience: number;
  /** Whether `taken` is confirmed by the peer, which it does now and then. */
  readonly confirmed: boolean;
  /** The connection was found slow and has not caught up since: nobody waits for it. */
  slow: boolean;
  /**
   * Whether a message of `size` fits into `limit`; one of any size does when nothing waits. `dropping`: for
   * `sendDropping`.
   */
  hasRoom(size: number, limit: number, dropping?: boolean): boolean;
  /**
   * Hands a message to the connection; check `hasRoom` first to keep a bound. `json` says whether it is JSON, if
   * known.
   */
  send(payload: Uint8Array, binary: boolean, json?: boolean): void;
  /** Sends a message, and drops the oldest waiting ones as far as `limit` demands. @returns how many it dropped */
  sendDropping(payload: Uint8Array, binary: boolean, limit: number, json?: boolean): number;
  /** Holds back everything sent from now on, so that it goes to the system together; `uncork` sends it. */
  cork(): void;
  uncork(): void;
  /**
   * Resolves with true when `done`, which it asks again whenever the system has taken something; with false when the
   * connection has closed or `timeout` milliseconds have passed first. @throws the signal's reason when it aborts
   */
  until(done: () => boolean, signal: AbortSignal, timeout?: number): Promise<boolean>;
}

/** An open connection of the process, for outputs that send to it. */
export interface OpenSession {
  /** `session_id` in `__meta_ext` of its messages. */
  readonly id: string;
  /** The part of `__meta_ext` that all its messages share. */
  readonly ext: Ext;
  /** False once it is closing: nothing more can be sent. */
  readonly open: boolean;
  /** Bytes that may wait to be sent to it, as its server's `limits.outgoing_bytes` says. */
  readonly outgoingLimit: number;
  readonly outgoing: Outgoing;
  /** Closes it once all waiting messages have been sent. */
  close(code: number, reason: string): void;
  /** Closes it with 1008 because it does not read, and cuts it if it does not even take the close. */
  tooSlow(): void;
}

/** Hears of the sessions of one path as they come and go. */
export interface SessionWatcher {
  add(session: OpenSession): void;
  remove(session: OpenSession): void;
}

/** The open connections of the process that outputs may send to. */
export interface SessionDirectory {
  /**
   * An input or output announces that it serves `path` (as configured, with its `:parameters`), before anything
   * starts.
   */
  declare(path: string): void;
  /** All paths that are served. */
  readonly paths: readonly string[];
  /** A session has opened. It is kept only where an output is attached. */
  add(path: string, session: OpenSession): void;
  /** It has closed. */
  remove(path: string, session: OpenSession): void;
  get(id: string): OpenSession | undefined;
  /** Tells `watcher` of the sessions of a path, the open ones first. @returns a function that ends it */
  watch(path: string, watcher: SessionWatcher): () => void;
  /**
   * An output that sends to sessions of `path`, or replies to those of any (undefined), announces it before anything
   * starts.
   */
  attach(path: string | undefined): void;
  /** Whether an output may still send to sessions of `path`, so that they should stay open until it has. */
  attached(path: string): boolean;
}

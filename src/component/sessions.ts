import type { Ext } from '../message/metadata.ts';

/** What is done with a session that has not taken what was sent to it when its buffer is full. */
export type SlowConsumer = 'disconnect' | 'drop_oldest' | 'block';

/** What waits to be sent on one connection. Sizes are in bytes. */
export interface Outgoing {
  /** What waits in all, each message with what it costs besides its payload. */
  readonly waiting: number;
  /** How many messages have been handed to the connection since it opened, and how many the system has taken. */
  readonly sent: number;
  readonly written: number;
  /** Bytes that the system has taken, or the peer, where it says so. */
  readonly taken: number;
  /** How long nothing of what waits has been taken, in milliseconds; 0 when nothing waits. */
  readonly stalled: number;
  /** A peer that reads takes something within so many milliseconds. */
  readonly patience: number;
  /** Whether `taken` is what the peer confirms, which it does now and then. */
  readonly confirmed: boolean;
  /** It has been found slow, and has not caught up since: nobody waits for it. */
  slow: boolean;
  /** Whether a message of `size` fits into `limit`; one of any size does when nothing waits. `dropping`: for `sendDropping`. */
  hasRoom(size: number, limit: number, dropping?: boolean): boolean;
  /**
   * Hands a message to the connection; who wants a bound looks at `hasRoom` first. `json` says whether it is JSON, where
   * that is known.
   */
  send(payload: Uint8Array, binary: boolean, json?: boolean): void;
  /** Sends a message, and drops the oldest that wait as far as `limit` demands. @returns how many it dropped */
  sendDropping(payload: Uint8Array, binary: boolean, limit: number, json?: boolean): number;
  /** From now on what is sent is held back, so that it goes to the system together; `uncork` sends it. */
  cork(): void;
  uncork(): void;
  /**
   * Resolves when `done`, which is asked again whenever the system has taken something: with true; with false when the
   * connection has closed or `timeout` milliseconds have passed first. @throws the signal's reason when it aborts
   */
  until(done: () => boolean, signal: AbortSignal, timeout?: number): Promise<boolean>;
}

/** An open connection of the process, for outputs that send to it. */
export interface OpenSession {
  /** `session_id` in `__meta_ext` of its messages. */
  readonly id: string;
  /** What is the same in `__meta_ext` of all its messages. */
  readonly ext: Ext;
  /** False once it is closing: nothing more can be sent. */
  readonly open: boolean;
  /** Bytes that may wait to be sent to it, as its server's `limits.outgoing_buffer` says. */
  readonly outgoingLimit: number;
  readonly outgoing: Outgoing;
  /** Closes it once everything that waits has been sent. */
  close(code: number, reason: string): void;
  /** Closes it with 1008 because it does not take what is sent, and cuts it if it does not take even that. */
  tooSlow(): void;
}

/** Is told of the sessions of one path as they come and go. */
export interface SessionWatcher {
  add(session: OpenSession): void;
  remove(session: OpenSession): void;
}

/** The open connections of the process that outputs may send to. */
export interface SessionDirectory {
  /** An input or output says that it serves `path` (as configured, with its `:parameters`), before anything starts. */
  declare(path: string): void;
  /** All paths that are served. */
  readonly paths: readonly string[];
  /** A session has opened. It is kept only where an output is attached. */
  add(path: string, session: OpenSession): void;
  /** It has closed. */
  remove(path: string, session: OpenSession): void;
  get(id: string): OpenSession | undefined;
  /** Tells `watcher` of the sessions of a path, those that are open first. @returns what ends that */
  watch(path: string, watcher: SessionWatcher): () => void;
  /** An output that sends to sessions of `path`, or replies to those of any (undefined), says so before anything starts. */
  attach(path: string | undefined): void;
  /** Whether an output may still send to sessions of `path`, so that they should stay open until it has. */
  attached(path: string): boolean;
}

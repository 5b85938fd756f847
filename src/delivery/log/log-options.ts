/** When an entry counts as written: each after an fsync of its own, or of all that wait, or before it is synced. */
export type Sync = 'per_entry' | 'group_commit' | 'periodic';

/** What a log tells of. Each is one log line and its metric. */
export interface LogEvents {
  recovered(details: { entries: number; messages: number; bytes: number; cutBytes: number }): void;
  /** Nothing can be written for now; the reason is a sentence. */
  blocked(reason: string): void;
  unblocked(): void;
}

export interface LogOptions {
  /** A folder of its own; it is made if it is missing. */
  readonly path: string;
  readonly sync: Sync;
  /** How often `periodic` syncs, in milliseconds. */
  readonly interval: number;
  /** How large it may become on the disk before `append` waits. */
  readonly maxBytes: number;
  /** When the next file is begun; a file is deleted when everything in it is acknowledged. */
  readonly segmentBytes?: number | undefined;
  readonly events: LogEvents;
}

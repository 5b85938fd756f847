/** When an entry counts as written: after its own fsync, after one fsync for all waiting entries, or before a sync. */
export type Sync = 'per_entry' | 'group_commit' | 'periodic';

/** The events of a log. Each is one log line and its metric. */
export interface LogEvents {
  recovered(details: { entries: number; messages: number; bytes: number; cutBytes: number }): void;
  /** Nothing can be written for now. `reason` is a sentence. */
  blocked(reason: string): void;
  unblocked(): void;
}

export interface LogOptions {
  /** The log's own folder; it is made if it is missing. */
  readonly path: string;
  readonly sync: Sync;
  /** How often `periodic` syncs, in milliseconds. */
  readonly interval: number;
  /** How large the log may become on the disk before `append` waits. */
  readonly maxBytes: number;
  /** The size at which the next file is begun. A file is deleted when everything in it is acknowledged. */
  readonly segmentBytes?: number | undefined;
  readonly events: LogEvents;
}

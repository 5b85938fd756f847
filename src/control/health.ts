import type { StreamState } from '../telemetry/metrics.ts';

/** What `/readiness` says of one stream. */
export interface StreamHealth {
  readonly id: string;
  readonly state: StreamState;
  readonly ready: boolean;
  /** Why it is not ready, a sentence each, with since when where that is known; empty when it is. */
  readonly reasons: readonly string[];
  /** Seconds since the last message was received, or null before the first. */
  readonly last_message_age_seconds: number | null;
}

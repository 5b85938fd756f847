import type { StreamState } from '../telemetry/metrics.ts';

/** One stream's entry in `/readiness`. */
export interface StreamHealth {
  readonly id: string;
  readonly state: StreamState;
  readonly ready: boolean;
  /** The reasons why it is not ready, a sentence each, with their start if that is known; empty if it is ready. */
  readonly reasons: readonly string[];
  /** Seconds since the last message was received, or null before the first. */
  readonly last_message_age_seconds: number | null;
}

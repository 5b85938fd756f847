import type { ComponentConfig } from '../component/context.ts';
import type { FilledUrls } from '../component/mask.ts';
import type { HealthPlan } from '../control/health-server.ts';
import type { LoggingConfig } from '../telemetry/logger.ts';

/** The plan of an engine: a validated file, with every default filled in. */
export interface EnginePlan {
  readonly logging: LoggingConfig;
  readonly health_check: HealthCheckPlan;
  readonly streams: readonly StreamPlan[];
}

export interface HealthCheckPlan extends HealthPlan {
  readonly enabled: boolean;
}

/** One stream of a validated file. Durations are milliseconds, sizes bytes. */
export interface StreamPlan {
  readonly id: string;
  readonly input: ComponentConfig;
  readonly buffer?: ComponentConfig | undefined;
  readonly pipeline: {
    /** How many batches are processed at the same time. */
    readonly thread_num: number;
    readonly processors: readonly ComponentConfig[];
  };
  readonly output: ComponentConfig;
  readonly error_output?: ComponentConfig | undefined;
  /** The stream's budget; bytes are parsed. */
  readonly in_flight: { readonly messages: number; readonly bytes: number };
  /** The bytes that windows and buffers may keep in addition. */
  readonly state: { readonly memory: number; readonly disk: number };
  readonly durability?: DurabilityPlan | undefined;
  /** The values of `${…}` in its URLs. */
  readonly filled?: FilledUrls | undefined;
}

/** The log of a stream. */
export interface DurabilityPlan {
  readonly enabled: boolean;
  readonly path: string;
  readonly sync: 'per_entry' | 'group_commit' | 'periodic';
  /** Milliseconds between syncs, for `periodic`. */
  readonly interval: number;
  readonly max_bytes: number;
}

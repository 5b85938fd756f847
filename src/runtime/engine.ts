import type { Registry } from '../component/registry.ts';
import type { StreamHealth } from '../http/health.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { EnginePlan } from './plan.ts';

/** What `millrace check --dial` says of one component. */
export interface DialReport {
  readonly stream: string;
  readonly stage: 'input' | 'output' | 'error_output';
  readonly type: string;
  /** Undefined when it connected. */
  readonly error?: Error;
}

/** Runs the streams of one file in this process. */
export class Engine {
  constructor(plan: EnginePlan, options: { registry: Registry; logger: Logger }) {
    void plan;
    void options;
  }

  /** Resolves when every stream has ended, with the ids of those that failed. Rejects when it cannot start at all. */
  run(): Promise<{ failed: readonly string[]; left: readonly string[] }> {
    throw new Error('not yet');
  }

  /** Drains every stream and ends; `run` resolves when that is done. */
  stop(): void {}

  /** Ends at once; `run` resolves with `left`, a sentence for each stream that held unconfirmed messages. */
  abort(): void {}

  health(): StreamHealth[] {
    return [];
  }

  /** Connects every input and output once, without retrying, and closes them again. */
  dial(signal: AbortSignal): Promise<DialReport[]> {
    void signal;
    throw new Error('not yet');
  }
}

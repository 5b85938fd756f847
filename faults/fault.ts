import type { Arena } from './arena.ts';
import type { Verdict } from './checker.ts';
import type { ArenaOptions, FaultContext, Mode } from './fault-options.ts';

export interface Outcome {
  readonly injections: number;
  readonly verdict: Verdict;
  /** What went wrong besides, each a sentence. */
  readonly problems: readonly string[];
}

/** One way to harm a stream. */
export interface Fault {
  readonly name: string;
  /** For the documentation: what is done, and how often in a round. */
  readonly what: string;
  readonly modes: readonly Mode[];
  /** What it asks of the effort besides `rounds`. */
  readonly uses?: 'seconds' | 'stride' | undefined;
  run(context: FaultContext): Promise<Outcome>;
}

/** A fault that happens while senders send. */
export interface LoadFault {
  readonly name: string;
  readonly what: string;
  readonly modes?: readonly Mode[];
  readonly uses?: 'seconds';
  readonly options?: ArenaOptions;
  /** True when nothing may come out twice. */
  readonly once?: boolean;
  /** Harms the arena, whose engine runs and whose senders send. @returns how often it did */
  harm(arena: Arena): Promise<number>;
}

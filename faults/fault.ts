import type { Arena } from './arena.ts';
import type { Verdict } from './checker.ts';
import type { ArenaOptions, FaultContext, Mode } from './fault-options.ts';

export interface Outcome {
  readonly injections: number;
  readonly verdict: Verdict;
  /** Other problems, each a sentence. */
  readonly problems: readonly string[];
}

/** One way to harm a stream. */
export interface Fault {
  readonly name: string;
  /** For the documentation: the harm, and how often in a round. */
  readonly what: string;
  readonly modes: readonly Mode[];
  /** The options of the effort that it uses besides `rounds`. */
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
  /** True if nothing may come out twice. */
  readonly once?: boolean;
  /** Harms the arena, whose engine runs and whose senders send. @returns how often it did so */
  harm(arena: Arena): Promise<number>;
}

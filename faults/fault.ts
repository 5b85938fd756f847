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
  /** True if it harms all streams of an engine alike, so that its modes can be streams of the same. */
  readonly together?: boolean | undefined;
  /** @returns an outcome for each mode of the context */
  run(context: FaultContext): Promise<readonly Outcome[]>;
}

/** A fault that happens while senders send. */
export interface LoadFault {
  readonly name: string;
  readonly what: string;
  readonly modes?: readonly Mode[];
  readonly uses?: 'seconds';
  readonly options?: ArenaOptions;
  /** True if `harm` harms all lanes of its arena alike; without it, the arena has one. */
  readonly together?: boolean;
  /** True if nothing may come out twice. */
  readonly once?: boolean;
  /**
   * Harms the arena, whose engine runs and whose senders send.
   * @returns how often it did so, for all streams or for each
   */
  harm(arena: Arena): Promise<number | readonly number[]>;
}

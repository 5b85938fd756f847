import type { Random } from './random.ts';

/** When the sender gets its acknowledgement, and whether there is a log. */
export const MODES = ['stored', 'delivered', 'delivered, no log'] as const;
export type Mode = (typeof MODES)[number];

/** The size of a campaign. */
export interface Effort {
  /** Kills or injections of each fault in each mode. */
  readonly rounds: number;
  /** How long an outage of the sink lasts. */
  readonly seconds: number;
  /** Every `stride`-th byte of a log is damaged in turn. */
  readonly stride: number;
}

export interface FaultContext {
  /** One, unless the fault is `together`. */
  readonly modes: readonly Mode[];
  readonly effort: Effort;
  readonly random: Random;
  readonly progress: (text: string) => void;
}

export interface ArenaOptions {
  /** The stream's output; by default, a file. `confirmed` is a sink in a process of its own. */
  readonly output?: 'file' | 'websocket' | 'confirmed';
  /** The sink makes every n-th batch fail. */
  readonly failEvery?: number;
  /** The sink is away. */
  readonly absent?: boolean;
  /** A field of the input, as a line of YAML. */
  readonly input?: string;
  /** Fields of the stream, as YAML; a function gets the folder that the engine may write in, to name a file. */
  readonly stream?: string | ((folder: string) => string);
  /** Fields of `durability`, as YAML in one line. */
  readonly durability?: string;
  readonly sessions?: number;
  /** Messages per second of each sender. */
  readonly rate?: number;
  /** Senders go through a proxy that can reset their connections. */
  readonly proxy?: boolean;
  /** How long nothing may move before missing messages count as lost, in milliseconds. */
  readonly patience?: number;
  /** The log is on a disk of its own, with this many bytes. */
  readonly disk?: number;
}

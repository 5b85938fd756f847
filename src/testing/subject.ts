import type { AnyDefinition } from '../component/define.ts';
import type { Ext } from '../message/metadata.ts';

/** Fields of a component as its users write them, without `type`. */
export type Fields = Readonly<Record<string, unknown>>;

/** The other side of a component: a server, a client, a broker, a file. Each case starts it and stops it. */
export interface Peer {
  /** Begins, empty. It returns the fields of the component that say where it is, such as a port. */
  start(): Promise<Fields | void> | Fields | void;
  /** Cuts every connection and is no longer there. It may be called more than once. */
  stop(): Promise<void> | void;
  /** Comes back at the same place after `stop`, with the messages that have arrived. */
  restart?(): Promise<void> | void;
  /** Resolves when the component has connected to it, or it to the component. */
  connected?(): Promise<void> | void;
  /** Sends messages to an input, in order. */
  push?(messages: readonly string[]): Promise<void> | void;
  /** The messages that an output has sent to it, in the order of their arrival. */
  arrived?(): Promise<readonly string[]> | readonly string[];
  /** From now on it reads nothing and answers nothing, though it accepts connections and keeps those that it has. */
  freeze?(): Promise<void> | void;
  /** The entries that `__meta_ext` of messages to it must have, once it is connected: for instance a `session_id`. */
  ext?(): Ext;
}

/** The facts that the kit needs to try a component. It leaves out a case when something that the case needs is missing. */
export interface Subject {
  /** The fields of a component that works, besides those that the peer's `start` returns. */
  readonly config?: Fields | undefined;
  readonly peer?: Peer | undefined;
  /** The codec of the input before a processor or a buffer that takes messages of a format only, such as `json`. */
  readonly codec?: string | undefined;
  /** Messages that the component takes, three or more; JSON objects unless you say otherwise. */
  readonly messages?: readonly string[] | undefined;
  /** The messages that come of `messages`, where those are others. Of an input without `push`: the messages that it gives by itself. */
  readonly result?: readonly string[] | undefined;
  /** A message that the component can never take: one that an output, a processor or a codec rejects, or bytes that are no frame. */
  readonly refused?: string | Uint8Array | undefined;
  /** Fields with a mistake that only `prepare` or the component's constructor can see. They replace those of `config`. */
  readonly mistake?: Fields | undefined;
  /** True for an input that gives messages again that were not confirmed when its connection was lost. */
  readonly repeats?: boolean | undefined;
  /** For an output: messages are dropped on purpose, or rejected, while nobody is connected. Without it, they must wait. */
  readonly whileAway?: 'drops' | 'rejects' | undefined;
  /** Other streams of the file, asked for once the peer has started: for instance one with a server whose sessions an output writes to. */
  readonly beside?: (() => readonly Fields[]) | undefined;
  /** Other components of your own that `config` names. */
  readonly also?: readonly AnyDefinition[] | undefined;
  /** How long something that must happen may take, 20 s unless you say otherwise. Milliseconds. */
  readonly patience?: number | undefined;
}

/** One promise that a component must keep. */
export interface Case {
  readonly name: string;
  /** @throws Error when the component does not keep it */
  readonly run: () => Promise<void>;
}

/** A case that needs more than the subject has. */
export interface LeftOut {
  readonly name: string;
  /** The missing parts. */
  readonly why: string;
}

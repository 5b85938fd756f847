import type { MillraceError } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import type { Delivery, InputDelivery, Keys } from '../message/delivery.ts';
import type { ComponentEvents } from '../telemetry/events.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { ComponentMetrics } from '../telemetry/component-metrics.ts';
import type { SecretKeeper } from '../telemetry/secrets.ts';
import type { Budget, BudgetLimits } from './budget.ts';
import type { Codec, WriteCall, WriteOrder } from './contracts.ts';
import type { Framing } from './framing/framing.ts';
import type { Listeners } from './listeners.ts';
import type { FilledUrls } from './mask.ts';
import type { SessionDirectory } from './sessions.ts';
import type { StateBudget } from './state-budget.ts';

/** A component as the file configures it: `type`, and the fields that its schema parsed. */
export interface ComponentConfig {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Names and values of environment variables. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Everything that a component of any kind gets besides its fields. */
export interface Context {
  /**
   * Its name in the file, or that of the component it is a part of; an input's is its `__meta_source`. Undefined if
   * it has none.
   */
  readonly name: string | undefined;
  readonly stream: StreamFacts;
  /** For its own log lines. Every line names the stream; secrets are masked. */
  readonly logger: Logger;
  /** Log lines and metrics that components share: connections, dropped messages, credentials. */
  readonly events: ComponentEvents;
  /** Its own metrics. */
  readonly metrics: ComponentMetrics;
  /** The HTTP servers of the process. */
  readonly listeners: Listeners;
  /** The open WebSocket sessions of the process. */
  readonly sessions: SessionDirectory;
  /** Registers secrets that it learns at run time. */
  readonly secrets: SecretKeeper;
  /**
   * Values that it keeps through a restart; undefined in a stream without a log. Use it once the component connects
   * or processes: before that, another process may still have the log.
   */
  readonly state: State | undefined;
  /** For values that are looked up at run time; every `${…}` of the file is already filled in. */
  readonly env: Environment;
  /**
   * Makes another component a part of this one. You call its methods, including `prepare` and `close`. `config` comes
   * from a field with that kind's schema. `name` names the part if its configuration does not.
   */
  open<K extends keyof Opened>(
    kind: K,
    config: ComponentConfig,
    options?: { readonly name?: string | undefined },
  ): Opened[K];
}

/**
 * Values that a component keeps beside the stream's log. A crash leaves each either as it was or as it was to be,
 * never in between.
 */
export interface State {
  /** Reads a value; undefined if there is none. @throws Error of the system */
  read(name: string): Promise<Buffer | undefined>;
  /**
   * Resolves when the value is on the disk. Names have letters, digits, dots and hyphens. @throws Error of the system
   */
  write(name: string, content: Uint8Array | string): Promise<void>;
  remove(name: string): Promise<void>;
  /** Creates the component's own folder if needed and returns its path; for a library that keeps files by itself. */
  folder(): Promise<string>;
}

/** The stream that a component is a part of. */
export interface StreamFacts {
  readonly id: string;
  /** The most messages and bytes in flight, and in one batch behind a buffer. */
  readonly limits: BudgetLimits;
  /** Counts messages at the component's place: all of `in_flight`, or behind a log the part that has left it. */
  readonly budget: Budget;
  /** Counts messages that the stream's operators keep for longer than a batch takes. */
  readonly stateBudget: StateBudget;
  /** Undefined in a stream without a log. */
  readonly durability: Durability | undefined;
  /** For `urlKey`: the values of `${…}` in the stream's URLs. */
  readonly filled: FilledUrls;
  /** True if its messages are bytes that no codec and no other component has read. */
  readonly undecoded: boolean;
  /** True behind a buffer: messages come together, later, and perhaps in another order or several times. */
  readonly buffered: boolean;
  /** True when a processor follows, which may reject messages of this component. */
  readonly followed: boolean;
  /** True when the next component takes rows with types (`takes`): pass rows on as they are. */
  readonly takesRows: boolean;
}

/** The part of the stream's log that a component may see, once the engine connects it. */
export interface Durability {
  /** Keys of a space from before the start, oldest first, each with the number of its log entry. */
  recoveredKeys(space: string): readonly (Keys & { readonly entry: number })[];
  /** Calls `act` when an entry from before the start has been delivered, or at once if it has. */
  whenDelivered(entry: number, act: () => void): void;
  /** The reason to refuse a message from any sender: it has ended the process before. */
  refusal(payload: Uint8Array): MillraceError | undefined;
  /**
   * For an `ordered` processor whose state must have each message exactly once, also after a crash. The log then keeps
   * entries, delivered or not, until the state has them. Call it in `prepare`; one processor of a stream may.
   * @returns the folder for the state, which may not exist yet
   * @throws MillraceError if another processor keeps state
   */
  keepFor(state: KeptState): string;
}

/** State that the log keeps entries for. */
export interface KeptState {
  /**
   * Called once the log is open, before its entries come. Reads the state from its folder. `log` tells the log from
   * every other one. @returns the last entry that the state has: it has all before as well; 0 if it has none
   */
  restore(checkpoints: Checkpoints, log: string): Promise<number>;
  /** Called before the log is closed: resolves when nothing more will be written. */
  finish(): Promise<void>;
}

/** For a component that writes its state from time to time. */
export interface Checkpoints {
  /** True if the log is large: do not wait any longer. */
  readonly isPressed: boolean;
  /** The state is about to have this entry and all before it that it gets at all. */
  changes(entry: number): void;
  /**
   * Resolves with true when this entry and all before it have been delivered; with false if the stream ends first. A
   * state must not replace the last one before: its entries could not be made again.
   */
  whenDelivered(entry: number): Promise<boolean>;
  /** The state on the disk has this entry and all before it: the log may forget them. */
  release(entry: number): void;
}

/** A component that another one has opened, run by the engine. */
export interface Opened {
  readonly input: Source;
  readonly output: Destination;
  readonly processor: Transform;
  readonly framing: Framing;
  readonly codec: Codec;
}

/** An input run by the engine: connected, retried and decoded. */
export interface Source {
  /** As `Input.prepare`. */
  prepare(): Promise<void>;
  /**
   * Recovers after a process that died. Called before any stream of this process runs: nothing else is processed
   * while it tries messages. Never throws; `read` reports what is wrong.
   */
  recover?(signal: AbortSignal): Promise<void>;
  /**
   * Connects as often as needed, then acts as `Input.read`, but throws only at the end of input or on a fatal error.
   */
  read(signal: AbortSignal): Promise<InputDelivery>;
  /** Connects once, without trying again. */
  dial(signal: AbortSignal): Promise<void>;
  /** Checks whether the stream's log could be opened, if it has one. */
  dialLog?(): Promise<void>;
  readonly listens: boolean;
  drain(): void;
  /** As `Input.close`. */
  close(signal: AbortSignal): Promise<void>;
  /** Why it is not ready, or undefined. */
  notReady(): string | undefined;
  /** Updates metrics that nothing counts as it happens. */
  measure?(): void;
}

/** A processor run by the engine: connected, and its errors reported message by message. */
export interface Transform {
  /** As `Processor.prepare`. */
  prepare(): Promise<void>;
  /** Begins to connect, if it talks to something; a fatal error fails the stream. */
  start(signal: AbortSignal): void;
  /**
   * Processes messages; wrong ones go to `error_output`. Call it in input order, with a receipt of
   * `ProcessCall.keep`, and pass on the deliveries that it returns.
   * @throws a fatal error
   */
  process(delivery: Delivery): Promise<Delivery[]>;
  /** As `Processor.flushAt`. */
  readonly flushAt: number | undefined;
  /**
   * Returns kept messages that are due at `now`, in milliseconds of `performance.now()`; Infinity for all of them.
   */
  flush(now: number): Promise<Delivery[]>;
  /** Why messages do not get through it, or undefined. */
  notReady(): string | undefined;
  /** As `Processor.close`. */
  close(signal: AbortSignal): Promise<void>;
}

/**
 * The arguments of a write to an opened output besides its batch. Each output counts its own attempts. An output that gives
 * only a part of its batch, or gives it to several, adds a name of the part to `id`.
 */
export interface DestinationCall extends Omit<WriteCall, 'attempt'> {
  /**
   * When to give the batch up and throw a `GaveUpError`, instead of what the output's `retry` says: after so many failed
   * attempts, or so many milliseconds.
   */
  readonly limits?: { readonly attempts: number; readonly elapsed: number } | undefined;
}

/** An output run by the engine: encoded, connected and retried. */
export interface Destination {
  /** Its place among the stream's components, as metrics name it: `fan_out.orders`. */
  readonly name: string;
  /** As `Output.prepare`. */
  prepare(): Promise<void>;
  /** Begins to connect, and reconnects whenever the connection is lost; a fatal error fails the stream. */
  start(signal: AbortSignal): void;
  /** Connects once, without trying again. */
  dial(signal: AbortSignal): Promise<void>;
  /**
   * Resolves when it has every message that it can take; a message that it can never take goes to its `error_output`. You
   * may call it again before that, in the order in which the batches should be written.
   * @throws a fatal error, or the signal's reason; GaveUpError if the call has `limits`
   */
  write(batch: Batch, call: DestinationCall): Promise<void>;
  /**
   * Resolves when its `queue` has room for the batch; undefined if it has, as a queue that drops always has. `write` itself
   * does not ask. @throws the signal's reason
   */
  room(batch: Batch, signal: AbortSignal): Promise<unknown> | undefined;
  /** Whether it is connected, as far as it knows. */
  readonly connected: boolean;
  /** As `Output.maxInFlight`: further calls of `write` wait. */
  readonly maxInFlight: number;
  /** As `Output.order`. */
  readonly order: WriteOrder;
  /** As `Output.identified`. An output that opens this one declares the same. */
  readonly identified: boolean;
  /** As `Output.takes`, for the component that writes to it. */
  readonly takes: 'rows' | undefined;
  /** As `Output.toClients`. */
  readonly toClients: boolean;
  /** As `Output.reopen`. */
  reopen(): void;
  /** Why it is not ready, or undefined. */
  notReady(): string | undefined;
  /** As `Output.close`. */
  close(signal: AbortSignal): Promise<void>;
}

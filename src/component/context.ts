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
import type { SessionDirectory } from './sessions.ts';
import type { StateBudget } from './state-budget.ts';

/** A component as the file configures it: `type`, and the fields that its schema parsed. */
export interface ComponentConfig {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Names and values of environment variables. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Everything that a component gets besides its fields, whatever its kind. */
export interface Context {
  /** What the file calls it, or what it is a part of; an input's is its `__meta_source`. Undefined where it has no name. */
  readonly name: string | undefined;
  readonly stream: StreamFacts;
  /** For lines of its own. Every line names the stream; secrets are masked. */
  readonly logger: Logger;
  /** Log lines and metrics that components share: connections, dropped messages, credentials. */
  readonly events: ComponentEvents;
  /** Metrics of its own. */
  readonly metrics: ComponentMetrics;
  /** The HTTP servers of the process. */
  readonly listeners: Listeners;
  /** The open WebSocket sessions of the process. */
  readonly sessions: SessionDirectory;
  /** Secrets that it learns at run time. */
  readonly secrets: SecretKeeper;
  /**
   * What it keeps through a restart; undefined in a stream without a log. Use it once the component connects or processes:
   * before that, another process may still have the log.
   */
  readonly state: State | undefined;
  /** For values that are looked up at run time; every `${…}` of the file is filled in already. */
  readonly env: Environment;
  /**
   * Makes another component a part of this one, which calls its methods, `prepare` and `close` among them. `config` comes
   * from a field with that kind's schema. `name` is the part's, where its configuration has none.
   */
  open<K extends keyof Opened>(
    kind: K,
    config: ComponentConfig,
    options?: { readonly name?: string | undefined },
  ): Opened[K];
}

/** Values that a component keeps beside the stream's log. Each is on the disk as it was or as it is to be, never in between. */
export interface State {
  /** The content of a value, or undefined. @throws Error of the system */
  read(name: string): Promise<Buffer | undefined>;
  /** Resolves when it is on the disk. Names have letters, digits, dots and hyphens. @throws Error of the system */
  write(name: string, content: Uint8Array | string): Promise<void>;
  remove(name: string): Promise<void>;
  /** The component's own folder, which is there then; for a library that keeps files by itself. */
  folder(): Promise<string>;
}

/** The stream that a component is a part of. */
export interface StreamFacts {
  readonly id: string;
  /** The most that is in flight, or behind a buffer, in one batch. */
  readonly limits: BudgetLimits;
  /** What counts where the component is: all of `in_flight`, or behind a log the part that has left it. */
  readonly budget: Budget;
  /** What the stream's operators keep for longer than a batch takes. */
  readonly stateBudget: StateBudget;
  /** Undefined in a stream without a log. */
  readonly durability: Durability | undefined;
  /** True when a processor comes after the component, which may reject what it gives. */
  readonly followed: boolean;
  /** True when what comes after the component takes rows with types (`takes`): who has some gives them as they are. */
  readonly takesRows: boolean;
}

/** What a component may know of the stream's log, once it is asked to connect. */
export interface Durability {
  /** Keys of a space that were remembered before the start, oldest first, each with the log's number of its entry. */
  recoveredKeys(space: string): readonly (Keys & { readonly entry: number })[];
  /** Calls `act` when an entry of before the start has been delivered, or at once if it has. */
  whenDelivered(entry: number, act: () => void): void;
  /** Why a message is not processed, whoever sends it: it has ended the process before. */
  refusal(payload: Uint8Array): MillraceError | undefined;
}

/** A component that another one has opened, with the engine's care. */
export interface Opened {
  readonly input: Source;
  readonly output: Destination;
  readonly processor: Transform;
  readonly framing: Framing;
  readonly codec: Codec;
}

/** An input, with the engine's care: connected, retried and decoded. */
export interface Source {
  /** As `Input.prepare`. */
  prepare(): Promise<void>;
  /**
   * Looks after what is left of a process that died. Called before any stream of this process runs: what is tried here
   * is all that is processed. Never throws; what is wrong is told by `read`.
   */
  recover?(signal: AbortSignal): Promise<void>;
  /** Connects as often as it takes; then as `Input.read`, but it throws only at the end of input or a fatal error. */
  read(signal: AbortSignal): Promise<InputDelivery>;
  /** Connects once, without trying again. */
  dial(signal: AbortSignal): Promise<void>;
  /** Sees whether the stream's log could be opened, where there is one. */
  dialLog?(): Promise<void>;
  readonly listens: boolean;
  drain(): void;
  close(): Promise<void>;
  /** Why it is not ready, or undefined. */
  notReady(): string | undefined;
  /** Updates what metrics show of it and nobody counts as it happens. */
  measure?(): void;
}

/** A processor, with the engine's care: connected, and what it throws told message by message. */
export interface Transform {
  /** As `Processor.prepare`. */
  prepare(): Promise<void>;
  /** Begins to connect, where it talks to something; a fatal error fails the stream. */
  start(signal: AbortSignal): void;
  /**
   * Gives what comes of messages; wrong ones go to `error_output`. Call it in input order, with a receipt of
   * `ProcessCall.keep`, and give on what it returns.
   * @throws a fatal error
   */
  process(delivery: Delivery): Promise<Delivery[]>;
  /** As `Processor.flushAt`. */
  readonly flushAt: number | undefined;
  /** Gives what it has kept and is due at `now`, in milliseconds of `performance.now()`; Infinity for everything. */
  flush(now: number): Promise<Delivery[]>;
  /** Why messages do not get through it, or undefined. */
  notReady(): string | undefined;
  close(): Promise<void>;
}

/** What an opened output is called with: an output that opens it gives its own call, since each counts its own attempts. */
export type DestinationCall = Omit<WriteCall, 'attempt'>;

/** An output, with the engine's care: encoded, connected and retried. */
export interface Destination {
  /** As `Output.prepare`. */
  prepare(): Promise<void>;
  /** Begins to connect, and connects again whenever the connection is lost; a fatal error fails the stream. */
  start(signal: AbortSignal): void;
  /** Connects once, without trying again. */
  dial(signal: AbortSignal): Promise<void>;
  /**
   * Resolves when it has every message that it can take; one that it can never take goes to `error_output`. It may be called
   * again before, in the order in which the batches are to be written.
   * @throws a fatal error, or the signal's reason
   */
  write(batch: Batch, call: DestinationCall): Promise<void>;
  /** As `Output.maxInFlight`: more calls of `write` than that wait for each other. */
  readonly maxInFlight: number;
  /** As `Output.order`. */
  readonly order: WriteOrder;
  /** As `Output.takes`, for whoever hands it what it is given. */
  readonly takes: 'rows' | undefined;
  /** As `Output.toClients`. */
  readonly toClients: boolean;
  /** As `Output.reopen`. */
  reopen(): void;
  /** Why it is not ready, or undefined. */
  notReady(): string | undefined;
  close(): Promise<void>;
}

import type { MillraceError, Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import type { Delivery, InputDelivery } from '../message/delivery.ts';
import type { LogEntries, Receipt } from '../message/receipt.ts';
import type { Backoff } from './backoff.ts';

/**
 * Where messages come from. The engine calls `connect`, then `read` again and again (one call at a time), and finally
 * `close`, which it may call at any moment and more than once.
 */
export interface Input {
  /** Called once before anything starts; an error that it throws is a mistake in the configuration. */
  prepare?(): Promise<void>;
  /**
   * Resolves when data can arrive, or when a failed attempt has brought some: then `notReady` says why, and `read`
   * throws it in the end. Any error is retried with backoff, unless it is fatal.
   */
  connect(signal: AbortSignal): Promise<void>;
  /**
   * Resolves with the messages that have arrived, at least one; waits until there are some. The receipt tells the
   * input when everything made of the messages is confirmed, and which of them were rejected.
   * @throws NotConnectedError when the connection is gone: the engine calls `connect` again
   * @throws EndOfInputError when there is nothing more
   */
  read(signal: AbortSignal): Promise<InputDelivery>;
  /**
   * The stream is ending: take in nothing new, let `read` return the messages that were taken in already, and then
   * throw EndOfInputError. Without this method the engine just stops reading.
   */
  drain?(): void;
  /** Frees everything. `signal` aborts when the stream must end at once: then wait for nobody, and cut what is open. */
  close(signal: AbortSignal): Promise<void>;
  /** How the engine reconnects this input, if its configuration says so. */
  readonly backoff?: Backoff;
  /** True when the input itself counts its messages in the budget, from arrival to receipt (an `Inbox` does). */
  readonly budgeted?: boolean;
  /**
   * True when `read` returns everything that has arrived since the last read, as an `Inbox` does. The engine then lets
   * messages gather for a moment if a part of the stream asks for it (`rest`).
   */
  readonly gathers?: boolean;
  /** True when its batches come from sources that the engine already counts. */
  readonly composite?: boolean;
  /**
   * True when other programs connect to it: at shutdown it ends after the inputs of other streams, which may feed it.
   */
  readonly listens?: boolean;
  /** Connects once, for `check --dial`, if that differs from `connect`. */
  dial?(signal: AbortSignal): Promise<void>;
  /** Why it is not ready though it is connected, or undefined. */
  notReady?(): string | undefined;
  /** Another failure that it keeps retrying while messages get through, or undefined. */
  trouble?(): string | undefined;
}

/**
 * The order of writes to an output that takes several at a time, or says which messages of a batch to write again.
 * - `stream`: the order of the stream
 * - `key`: that order among messages with the same `__meta_key`; messages without a key count as one key
 * - `none`: any order
 */
export type WriteOrder = 'stream' | 'key' | 'none';

/**
 * Where messages go. The engine calls `write` in order, one batch at a time unless the output allows more, and retries
 * after an error.
 */
export interface Output {
  /** Called once before anything starts; an error that it throws is a mistake in the configuration. */
  prepare?(): Promise<void>;
  /**
   * Resolves when `write` can be called. Any error is retried with backoff, unless it is fatal. `lost` tells the
   * engine that this connection is gone, so that it reconnects even while nothing is being written.
   */
  connect(signal: AbortSignal, lost: (error: Error) => void): Promise<void>;
  /**
   * Resolves when the sink has every message except those that the result names. An error is about the whole batch,
   * which the engine writes again.
   * @throws NotConnectedError when the connection is gone: the engine connects first
   */
  write(batch: Batch, call: WriteCall): Promise<WriteResult | void>;
  /** As `Input.close`. */
  close(signal: AbortSignal): Promise<void>;
  /**
   * How many batches may be written at a time; default 1. With the order `stream`, writes begin in order. When one fails,
   * the output must fail those that began after it as well: the engine waits for all of them, and then writes them
   * again, one at a time and in order. With `key`, batches that share a key are never written at the same time.
   */
  readonly maxInFlight?: number;
  /** Default: `stream`. */
  readonly order?: WriteOrder;
  /**
   * True when it needs to know a batch that comes again after a restart: each entry of the log is then a batch of its own, and
   * a batch with the `id` of one before has the same messages. Without it, entries are joined as they wait. Windows and other
   * processors that keep messages group anew after a restart: their batches then have other ids.
   */
  readonly identified?: boolean;
  readonly backoff?: Backoff;
  /**
   * `rows` says that it can use rows with types (`Batch.rows`). A processor that has rows then passes them as they
   * are, and otherwise as JSON. Other batches may come all the same.
   */
  readonly takes?: 'rows' | undefined;
  /**
   * True when it writes to clients: dead letters then show only the part of an error that a sender may know (`told`).
   */
  readonly toClients?: boolean;
  /** Why it is not ready though it is connected and no write has failed, or undefined. */
  notReady?(): string | undefined;
  /**
   * Closes and reopens the files that it writes to, because somebody has moved them (SIGHUP). It may be called during
   * a write, and must not throw: a file that cannot be opened fails the next write.
   */
  reopen?(): void;
  /** Checks whether it could connect, for `check --dial`, if connecting would change something. */
  dial?(signal: AbortSignal): Promise<void>;
}

/** The messages that the sink did not take. Each index is a place in the batch that was written. */
export interface WriteResult {
  /** These can never be written, and go to `error_output`. */
  readonly refused?: readonly Rejection[];
  /**
   * These could not be written for now: the engine writes them again after a pause, together with later messages if the
   * output's order demands it.
   */
  readonly retry?: readonly number[];
  /** The reason, for the log and for readiness. After a NotConnectedError, the engine connects first. */
  readonly reason?: unknown;
}

/** The arguments of a write besides its batch. */
export interface WriteCall {
  /**
   * Aborts when the stream must end at once, and when the batch is given up because of the output's `retry` or goes to the next
   * output of `fallback`: then the output must end this write, and take the next one.
   */
  readonly signal: AbortSignal;
  /**
   * The receipt for messages of the batch that are still on their way elsewhere when the write resolves, such as dead
   * letters.
   */
  readonly keep: Keep;
  /**
   * Names the batch: the same at each attempt, and of no other batch. Behind a log it is the same after a restart as well, as
   * `Output.identified` says.
   */
  readonly id: string;
  /** The entries of the log that the messages come from, and perhaps others between them; undefined without a log. */
  readonly position: LogEntries | undefined;
  /** How often the engine has called `write` with the batch, including this time: 1, 2 and so on. */
  readonly attempt: number;
  /**
   * The places of the messages in the batch as it was first given, before the output's codec: if only a part of it is
   * written now, or if the codec made several messages of one, or none.
   */
  readonly indices?: readonly number[] | undefined;
  /** Tells apart messages that the output's codec made of one: 0 for the first of each. Undefined if it made none or one of each. */
  readonly parts?: readonly number[] | undefined;
}

/** Takes a fork of the receipt at hand: its messages are not confirmed before the fork is settled. */
export type Keep = () => Receipt;

/** Reports that one message of the batch at hand is wrong; it goes to `error_output`, the others go on. */
export type Reject = (rejection: Rejection) => void;

/** The arguments of `process` besides its batch. */
export interface ProcessCall {
  readonly reject: Reject;
  /** Aborts when the stream must end at once. */
  readonly signal: AbortSignal;
  /** The receipt for messages of the batch that are kept for later. */
  readonly keep: Keep;
  /** As `WriteCall.position`. */
  readonly position: LogEntries | undefined;
}

/**
 * Makes other messages of a batch. The engine runs `process` for `thread_num` batches at a time, unless it is
 * `ordered`.
 */
export interface Processor {
  /**
   * Called once before anything is read; an error that it throws is a mistake in the configuration (such as a query
   * that is not SQL).
   */
  prepare?(): Promise<void>;
  /** As `Output.connect`, for a processor that talks to something: nothing is processed or flushed before. */
  connect?(signal: AbortSignal, lost: (error: Error) => void): Promise<void>;
  readonly backoff?: Backoff;
  /**
   * Returns the batches that go on; returning none drops the messages on purpose. The engine confirms the input's
   * batch when everything made of it is confirmed. To keep messages for later, keep `call.keep()` with them, and
   * return them with it as a delivery: of one batch, or of several (`joinDeliveries`). Throw only when you cannot
   * tell which messages are wrong: the whole batch then goes to `error_output`. If `process` throws, it must not keep
   * any message of that batch.
   * @throws NotConnectedError when the other side is away: the engine connects and calls it with the batch again
   */
  process(batch: Batch, call: ProcessCall): Promise<(Batch | Delivery)[]> | (Batch | Delivery)[];
  /** As `Output.takes`, for the batches that it processes. */
  readonly takes?: 'rows' | undefined;
  /**
   * For how long messages should gather between two reads, in milliseconds, because a batch costs as much as many
   * messages do. The engine looks at it for each batch; it waits a few milliseconds at most, and only behind inputs
   * that gather (`Input.gathers`). A message that comes after a longer silence goes on at once.
   */
  readonly rest?: number;
  /** True when batches must enter one at a time in input order, because the processor keeps state between them. */
  readonly ordered?: boolean;
  /**
   * Returns the kept messages. Called at `flushAt`, and at the end of the stream; not again while a call is under
   * way.
   * @throws NotConnectedError as `process`
   */
  flush?(): Promise<Delivery[]> | Delivery[];
  /** When kept messages must go on even if no more arrive, in milliseconds of `performance.now()`. */
  readonly flushAt?: number | undefined;
  /** Why messages do not get through it as they should, or undefined; readiness reports it. */
  notReady?(): string | undefined;
  /**
   * Likely mistakes in the configuration that the messages so far have shown, such as a column that none of them has.
   * `millrace check --sample` reports them, also after `close`.
   */
  remarks?(): readonly MillraceError[];
  /** As `Input.close`. */
  close?(signal: AbortSignal): Promise<void> | void;
}

/** Checks payloads on the way in, and makes them on the way out. */
export interface Codec {
  /** Called once before anything starts; an error that it throws is a mistake in the configuration. */
  prepare?(): Promise<void>;
  /**
   * Takes messages as the input received them, and returns checked messages. Each message it makes keeps the metadata
   * and position of its origin: `batch.expand` makes several of one, or none. A codec that talks to something throws
   * NotConnectedError when that is away, and is called again; any other error rejects the whole batch.
   */
  decode(batch: Batch, reject: Reject): Batch | Promise<Batch>;
  /** Takes messages as the pipeline left them, and returns them as the output writes them; otherwise as `decode`. */
  encode(batch: Batch, reject: Reject): Batch | Promise<Batch>;
  /** As `Input.close`. */
  close?(signal: AbortSignal): Promise<void>;
}

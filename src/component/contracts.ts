import type { Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import type { Delivery, InputDelivery } from '../message/delivery.ts';
import type { Receipt } from '../message/receipt.ts';
import type { Backoff } from './backoff.ts';

/**
 * Where messages come from. The engine calls `connect`, then `read` again and again (one call at a time), and at last
 * `close`, which it may call at any moment and more than once.
 */
export interface Input {
  /** Called once before anything starts; what it throws is a mistake in the configuration. */
  prepare?(): Promise<void>;
  /**
   * Resolves when data can arrive, or when a failed attempt has brought some: then `notReady` says why, and `read` throws
   * it in the end. Any error is retried with backoff, unless it is fatal.
   */
  connect(signal: AbortSignal): Promise<void>;
  /**
   * Resolves with what has arrived, at least one message; waits if that is nothing. The receipt is for the input to hear
   * when everything that came of the messages is confirmed, and which of them were rejected.
   * @throws NotConnectedError when the connection is gone: the engine calls `connect` again
   * @throws EndOfInputError when there is nothing more
   */
  read(signal: AbortSignal): Promise<InputDelivery>;
  /**
   * The stream is to end: take in nothing new, and let `read` give what has been taken in already and then throw
   * EndOfInputError. Without this method the engine just stops reading.
   */
  drain?(): void;
  close(): Promise<void>;
  /** How the engine connects this input again, where its configuration says so. */
  readonly backoff?: Backoff;
  /** True when the input counts its messages in the budget itself, from arrival to receipt (an `Inbox` does). */
  readonly budgeted?: boolean;
  /** True when its batches come from sources that the engine counts already. */
  readonly composite?: boolean;
  /** True when others connect to it: at shutdown it ends after the inputs of other streams, which may feed it. */
  readonly listens?: boolean;
  /** Connects once, for `check --dial`, where that differs from `connect`. */
  dial?(signal: AbortSignal): Promise<void>;
  /** Why it is not ready though it is connected, or undefined. */
  notReady?(): string | undefined;
  /** What else it cannot do for now and tries again, though messages get through, or undefined. */
  trouble?(): string | undefined;
}

/**
 * How writes to an output may be ordered among each other, where it takes several at a time or says which messages of a
 * batch are to be written again.
 * - `stream`: in the order of the stream
 * - `key`: in that order among messages of one `__meta_key`; those without a key are as of one
 * - `none`: in any
 */
export type WriteOrder = 'stream' | 'key' | 'none';

/** Where messages go. The engine calls `write` in order, one batch at a time unless the output says more, and retries what throws. */
export interface Output {
  /** Called once before anything starts; what it throws is a mistake in the configuration. */
  prepare?(): Promise<void>;
  /**
   * Resolves when `write` can be called. Any error is retried with backoff, unless it is fatal. `lost` tells the engine
   * that this connection is gone, so that it connects again though nothing is being written.
   */
  connect(signal: AbortSignal, lost: (error: Error) => void): Promise<void>;
  /**
   * Resolves when the sink has every message, or every one but those that the result names. What it throws is about the
   * whole batch, which the engine writes again.
   * @throws NotConnectedError when the connection is gone: the engine connects first
   */
  write(batch: Batch, call: WriteCall): Promise<WriteResult | void>;
  close(): Promise<void>;
  /**
   * How many batches may be written at a time; 1 if it does not say. With the order `stream`, writes begin in order, and when
   * one fails, the output sees to it that those which began after it fail as well: the engine waits for all of them, and
   * writes again, one at a time and in order. With `key`, batches that share a key are never written at the same time.
   */
  readonly maxInFlight?: number;
  /** `stream` if it does not say. */
  readonly order?: WriteOrder;
  readonly backoff?: Backoff;
  /**
   * `rows` says that it can use rows with types (`Batch.rows`). A processor that has some then gives them as they are, and
   * else as JSON. There may be batches that are none all the same.
   */
  readonly takes?: 'rows' | undefined;
  /** True when it writes to clients: dead letters then say of an error only what a sender may know (`told`). */
  readonly toClients?: boolean;
  /** Why it is not ready though it is connected and no write has failed, or undefined. */
  notReady?(): string | undefined;
  /**
   * Closes and opens again the files that it writes to, because somebody has moved them (SIGHUP). It may be called while
   * a write is under way, and must not throw: what cannot be opened fails the next write.
   */
  reopen?(): void;
  /** Sees whether it could connect, for `check --dial`, where connecting would change something. */
  dial?(signal: AbortSignal): Promise<void>;
}

/** What has become of messages that the sink did not take. Each index is a place in the batch that was written. */
export interface WriteResult {
  /** They can never be written, and go to `error_output`. */
  readonly refused?: readonly Rejection[];
  /**
   * They could not be written for now: the engine gives them again after a pause, with what came after them where the
   * output's order would be broken otherwise.
   */
  readonly retry?: readonly number[];
  /** Why, for the log and for readiness. After a NotConnectedError, the engine connects first. */
  readonly reason?: unknown;
}

/** What a write is called with besides its batch. */
export interface WriteCall {
  /** Aborts when the stream ends at once. */
  readonly signal: AbortSignal;
  /** The receipt for messages of the batch that are on their way elsewhere when the write resolves, as dead letters are. */
  readonly keep: Keep;
  /** How often the batch has been given to the output, this time included: 1, 2 and so on. */
  readonly attempt: number;
  /** Where the messages were in the batch as it was first given, once it is no more the whole of it. */
  readonly indices?: readonly number[] | undefined;
}

/** Takes a fork of the receipt at hand: nothing of it counts as seen to before that is settled. */
export type Keep = () => Receipt;

/** Reports that one message of the batch at hand is wrong; it goes to `error_output`, the others go on. */
export type Reject = (rejection: Rejection) => void;

/** What a processor is called with besides its batch. */
export interface ProcessCall {
  readonly reject: Reject;
  /** Aborts when the stream ends at once. */
  readonly signal: AbortSignal;
  /** The receipt for messages of the batch that are kept for later. */
  readonly keep: Keep;
}

/** Makes other messages of a batch. The engine calls `process` for `thread_num` batches at a time, unless it is `ordered`. */
export interface Processor {
  /** Called once before anything is read; what it throws is a mistake in the configuration (a query that is not SQL). */
  prepare?(): Promise<void>;
  /** As `Output.connect`, for one that talks to something: nothing is processed or flushed before. */
  connect?(signal: AbortSignal, lost: (error: Error) => void): Promise<void>;
  readonly backoff?: Backoff;
  /**
   * Gives the batches that go on; none drops the messages on purpose. The input's batch is seen to when everything that
   * came of it is. Whoever keeps messages for later keeps `call.keep()` with them, and gives them on with it, as a
   * delivery: of one batch, or of several (`joinDeliveries`).
   * Throws only for what it cannot split: then the whole batch goes to `error_output`. What it has kept of a batch on which
   * it throws is no more its to keep.
   * @throws NotConnectedError when what it talks to is away: the engine connects and gives it the batch again
   */
  process(batch: Batch, call: ProcessCall): Promise<(Batch | Delivery)[]> | (Batch | Delivery)[];
  /** As that of an output, of the batches that it processes. */
  readonly takes?: 'rows' | undefined;
  /** True when batches must enter one at a time in input order, because the processor keeps state between them. */
  readonly ordered?: boolean;
  /**
   * Gives what has been kept. Called at `flushAt`, and at the end of the stream; not again while it is under way.
   * @throws NotConnectedError as `process`
   */
  flush?(): Promise<Delivery[]> | Delivery[];
  /** When what is kept must go on though no more arrives, in milliseconds of `performance.now()`. */
  readonly flushAt?: number | undefined;
  /** Why messages do not get through it as they should, or undefined; readiness says it. */
  notReady?(): string | undefined;
  close?(): Promise<void> | void;
}

/** What a payload has to be on the way in, and becomes on the way out. */
export interface Codec {
  /** Called once before anything starts; what it throws is a mistake in the configuration. */
  prepare?(): Promise<void>;
  /**
   * Messages as the input received them in, checked messages out. What it makes of a message keeps that one's metadata and
   * position: `batch.expand` makes several of one, or none. One that talks to
   * something throws NotConnectedError when that is away, and is called again; what else it throws rejects the whole batch.
   */
  decode(batch: Batch, reject: Reject): Batch | Promise<Batch>;
  /** Messages as the pipeline left them in, messages as the output shall write them out; else as `decode`. */
  encode(batch: Batch, reject: Reject): Batch | Promise<Batch>;
  /** Called at the end of the stream, and perhaps more than once. */
  close?(): Promise<void>;
}

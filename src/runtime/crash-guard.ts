import { abortable } from '../component/waker.ts';
import { concatBatches, type Batch, type Format } from '../message/batch.ts';
import { noReceipt } from '../message/receipt.ts';
import type { CrashState, Position } from '../delivery/log/crash-record.ts';
import type { Log } from '../delivery/log/log.ts';
import { CRASHES, Culprits, fingerprint, MAX_CULPRITS } from './culprits.ts';
import type { Pipeline } from './pipeline.ts';

/**
 * The number of parts into which the suspects are divided, so that a trial takes about as long however many there are.
 */
const PARTS = { alone: 512, together: 64 } as const;

/** How long all trials together may take before the stream starts without the rest of them. Milliseconds. */
const TRIAL_TIME = 30_000;

export interface CrashGuardOptions {
  /** Identifies the pipeline: knowledge about another one no longer counts. */
  readonly pipeline: string;
  /** Makes a separate pipeline, which is thrown away. */
  readonly create: (signal: AbortSignal) => Pipeline;
  /** The most that may have been in processing. */
  readonly limits: { readonly messages: number; readonly bytes: number };
  /** Called with the number of messages about to be tried. */
  readonly tries: (messages: number) => void;
}

/** Messages in order, with the place of each. */
interface Messages {
  readonly batch: Batch;
  readonly positions: readonly Position[];
  /** The format of each: together they may have none but `bytes`. */
  readonly formats: readonly Format[];
}

/**
 * Finds the message that ends the process each time it is processed, so that it cannot keep a stream down.
 *
 * After a process has died, the messages that may have been in processing are processed once more, before anything
 * else: in parts, noting each on the disk first, with all results thrown away. If the process dies again in a part,
 * that part is divided at the next start, down to one message. A message with which the process has died three times in
 * a row is the culprit. If each message alone does no harm and the process has died again, each is tried with all
 * messages before it.
 *
 * A process that is killed from outside dies in the middle of something too. But by then the parts before it are done,
 * and the interrupted part is done the next time: only a message that is never done can be blamed.
 */
export class CrashGuard {
  readonly #log: Log;
  readonly #options: CrashGuardOptions;
  #state: CrashState;
  #culprits: Culprits;

  constructor(log: Log, options: CrashGuardOptions) {
    this.#log = log;
    this.#options = options;
    this.#state = this.#begin(log.crashes.before);
    this.#culprits = culpritsOf(this.#state);
    // Until something is tried again, nothing is to blame.
    log.crashes.write({ ...this.#state, trial: undefined });
  }

  get culprits(): Culprits {
    return this.#culprits;
  }

  /**
   * Tries the messages that may have ended the last process, if it did not shut down cleanly. @throws the signal's
   * reason when it aborts
   */
  async run(signal: AbortSignal): Promise<void> {
    const { before } = this.#log.crashes;
    if (before?.running !== true || this.#state.tried === 'together' || this.#log.recovered.entries === 0)
      return;
    const stop = AbortSignal.any([signal, AbortSignal.timeout(TRIAL_TIME)]);
    try {
      const suspects = await this.#suspects(stop);
      this.#options.tries(suspects.positions.length);
      await this.#tryAll(suspects, stop);
    } catch (error) {
      signal.throwIfAborted();
      if (!stop.aborted) throw error;
    } finally {
      this.#note({ trial: undefined });
    }
  }

  /** The knowledge from before, as far as it still counts. */
  #begin(before: CrashState | undefined): CrashState {
    const { first } = this.#log.recovered;
    const state = { running: true, first, pipeline: this.#options.pipeline } as const;
    if (before?.pipeline !== this.#options.pipeline)
      return { ...state, tried: 'nothing', culprits: [], rejected: [] };
    const { culprits, trial } = before;
    const rejected = before.rejected.filter(([entry]) => this.#log.has(entry));
    if (!before.running) return { ...state, tried: 'nothing', culprits, rejected };
    return { ...state, tried: first > before.first ? 'nothing' : before.tried, culprits, rejected, trial };
  }

  async #tryAll(messages: Messages, signal: AbortSignal): Promise<void> {
    const { trial, tried } = this.#state;
    const together = trial?.together ?? tried === 'alone';
    const pipeline = this.#options.create(signal);
    try {
      // Prepare first, so that its one-time work is not blamed on a message.
      await pipeline.prepare();
      if (trial !== undefined) await this.#tryAgain(messages, trial, pipeline, signal);
      await this.#tryRange(messages, { from: 0, to: messages.positions.length, together }, pipeline, signal);
    } finally {
      await pipeline.close(signal);
    }
    this.#note({ tried: together ? 'together' : 'alone' });
  }

  /** Retries, in smaller parts, the range that was being tried when the process ended. */
  async #tryAgain(
    messages: Messages,
    { together, from, to, crashes }: NonNullable<CrashState['trial']>,
    pipeline: Pipeline,
    signal: AbortSignal,
  ): Promise<void> {
    const first = messages.positions.findIndex((position) => compare(position, from) >= 0);
    const last = messages.positions.findLastIndex((position) => compare(position, to) <= 0);
    if (first < 0 || last < first) return;
    if (first < last) {
      return await this.#tryRange(messages, { from: first, to: last + 1, together }, pipeline, signal);
    }
    if (crashes + 1 < CRASHES) {
      return await this.#tryPart(
        messages,
        { from: first, to: first + 1, together },
        pipeline,
        signal,
        crashes + 1,
      );
    }
    const { culprits, rejected } = this.#state;
    this.#note(
      together
        ? { trial: undefined, rejected: [...rejected, from].slice(-MAX_CULPRITS) }
        : {
            trial: undefined,
            culprits: [...culprits, fingerprint(messages.batch.payloads[first]!)].slice(-MAX_CULPRITS),
          },
    );
  }

  async #tryRange(
    messages: Messages,
    { from, to, together }: { from: number; to: number; together: boolean },
    pipeline: Pipeline,
    signal: AbortSignal,
  ): Promise<void> {
    const size = Math.ceil((to - from) / PARTS[together ? 'together' : 'alone']);
    for (let at = from; at < to; at += size) {
      await this.#tryPart(messages, { from: at, to: Math.min(at + size, to), together }, pipeline, signal, 0);
    }
  }

  async #tryPart(
    { batch, positions, formats }: Messages,
    { from, to, together }: { from: number; to: number; together: boolean },
    pipeline: Pipeline,
    signal: AbortSignal,
    crashes: number,
  ): Promise<void> {
    const { culprits } = this;
    const part: number[] = [];
    for (let index = together ? 0 : from; index < to; index++) {
      const [entry, place] = positions[index]!;
      const isRejected = this.#state.rejected.some((each) => each[0] === entry && each[1] === place);
      if (!isRejected && culprits.refusal(batch.payloads[index]!) === undefined) part.push(index);
    }
    if (part.length === 0) return;
    this.#note({ trial: { together, from: positions[from]!, to: positions[to - 1]!, crashes } });
    const parts = Map.groupBy(part, (index) => formats[index]!);
    const batches = [...parts].map(([format, places]) => batch.select(places).withFormat(format));
    await abortable(this.#process(pipeline, batches), signal);
  }

  async #process(pipeline: Pipeline, batches: readonly Batch[]): Promise<void> {
    try {
      for (const batch of batches) await pipeline.process({ batch, receipt: noReceipt });
      await Promise.all(pipeline.flush(Infinity));
    } catch {
      // Whatever the error, the process is alive.
    }
  }

  /**
   * The messages that the pipeline may have held: the first of the undelivered ones, since it gets everything in order.
   */
  async #suspects(signal: AbortSignal): Promise<Messages> {
    const { messages: most, bytes: mostBytes } = this.#options.limits;
    const reader = this.#log.reader(this.#log.recovered.first);
    const batches: Batch[] = [];
    const positions: Position[] = [];
    const formats: Format[] = [];
    let bytes = 0;
    try {
      while (positions.length < most && bytes < mostBytes) {
        const entry = await reader.next(signal);
        if (entry === undefined) break;
        const { number, batch } = entry;
        if (batch.length === 0) continue;
        batches.push(batch);
        bytes += batch.bytes;
        for (let index = 0; index < batch.length; index++) {
          positions.push([number, index]);
          formats.push(batch.format);
        }
      }
    } finally {
      await reader.close();
    }
    return { batch: concatBatches(batches), positions, formats };
  }

  #note(change: Partial<CrashState>): void {
    this.#state = { ...this.#state, ...change };
    if (change.culprits !== undefined || change.rejected !== undefined)
      this.#culprits = culpritsOf(this.#state);
    this.#log.crashes.write(this.#state);
  }
}

function culpritsOf({ culprits, rejected }: CrashState): Culprits {
  return new Culprits(culprits, rejected);
}

function compare(a: Position, b: Position): number {
  return a[0] - b[0] || a[1] - b[1];
}

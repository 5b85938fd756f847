import type { Budget } from '../component/budget.ts';
import type { Source } from '../component/context.ts';
import type { StateBudget } from '../component/state-budget.ts';
import { EndOfInputError } from '../errors.ts';
import type { StreamHealth } from '../control/health.ts';
import { nowMicros } from '../message/batch.ts';
import type { Delivery } from '../message/delivery.ts';
import type { StreamEvents } from '../telemetry/events.ts';
import { BatchNames } from './batch-names.ts';
import { DeadLetters } from './dead-letters.ts';
import { Outage } from '../component/outage.ts';
import type { Pace } from './pace.ts';
import type { Pipeline } from './pipeline.ts';
import type { Sink } from './sink.ts';
import { TapPoint, type TapStage } from './tap.ts';
import { TicketQueue } from './ticket-queue.ts';

/** The parts of a stream, made and wired by `build-stream.ts`. */
export interface StreamParts {
  readonly id: string;
  readonly source: Source;
  readonly pipeline: Pipeline;
  readonly sink: Sink;
  readonly errorSink: Sink | undefined;
  /** The dead letters of every `error_output`. */
  readonly letters: readonly DeadLetters[];
  readonly budget: Budget;
  /** Of `budget`, for what is behind the log. */
  readonly share: Budget;
  /** The state that windows and buffers keep. */
  readonly state: StateBudget;
  readonly pace: Pace;
  /** Whether there is a log of what it has received. */
  readonly durable: boolean;
  readonly events: StreamEvents;
  readonly threads: number;
  /** Ends everything at once; the stream aborts it itself when a part has failed for good. */
  readonly abort: AbortController;
  /** For the log: what it reads and writes. */
  readonly input: string;
  readonly output: string;
}

/** While a stream drains, what its windows hold goes on once nothing has come for so long. Milliseconds. */
const SETTLED = 100;

/** One stream from its input to its output: it reads, processes several batches at a time, and writes in input order. */
export class Stream {
  readonly parts: StreamParts;
  readonly #tickets: TicketQueue;
  #state: StreamHealth['state'] = 'starting';
  #lastMessage: number | undefined;
  #flushTimer: NodeJS.Timeout | undefined;
  #settling: NodeJS.Timeout | undefined;
  readonly #names: BatchNames;
  readonly #inputTaps = new TapPoint();
  /** Why it has failed for good. */
  readonly #failure = new Outage();

  constructor(parts: StreamParts) {
    this.parts = parts;
    parts.events.stateChanged(this.#state);
    this.#tickets = new TicketQueue(parts.threads);
    this.#names = new BatchNames(parts.sink.identified);
    for (const each of new Set([parts.budget, parts.share])) {
      each.onChange({ full: this.#makeRoom, room: () => {} });
    }
  }

  /** Resolves when the stream has ended, with whether it did so in order. */
  async run(): Promise<'ended' | 'failed'> {
    const { events, sink, errorSink, letters, abort } = this.parts;
    const { signal } = abort;
    events.streamStarted(this.parts.input, this.parts.output);
    this.#enter('running');
    try {
      // With nothing to write, the stream does not wait for a part that cannot connect; but each has had its chance.
      const done = new AbortController();
      const connect = async (part: Sink | Pipeline): Promise<void> => {
        await part.connect(AbortSignal.any([signal, done.signal])).catch((error: unknown) => {
          if (!done.signal.aborted) throw error;
        });
      };
      const flow = async (): Promise<void> => {
        await this.#all([this.#process(), this.#write()]);
        await DeadLetters.idle(letters);
        await Promise.all([sink.attempted, errorSink?.attempted]);
        done.abort();
      };
      await this.#all([connect(this.parts.pipeline), connect(sink), errorSink && connect(errorSink), flow()]);
      signal.throwIfAborted();
      this.#enter('ended');
      events.streamEnded();
      return 'ended';
    } catch (error) {
      this.#failure.failed(error);
      this.#enter('failed');
      events.streamFailed(error);
      return 'failed';
    } finally {
      clearTimeout(this.#flushTimer);
      clearInterval(this.#settling);
      await this.#close();
      this.#endTaps();
    }
  }

  /** Takes in nothing new, and ends when everything taken in is written. */
  drain(): void {
    if (this.#state === 'running') this.#enter('draining');
    this.parts.source.drain();
    this.#makeRoom();
    // Nobody would clear the timer of a stream that does not run.
    if (this.#state !== 'draining') return;
    // Senders may wait for what comes of messages that a window holds, and the input for the senders.
    this.#settling ??= setInterval(this.#settle, SETTLED);
  }

  /** Where a tap can be put; undefined where the stream has no such stage. */
  tapPoint(stage: TapStage): TapPoint | undefined {
    const { pipeline, sink, errorSink } = this.parts;
    if (stage === 'input') return this.#inputTaps;
    if (stage === 'output') return sink.tapPoint;
    if (stage === 'error_output') return errorSink?.tapPoint;
    return pipeline.tapPoints.find((each) => each.stage === stage)?.point;
  }

  /** Nothing more has come for a while: what is held is all there will be, or nearly so. */
  readonly #settle = (): void => {
    if (performance.now() - (this.#lastMessage ?? 0) > SETTLED) this.#flush(Number.MAX_VALUE);
  };

  /** A stream that ends does not wait for a window whose messages keep it from ending. */
  readonly #makeRoom = (): void => {
    const { budget, share } = this.parts;
    if (this.#state === 'draining' && (budget.full || share.full)) this.#flush(Number.MAX_VALUE);
  };

  health(): StreamHealth {
    const { id, source, budget, state, events } = this.parts;
    events.inFlight(budget.messages, budget.bytes);
    events.stateMeasured(state);
    source.measure?.();
    const reasons = this.#notReady();
    const ready = reasons.length === 0;
    events.readyMeasured(ready);
    const age = this.#lastMessage === undefined ? null : (performance.now() - this.#lastMessage) / 1000;
    return { id, state: this.#state, ready, reasons, last_message_age_seconds: age };
  }

  /** A sentence for each part that keeps messages from getting through. */
  #notReady(): string[] {
    const { source, pipeline, sink, errorSink } = this.parts;
    if (this.#state === 'failed') return [this.#failure.describe('the stream has failed')];
    if (this.#state === 'ended') return [];
    const reasons = [
      // An input that drains is about to end, and what it says of that is no news.
      this.#state === 'draining' ? 'the stream is draining' : source.notReady(),
      ...pipeline.notReady(),
      sink.notReady(),
      errorSink?.notReady(),
    ];
    return reasons.filter((reason) => reason !== undefined);
  }

  #enter(state: StreamHealth['state']): void {
    this.#state = state;
    this.parts.events.stateChanged(state);
  }

  /** Waits for all; the first that fails aborts the others. */
  async #all(parts: readonly (Promise<unknown> | undefined)[]): Promise<void> {
    const guarded = parts.map(async (part) => {
      try {
        await part;
      } catch (error) {
        this.parts.abort.abort(error);
        this.#tickets.end();
      }
    });
    await Promise.all(guarded);
    this.parts.abort.signal.throwIfAborted();
  }

  async #process(): Promise<void> {
    const { abort, pipeline, pace } = this.parts;
    const { signal } = abort;
    for (;;) {
      await this.#tickets.slot(signal);
      const delivery = await this.#read();
      if (delivery === undefined) break;
      this.#push(pipeline.process(delivery), true);
      pace.ask(pipeline.rest);
    }
    this.#flush(Infinity);
    this.#tickets.end();
  }

  /** Undefined at the end of the input. */
  async #read(): Promise<Delivery | undefined> {
    try {
      const delivery = await this.parts.source.read(this.parts.abort.signal);
      this.#lastMessage = performance.now();
      this.#inputTaps.pass(delivery.batch);
      return delivery;
    } catch (error) {
      if (error instanceof EndOfInputError) return undefined;
      throw error;
    }
  }

  async #write(): Promise<void> {
    const { sink, abort } = this.parts;
    const writing = new Set<Promise<void>>();
    for (;;) {
      const deliveries = await this.#tickets.next();
      if (deliveries === undefined || abort.signal.aborted) break;
      let results = 0;
      for (const delivery of deliveries) {
        const written = this.#writeOne(delivery, delivery.entry === undefined ? 0 : results++);
        if (sink.maxInFlight === 1) await written;
        else {
          // One that fails ends the others.
          const ended = written
            .catch((error: unknown) => abort.abort(error))
            .finally(() => writing.delete(ended));
          writing.add(ended);
          if (writing.size >= sink.maxInFlight) await Promise.race(writing);
        }
      }
    }
    await Promise.all(writing);
    abort.signal.throwIfAborted();
  }

  /** `result` counts what was made of one entry of the log. */
  async #writeOne(delivery: Delivery, result: number): Promise<void> {
    const { sink, events, abort } = this.parts;
    const { batch, receipt } = delivery;
    try {
      await sink.write(batch, this.#names.call(delivery, result, abort.signal));
    } catch (error) {
      receipt.failed(error);
      throw error;
    }
    events.batchWritten(batch);
    events.batchConfirmed(batch, nowMicros());
    receipt.done();
  }

  #push(result: Promise<Delivery[]>, slot: boolean): void {
    this.#tickets.push(result, slot);
    void result.then(this.#processed, () => {});
  }

  #flush(now: number): void {
    for (const flushed of this.parts.pipeline.flush(now)) this.#push(flushed, false);
  }

  readonly #processed = (): void => {
    this.#makeRoom();
    this.#armFlush();
  };

  #armFlush(): void {
    const { pipeline, abort } = this.parts;
    clearTimeout(this.#flushTimer);
    if (pipeline.flushAt === undefined || abort.signal.aborted) return;
    this.#flushTimer = setTimeout(
      () => {
        this.#flush(performance.now());
        this.#armFlush();
      },
      Math.max(1, pipeline.flushAt - performance.now()),
    );
  }

  #endTaps(): void {
    const { pipeline, sink, errorSink } = this.parts;
    for (const point of [this.#inputTaps, sink.tapPoint]) point.close();
    for (const { point } of pipeline.tapPoints) point.close();
    errorSink?.tapPoint.close();
  }

  async #close(): Promise<void> {
    const { source, pipeline, sink, errorSink, events, abort } = this.parts;
    for (const part of [source, pipeline, sink, errorSink]) {
      try {
        await part?.close(abort.signal);
      } catch (error) {
        events.closeFailed(error);
      }
    }
  }
}

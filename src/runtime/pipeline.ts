import type { ProcessCall, Processor } from '../component/contracts.ts';
import { MillraceError, NotConnectedError, errorMessage, type Rejection } from '../errors.ts';
import { Batch } from '../message/batch.ts';
import { isRevoked, type Delivery } from '../message/delivery.ts';
import { revoke, type Receipt } from '../message/receipt.ts';
import { contractErrors, rejectInto } from './contract.ts';
import type { DeadLetters } from './dead-letters.ts';
import { TapPoint, type TapStage } from './tap.ts';
import { standstill } from '../component/outage.ts';
import { KeptConnection, type ConnectionSurroundings } from './kept-connection.ts';

/** A processor with its place in the stream. */
export interface Operator {
  readonly stage: 'buffer' | 'processor';
  /** Its place in the file. */
  readonly path: readonly (string | number)[];
  readonly type: string;
  readonly processor: Processor;
}

interface Step extends Operator {
  /** Its stage and type, for sentences. */
  readonly name: string;
  /** The tap point after it. */
  readonly tapPoint: TapPoint;
  /** Undefined if a failure is not retried. */
  readonly connection: KeptConnection | undefined;
  /** A flush is queued, or under way. */
  flushing: boolean;
  /** Resolves when the previous batch has left this step; only for `ordered` processors. */
  tail: Promise<void>;
  /** The start of each batch in work, oldest first, in milliseconds of `performance.now()`. */
  readonly working: Set<{ readonly since: number }>;
}

interface Turn {
  readonly before: Promise<void>;
  readonly leave: () => void;
}

/** The processors of a stream, for several batches at a time. */
export class Pipeline {
  readonly #steps: readonly Step[];
  readonly #deadLetters: Pick<DeadLetters, 'reject'>;
  readonly #signal: AbortSignal;

  constructor(
    operators: readonly Operator[],
    options: {
      readonly deadLetters: Pick<DeadLetters, 'reject'>;
      readonly signal: AbortSignal;
      /** Without it nothing is connected, and a processor without a connection fails like any other. */
      readonly connections?: ConnectionSurroundings;
    },
  ) {
    const { connections } = options;
    this.#steps = operators.map((each) => ({
      ...each,
      name: `${each.stage} ${each.type}`,
      tapPoint: new TapPoint(),
      connection: connections && connectionOf(each, connections),
      flushing: false,
      tail: Promise.resolve(),
      working: new Set(),
    }));
    this.#deadLetters = options.deadLetters;
    this.#signal = options.signal;
  }

  /** The tap points after each operator, in order. */
  get tapPoints(): { readonly stage: TapStage; readonly point: TapPoint }[] {
    return this.#steps.map(({ stage, path, tapPoint }) => ({
      stage: stage === 'buffer' ? stage : `processors.${Number(path.at(-1))}`,
      point: tapPoint,
    }));
  }

  /** Lets each processor check its configuration. @returns the mistakes, with each processor's place */
  async prepare(): Promise<{ path: Operator['path']; error: unknown }[]> {
    const problems: { path: Operator['path']; error: unknown }[] = [];
    for (const { path, processor } of this.#steps) {
      await processor.prepare?.().catch((error: unknown) => problems.push({ path, error }));
    }
    return problems;
  }

  /** Connects the processors that talk to something. @throws a fatal error, or the signal's reason */
  async connect(signal: AbortSignal): Promise<void> {
    const connections = this.#steps.map(({ connection }) => connection).filter(isDown);
    await Promise.all(connections.map((connection) => connection.connect(signal)));
  }

  /** The processors that talk to something, to test whether they can connect. */
  get connectable(): { type: string; dial: (signal: AbortSignal) => Promise<void> }[] {
    return this.#steps.flatMap(({ type, processor }) =>
      processor.connect === undefined
        ? []
        : [{ type, dial: (signal) => processor.connect!(signal, () => {}) }],
    );
  }

  /** Call in input order. @returns the batches to write; rejects with a fatal error or when aborted */
  process(delivery: Delivery): Promise<Delivery[]> {
    if (this.#steps.length === 0) return Promise.resolve([delivery]);
    return this.#run(0, () => [delivery]);
  }

  /** When a processor must flush, in milliseconds of `performance.now()`. */
  get flushAt(): number | undefined {
    let earliest: number | undefined;
    for (const { processor, flushing } of this.#steps) {
      if (flushing || processor.flushAt === undefined) continue;
      if (processor.flushAt < (earliest ?? Infinity)) earliest = processor.flushAt;
    }
    return earliest;
  }

  /** Call in input order, like `process`. @returns the kept messages that are due by `now` */
  flush(now: number): Promise<Delivery[]>[] {
    const flushed: Promise<Delivery[]>[] = [];
    for (const [index, step] of this.#steps.entries()) {
      const { processor, flushing } = step;
      if (processor.flush === undefined) continue;
      if (now !== Infinity && (flushing || (processor.flushAt ?? Infinity) > now)) continue;
      step.flushing = true;
      flushed.push(this.#run(index, () => this.#flush(step), true));
    }
    return flushed;
  }

  /** As `Processor.rest`, for what comes before any messages are kept. */
  get rest(): number {
    let longest = 0;
    for (const { processor } of this.#steps) {
      if (processor.ordered === true) break;
      longest = Math.max(longest, processor.rest ?? 0);
    }
    return longest;
  }

  /** A sentence for each processor that messages do not pass. */
  notReady(): string[] {
    const reasons = this.#steps.map(({ name, processor, connection, working }) => {
      const [oldest] = working;
      if (connection !== undefined && (!connection.connected || connection.outage.active))
        return connection.outage.describe(`${name} is not connected`);
      return processor.notReady?.() ?? standstill(`${name} has not finished a batch`, oldest?.since);
    });
    return reasons.filter((reason) => reason !== undefined);
  }

  /** Likely mistakes that messages have shown, with each processor's place. */
  remarks(): { path: Operator['path']; error: MillraceError }[] {
    return this.#steps.flatMap(({ path, processor }) =>
      (processor.remarks?.() ?? []).map((error) => ({ path, error })),
    );
  }

  async close(signal: AbortSignal): Promise<void> {
    for (const { processor, connection } of this.#steps) {
      await connection?.close();
      await processor.close?.(signal);
    }
  }

  async #run(
    first: number,
    start: () => Promise<Delivery[]> | Delivery[],
    skipFirst = false,
  ): Promise<Delivery[]> {
    const steps = this.#steps.slice(first);
    const turns = steps.map((step) => takeTurn(step));
    try {
      let current: Delivery[] | undefined;
      for (const [index, step] of steps.entries()) {
        await turns[index]?.before;
        current ??= await start();
        if (index > 0 || !skipFirst) current = await this.#apply(step, current);
        for (const { batch } of current) step.tapPoint.pass(batch);
        turns[index]?.leave();
      }
      return current ?? [];
    } finally {
      for (const turn of turns) turn?.leave();
    }
  }

  async #flush(step: Step): Promise<Delivery[]> {
    try {
      const flushed = await this.#use(step, () => step.processor.flush!());
      return flushed.filter((each) => !isRevoked(each));
    } finally {
      step.flushing = false;
    }
  }

  /** Makes a processor do something, and repeats it whenever its connection was lost. */
  async #use<T>({ connection }: Step, act: () => Promise<T> | T): Promise<T> {
    if (connection === undefined) return await act();
    return await connection.use(
      'process',
      act,
      this.#signal,
      (error) => !(error instanceof NotConnectedError),
    );
  }

  async #apply(step: Step, deliveries: readonly Delivery[]): Promise<Delivery[]> {
    const results: Delivery[] = [];
    for (const delivery of deliveries) results.push(...(await this.#applyToOne(step, delivery)));
    return results;
  }

  async #applyToOne(step: Step, delivery: Delivery): Promise<Delivery[]> {
    const { batch, receipt, entry } = delivery;
    const rejections: Rejection[] = [];
    const kept: Receipt[] = [];
    const call: ProcessCall = {
      reject: rejectInto(rejections, step.name, batch.length),
      signal: this.#signal,
      position: receipt.entries,
      keep() {
        const fork = receipt.fork();
        kept.push(fork);
        return fork;
      },
    };
    const forget = (): void => {
      rejections.length = 0;
      // The receipt of the whole batch is still open.
      for (const fork of kept.splice(0)) revoke(fork);
    };
    let results: (Batch | Delivery)[];
    const work = { since: performance.now() };
    step.working.add(work);
    try {
      results = await this.#use(step, () => {
        forget();
        return step.processor.process(batch, call);
      });
      if (!Array.isArray(results)) throw noResult(step);
    } catch (error) {
      if (this.#signal.aborted || (error instanceof MillraceError && error.fatal)) {
        receipt.failed(error);
        throw error;
      }
      results = [];
      forget();
      const wrapped =
        error instanceof MillraceError
          ? error
          : new MillraceError('MILLRACE_PROCESSOR_FAILED', `${step.type}: ${errorMessage(error)}`, {
              cause: error,
            });
      for (let index = 0; index < batch.length; index++) rejections.push({ index, error: wrapped });
    } finally {
      step.working.delete(work);
    }
    this.#deadLetters.reject(step.stage, batch, rejections, () => receipt.fork());
    const [only] = results;
    if (results.length === 1 && only instanceof Batch) return [{ batch: only, receipt, entry }];
    const deliveries = results.map((each) =>
      each instanceof Batch ? { batch: each, receipt: receipt.fork(), entry } : each,
    );
    receipt.done();
    return deliveries.filter((each) => !isRevoked(each));
  }
}

function connectionOf(
  { type, processor }: Pick<Step, 'type' | 'processor'>,
  surroundings: ConnectionSurroundings,
): KeptConnection {
  const connect =
    processor.connect &&
    ((signal: AbortSignal, lost: (error: Error) => void) => processor.connect!(signal, lost));
  return new KeptConnection({ stage: 'processor', type, backoff: processor.backoff, connect }, surroundings);
}

function noResult({ name }: Step): MillraceError {
  const message = `${name} returned no list; expected the batches that go on, or an empty list`;
  return new MillraceError(contractErrors.MILLRACE_COMPONENT_WRONG, message);
}

function isDown(connection: KeptConnection | undefined): connection is KeptConnection {
  return connection?.connected === false;
}

function takeTurn(step: Step): Turn | undefined {
  if (step.processor.ordered !== true) return undefined;
  const before = step.tail;
  const { promise, resolve } = Promise.withResolvers<void>();
  step.tail = promise;
  return { before, leave: resolve };
}

import type { DestinationCall } from '../component/context.ts';
import type { WriteCall, WriteOrder, WriteResult } from '../component/contracts.ts';
import { messagesOf, type Frames } from '../component/framing/framer.ts';
import { declareErrors, MillraceError, type Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import { plural } from '../plural.ts';

/** The code of messages that an output has named without a reason. */
export const outputErrors = declareErrors({
  MILLRACE_OUTPUT_PARTIAL: {
    help: 'The output could not take some messages of a batch for now. The engine writes them again after a pause; the others are written.',
  },
});

const NONE: readonly never[] = [];

/** The result of an attempt. */
interface Settled {
  /** By their places among the messages. */
  readonly refused: readonly Rejection[];
  /** The messages that the sink has now and did not have before. */
  readonly confirmed: Batch;
  /** Undefined when nothing is left. */
  readonly again: { readonly reason: unknown; readonly progressed: boolean } | undefined;
}

/** A batch on its way into an output: what is left of it, and how often it was given. */
export class PendingWrite {
  /** Before they were put into frames. */
  readonly messages: Batch;
  readonly #frames: Frames;
  readonly #order: WriteOrder;
  #batch: Batch;
  /** Of each frame that is left, its place among all; undefined while that is all. */
  #left: readonly number[] | undefined;
  #attempt = 0;

  constructor(messages: Batch, frames: Frames, order: WriteOrder) {
    this.messages = messages;
    this.#frames = frames;
    this.#order = order;
    this.#batch = frames.batch;
  }

  /** The frames that the output is to be given. It is the same object as long as they are the same. */
  get batch(): Batch {
    return this.#batch;
  }

  /** The arguments of the output's next attempt. */
  nextCall(call: DestinationCall): WriteCall {
    const { id, signal, keep, position, indices } = call;
    const left = this.#left;
    const at =
      left !== undefined && indices !== undefined ? left.map((index) => indices[index] ?? index) : left;
    return {
      id,
      signal,
      keep,
      position,
      attempt: ++this.#attempt,
      indices: at ?? indices,
    };
  }

  /** After an attempt that did not fail as a whole. */
  settle(result: WriteResult | undefined): Settled {
    const { refused = NONE, retry = NONE } = result ?? {};
    if (refused.length === 0 && retry.length === 0 && this.#left === undefined) return this.#whole();
    const before = this.#left;
    const length = this.#batch.length;
    const unfit = refused.flatMap((rejection) =>
      this.#messagesOf(before?.[rejection.index] ?? rejection.index).map((index) => ({
        ...rejection,
        index,
      })),
    );
    const gone = new Set(refused.map(({ index }) => index));
    const again = this.#again(
      retry.filter((index) => !gone.has(index)),
      gone,
    );
    const rest = new Set([...gone, ...again]);
    const written = Array.from({ length }, (_, index) => index).filter((index) => !rest.has(index));
    const confirmed = this.messages.select(
      written.flatMap((index) => this.#messagesOf(before?.[index] ?? index)),
    );
    if (again.length === 0) return { refused: unfit, confirmed, again: undefined };
    if (again.length < length) {
      this.#left = again.map((index) => before?.[index] ?? index);
      this.#batch = this.#frames.batch.select(this.#left);
    }
    const reason =
      result?.reason ??
      new MillraceError(
        outputErrors.MILLRACE_OUTPUT_PARTIAL,
        `${plural(again.length, 'message')} of ${length} could not be written for now`,
      );
    return { refused: unfit, confirmed, again: { reason, progressed: again.length < length } };
  }

  /**
   * The messages to write again: where messages have an order, also those that came after one of them, so that none is only before
   * its predecessor. In ascending order, without `gone`.
   */
  #again(retry: readonly number[], gone: ReadonlySet<number>): readonly number[] {
    if (retry.length === 0) return retry;
    const wanted = new Set(retry);
    if (this.#order === 'none') return [...wanted].toSorted((a, b) => a - b);
    const again: number[] = [];
    // A frame of several messages may have several keys.
    const byKey = this.#order === 'key' && this.#frames.firsts === undefined;
    const keys = new Set<string | undefined>();
    for (let index = 0; index < this.#batch.length; index++) {
      if (gone.has(index)) continue;
      const key = byKey ? this.#batch.metaAt(index, 'key') : undefined;
      if (wanted.has(index)) keys.add(key);
      if (keys.has(key)) again.push(index);
    }
    return again;
  }

  #whole(): Settled {
    const confirmed = this.messages.without(this.#frames.refusals.map(({ index }) => index));
    return { refused: NONE, confirmed, again: undefined };
  }

  #messagesOf(frame: number): number[] {
    return messagesOf(this.#frames, frame, this.messages.length);
  }
}

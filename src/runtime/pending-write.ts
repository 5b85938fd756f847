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
  /** Of each message, the place of its origin in the batch that was given. */
  readonly #sources: Uint32Array | undefined;
  /** Of each message, how many before it have the same origin. */
  #parts: readonly number[] | undefined;
  readonly #frames: Frames;
  readonly #order: WriteOrder;
  #batch: Batch;
  /** Of each frame that is left, its place among all; undefined while that is all. */
  #left: readonly number[] | undefined;
  #attempt = 0;

  /** `sources` are undefined if each message is still in its place. */
  constructor({
    messages,
    sources,
    frames,
    order,
  }: {
    readonly messages: Batch;
    readonly sources: Uint32Array | undefined;
    readonly frames: Frames;
    readonly order: WriteOrder;
  }) {
    this.messages = messages;
    this.#sources = sources;
    this.#frames = frames;
    this.#order = order;
    this.#batch = frames.batch;
  }

  /** The frames that the output is to be given. It is the same object as long as they are the same. */
  get batch(): Batch {
    return this.#batch;
  }

  /** The places of the messages that are not written, and not refused either, among those that were given. */
  get left(): readonly number[] {
    const frames = this.#left ?? Array.from({ length: this.#frames.batch.length }, (_, index) => index);
    return frames.flatMap((index) => this.#messagesOf(index));
  }

  /** Of a message, the place of its origin in the batch that was given. */
  sourceOf(message: number): number {
    return this.#sources?.[message] ?? message;
  }

  /** The arguments of the output's next attempt. */
  nextCall(call: DestinationCall): WriteCall {
    const { signal, keep, position } = call;
    return { signal, keep, position, attempt: ++this.#attempt, ...this.#namesIn(call) };
  }

  /** The names of the batch and of what is left of it. Another output may have given only a part of its own batch. */
  #namesIn({ id, indices, parts }: DestinationCall): Pick<WriteCall, 'id' | 'indices' | 'parts'> {
    const left = this.#left;
    const sources = this.#sources;
    if (this.#frames.firsts !== undefined) {
      // Of a part, other messages share a frame than of the whole: it is another batch of frames.
      return {
        id: indices === undefined ? id : `${id}/${indices.join('+')}`,
        indices: left,
        parts: undefined,
      };
    }
    if (sources === undefined) {
      const pick = <T>(list: readonly T[] | undefined): readonly T[] | undefined =>
        left === undefined ? list : list && left.map((index) => list[index]!);
      return { id, indices: indices === undefined ? left : pick(indices), parts: pick(parts) };
    }
    const places = left ?? Array.from(sources, (_, index) => index);
    this.#parts ??= partsOf(sources);
    return {
      id,
      indices: places.map((place) => indices?.[sources[place]!] ?? sources[place]!),
      parts: places.map((place) => this.#parts![place]!),
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

function partsOf(sources: Uint32Array): number[] {
  const seen = new Map<number, number>();
  return Array.from(sources, (source) => {
    const part = seen.get(source) ?? 0;
    seen.set(source, part + 1);
    return part;
  });
}

import { MillraceError, type Rejection } from '../../errors.ts';
import { Batch, type Format, type Run } from '../../message/batch.ts';
import { compress } from './compression.ts';
import type { Framing } from './framing.ts';
import type { FramingBounds } from './framing-fields.ts';

/** Messages of an output in frames. */
export interface Frames {
  /** Each payload is a frame; its metadata is that of the frame's first message. */
  readonly batch: Batch;
  /**
   * Where the first message of each frame is in the batch of messages; undefined if each message has its own frame.
   */
  readonly firsts: readonly number[] | undefined;
  /** Messages that cannot be in any frame. */
  readonly refusals: readonly Rejection[];
}

/**
 * Separates messages that may not share a frame: its value for the message at `index` then differs from its
 * neighbor's.
 */
export type Apart = (index: number) => unknown;

const LF = 10;

/** Puts the messages of an output into frames. */
export class Framer {
  readonly #framing: Framing;
  readonly #bounds: FramingBounds;

  constructor(framing: Framing, bounds: FramingBounds) {
    this.#framing = framing;
    this.#bounds = bounds;
  }

  /** The bytes that end each message in a stream; undefined if there are none. */
  get terminator(): Uint8Array | undefined {
    return this.#framing.terminator;
  }

  /** True if frames are compressed. The parts of a stream of bytes are not. */
  get compresses(): boolean {
    return this.#bounds.compression !== undefined;
  }

  /** Frames of neighboring messages that belong together, each within the bounds. */
  frames(batch: Batch, apart?: Apart): Frames {
    const { max_messages, max_frame_size } = this.#bounds;
    const { single = false, overhead } = this.#framing;
    const { messages, refusals } = this.#fitting(batch);
    if (single && refusals.length === 0) return this.#singles(batch, messages);
    const groups: { first: number; messages: Uint8Array[] }[] = [];
    let group: { first: number; messages: Uint8Array[] } | undefined;
    let size = 0;
    let key: unknown;
    for (const [index, message] of messages.entries()) {
      if (message === undefined) continue;
      const own = apart?.(index);
      const full =
        single ||
        group === undefined ||
        group.messages.length >= max_messages ||
        size + message.length + overhead > max_frame_size;
      if (full || own !== key) {
        group = { first: index, messages: [] };
        groups.push(group);
        size = 0;
        key = own;
      }
      group!.messages.push(message);
      size += message.length + overhead;
    }
    const runs = groups.map(({ first }, start): Run => this.#runOf(batch, first, start));
    const frames = groups.map((each) => this.#frame(each.messages));
    return {
      batch: new Batch(frames, { runs, format: this.#formatOf(batch.format) }),
      firsts: groups.map(({ first }) => first),
      refusals,
    };
  }

  /** All messages in the form in which they are appended to a stream of bytes. */
  stream(batch: Batch): { readonly data: Uint8Array; readonly refusals: readonly Rejection[] } {
    const { terminator, behind } = this.#framing;
    if (batch.lines !== undefined && terminator?.length === 1 && terminator[0] === LF) {
      return { data: batch.lines, refusals: [] };
    }
    const { messages, refusals } = this.#fitting(batch);
    const fit = refusals.length === 0 ? messages : messages.filter((each) => each !== undefined);
    const data = fit.length === 0 ? new Uint8Array(0) : this.#framing.join(fit as Uint8Array[]);
    return {
      data: behind === undefined || fit.length === 0 ? data : Buffer.concat([data, behind]),
      refusals,
    };
  }

  /** The payloads as they stand in frames; undefined for one that cannot. */
  #fitting({ payloads, format }: Batch): {
    messages: readonly (Uint8Array | undefined)[];
    refusals: Rejection[];
  } {
    const refusals: Rejection[] = [];
    let changed: (Uint8Array | undefined)[] | undefined;
    for (const [index, payload] of payloads.entries()) {
      const fit = this.#framing.fit(payload, format);
      if (fit === payload) continue;
      changed ??= [...payloads];
      if (fit instanceof MillraceError) {
        changed[index] = undefined;
        refusals.push({ index, error: fit });
      } else changed[index] = fit;
    }
    return { messages: changed ?? payloads, refusals };
  }

  /** Each message in a frame of its own, with its own metadata. */
  #singles(batch: Batch, messages: readonly (Uint8Array | undefined)[]): Frames {
    const { compression } = this.#bounds;
    if (compression === undefined) return { batch, firsts: undefined, refusals: [] };
    const runs = batch.runs.map((run): Run => ({ ...run, messageType: 'binary' }));
    const frames = messages.map((message) => compress(compression, message!));
    return { batch: new Batch(frames, { runs, format: 'bytes' }), firsts: undefined, refusals: [] };
  }

  #runOf(batch: Batch, index: number, start: number): Run {
    const run = batch.runAt(index);
    const { origin, time } = run;
    const binary = this.#framing.binary || this.#bounds.compression !== undefined;
    // Frames of other framings mix messages that came as text and as binary: the bytes tell which they are.
    return { start, origin, time, ...(binary && { messageType: 'binary' }) };
  }

  #frame(messages: readonly Uint8Array[]): Uint8Array {
    const { compression } = this.#bounds;
    const frame = this.#framing.join(messages);
    return compression === undefined ? frame : compress(compression, frame);
  }

  #formatOf(format: Format): Format {
    const { binary, json } = this.#framing;
    if (binary || this.#bounds.compression !== undefined) return 'bytes';
    if (json === true) return 'json';
    return format === 'bytes' ? 'bytes' : 'text';
  }
}

/** As `Framer.frames`; without a framer, each message is a frame. */
export function framesOf(framer: Framer | undefined, batch: Batch, apart?: Apart): Frames {
  return framer === undefined ? { batch, firsts: undefined, refusals: [] } : framer.frames(batch, apart);
}

/**
 * The messages of the frame at `frame`, which an output could not take; `length` is that of the batch of messages.
 */
export function messagesOf({ firsts, batch, refusals }: Frames, frame: number, length: number): number[] {
  if (firsts === undefined) return [frame];
  const end = frame + 1 < batch.length ? firsts[frame + 1]! : length;
  const refused = new Set(refusals.map(({ index }) => index));
  const indices: number[] = [];
  for (let index = firsts[frame]!; index < end; index++) if (!refused.has(index)) indices.push(index);
  return indices;
}

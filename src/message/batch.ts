import type { MillraceError, Rejection } from '../errors.ts';
import { noAck, type Ack } from './ack.ts';

/**
 * What is known of a batch's payloads:
 * - `bytes`: nothing; they are as received
 * - `text`: each is valid UTF-8
 * - `json`: each is exactly one JSON value (RFC 8259), in UTF-8
 */
export type Format = 'bytes' | 'text' | 'json';

/** Where messages come from: one object for each session, shared by all its messages. */
export interface Origin {
  /** `__meta_source`: the endpoint, with secrets masked. */
  readonly source: string;
  /** The part of `__meta_ext` that is the same for every message of the session. */
  readonly ext: Readonly<Record<string, string>>;
  /** Bytes of memory that it holds for few messages, which a budget counts with each run: none where it is a whole session's. */
  readonly size?: number | undefined;
  /** Told of a message that was rejected for good, by its number in the session, before the batch is confirmed. */
  readonly rejected?: ((sequence: number, error: MillraceError) => void) | undefined;
  /** Why a message was rejected that is about to be confirmed. */
  readonly rejection?: ((sequence: number) => MillraceError | undefined) | undefined;
}

/** Keys by which an input knows messages that come again. They are remembered with the messages that brought them. */
export interface Keys {
  /** Whose keys they are: inputs of one stream don't share theirs. */
  readonly space: string;
  /** Each begins with its owner, as `ownerOf` reads it. */
  readonly keys: readonly string[];
  /** Until when, in milliseconds since the epoch. */
  readonly expires: number;
  /** How many of the space are remembered; the oldest of who has most are forgotten first. */
  readonly max: number;
}

/** What an input hands over with a batch, for the engine. */
export interface Intake {
  /** When its ack is to fire, in a stream with a log: `stored` is as soon as the log has it, which is the default. */
  readonly when?: 'stored' | 'delivered' | undefined;
  readonly keys?: Keys | undefined;
  /** Messages that came with it and that its codec has rejected; `batch` holds all that the codec was given. */
  readonly rejected?: { readonly batch: Batch; readonly rejections: readonly Rejection[] } | undefined;
}

/**
 * A run of neighbouring messages with one origin and one time of arrival. Metadata is kept by runs, so that a busy
 * socket costs nothing per message.
 */
export interface Run {
  /** Index of the run's first message in its batch. */
  readonly start: number;
  readonly origin: Origin;
  /** `__meta_ingest_time`: microseconds since the epoch, UTC. */
  readonly time: number;
  /** The first message's number in its session; each next one is one higher. */
  readonly sequence?: number | undefined;
  readonly messageType?: 'text' | 'binary' | undefined;
}

/** One message's metadata, as processors and outputs see it. */
export interface Metadata {
  readonly source: string;
  /** Microseconds since the epoch, UTC. */
  readonly ingestTime: number;
  readonly ext: Record<string, string>;
}

const NEWLINE = 10;
const unknownOrigin: Origin = { source: '', ext: {} };

/** Payloads in one piece: `length` of them, each ended by a line feed and none with one inside. */
export interface JsonLines {
  readonly data: Uint8Array;
  readonly length: number;
}

/** Messages that travel together: their payloads, their metadata in runs, and one ack for all. */
export class Batch {
  readonly format: Format;
  readonly runs: readonly Run[];
  readonly ack: Ack;
  readonly intake: Intake | undefined;
  readonly length: number;
  #payloads: readonly Uint8Array[] | undefined;
  readonly #sent: readonly Uint8Array[] | undefined;
  readonly #lines: JsonLines | undefined;
  #bytes: number | undefined;

  constructor(
    content: readonly Uint8Array[] | JsonLines,
    options: {
      runs?: readonly Run[];
      format?: Format;
      ack?: Ack;
      intake?: Intake | undefined;
      /** What each message was as its sender sent it, where that is known and is something else. */
      sent?: readonly Uint8Array[] | undefined;
    } = {},
  ) {
    if ('data' in content) this.#lines = content;
    else this.#payloads = content;
    this.length = content.length;
    this.runs = options.runs ?? [{ start: 0, origin: unknownOrigin, time: nowMicros() }];
    this.format = options.format ?? 'bytes';
    this.ack = options.ack ?? noAck;
    this.intake = options.intake;
    this.#sent = options.sent;
  }

  get payloads(): readonly Uint8Array[] {
    this.#payloads ??= splitLines(this.#lines!.data);
    return this.#payloads;
  }

  /** Each message as its sender sent it; the payloads where they are that, or where a row came of many messages. */
  get sent(): readonly Uint8Array[] {
    return this.#sent ?? this.payloads;
  }

  /** Sum of the payloads' lengths. */
  get bytes(): number {
    if (this.#lines !== undefined) return this.#lines.data.length - this.length;
    if (this.#bytes === undefined) {
      let sum = 0;
      for (const payload of this.payloads) sum += payload.length;
      this.#bytes = sum;
    }
    return this.#bytes;
  }

  /** What a budget counts: the payloads, and what their origins hold. */
  get held(): number {
    let sum = this.bytes;
    for (const { origin } of this.runs) sum += origin.size ?? 0;
    return sum;
  }

  /** The batch as lines, each ended by a line feed, if that is what it was made of. */
  get lines(): Uint8Array | undefined {
    return this.#lines?.data;
  }

  /** The same messages with another ack. */
  withAck(ack: Ack): Batch {
    const { runs, format, intake } = this;
    return new Batch(this.#lines ?? this.payloads, { runs, format, ack, intake, sent: this.#sent });
  }

  /** The same messages, with more for the engine to know. */
  withIntake(more: Intake): Batch {
    const { runs, format, ack, intake } = this;
    const options = { runs, format, ack, intake: { ...intake, ...more }, sent: this.#sent };
    return new Batch(this.#lines ?? this.payloads, options);
  }

  /** The same messages (same number, same order) with other payloads or another format; the ack stays. */
  withPayloads(payloads: readonly Uint8Array[], format: Format): Batch {
    const { runs, ack, intake } = this;
    const sent = this.#sent ?? (payloads === this.#payloads ? undefined : this.payloads);
    return new Batch(payloads, { runs, format, ack, intake, sent });
  }

  withFormat(format: Format): Batch {
    return format === this.format ? this : this.withPayloads(this.payloads, format);
  }

  /** The messages at `indices` (ascending). The ack stays the whole batch's. */
  select(indices: readonly number[]): Batch {
    const payloads: Uint8Array[] = [];
    const sent: Uint8Array[] | undefined = this.#sent && [];
    const runs: Run[] = [];
    let at = 0;
    let previous = -2;
    for (const index of indices) {
      const before = at;
      while (at + 1 < this.runs.length && this.runs[at + 1]!.start <= index) at++;
      const run = this.runs[at]!;
      const contiguous = index === previous + 1 || run.sequence === undefined;
      if (runs.length === 0 || at !== before || !contiguous) {
        const sequence = run.sequence === undefined ? undefined : run.sequence + index - run.start;
        runs.push({ ...run, start: payloads.length, sequence });
      }
      payloads.push(this.payloads[index]!);
      sent?.push(this.#sent![index]!);
      previous = index;
    }
    const { format, ack, intake } = this;
    return new Batch(payloads, { runs, format, ack, intake, sent });
  }

  /** All messages but those at `indices` (ascending). */
  without(indices: readonly number[]): Batch {
    if (indices.length === 0) return this;
    const keep: number[] = [];
    let next = 0;
    for (let index = 0; index < this.length; index++) {
      if (indices[next] === index) next++;
      else keep.push(index);
    }
    return this.select(keep);
  }

  /** The run that the message at `index` belongs to. */
  runAt(index: number): Run {
    let low = 0;
    let high = this.runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.runs[middle]!.start <= index) low = middle;
      else high = middle - 1;
    }
    return this.runs[low]!;
  }

  metadata(index: number): Metadata {
    const run = this.runAt(index);
    const ext = { ...run.origin.ext };
    if (run.messageType !== undefined) ext['message_type'] = run.messageType;
    if (run.sequence !== undefined) ext['sequence'] = String(run.sequence + index - run.start);
    return { source: run.origin.source, ingestTime: run.time, ext };
  }
}

/** One batch of all messages in order; its ack settles all of theirs. All formats must be the same, or it is bytes. */
export function concatBatches(batches: readonly Batch[], ack: Ack): Batch {
  const payloads: Uint8Array[] = [];
  const runs: Run[] = [];
  let format = batches[0]?.format ?? 'bytes';
  for (const batch of batches) {
    if (batch.format !== format) format = 'bytes';
    for (const run of batch.runs) runs.push({ ...run, start: payloads.length + run.start });
    for (const payload of batch.payloads) payloads.push(payload);
  }
  const changed = batches.some((batch) => batch.sent !== batch.payloads);
  const sent = changed ? batches.flatMap((batch) => batch.sent) : undefined;
  return new Batch(payloads, { runs, format, ack, sent });
}

/** Microseconds since the epoch, UTC; follows the system clock, and is finer than its milliseconds between steps. */
export function nowMicros(): number {
  const fine = performance.now() + clockOffset;
  const coarse = Date.now();
  if (fine < coarse || fine >= coarse + 2) {
    clockOffset = coarse - performance.now();
    return coarse * 1000;
  }
  return Math.floor(fine * 1000);
}
let clockOffset = Date.now() - performance.now();

function splitLines(lines: Uint8Array): Uint8Array[] {
  const payloads: Uint8Array[] = [];
  for (let start = 0; start < lines.length;) {
    const found = lines.indexOf(NEWLINE, start);
    const end = found < 0 ? lines.length : found;
    payloads.push(lines.subarray(start, end));
    start = end + 1;
  }
  return payloads;
}

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
  /**
   * The place of the first message in the delivery that it came with; each next one is one higher. Undefined for what was
   * made of several, of which none can be named.
   */
  readonly position?: number | undefined;
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

/** Messages that travel together: their payloads, and their metadata in runs. */
export class Batch {
  readonly format: Format;
  readonly runs: readonly Run[];
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
      /** What each message was as its sender sent it, where that is known and is something else. */
      sent?: readonly Uint8Array[] | undefined;
    } = {},
  ) {
    if ('data' in content) this.#lines = content;
    else this.#payloads = content;
    this.length = content.length;
    this.runs = options.runs ?? [{ start: 0, origin: unknownOrigin, time: nowMicros() }];
    this.format = options.format ?? 'bytes';
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

  /** The same messages (same number, same order) with other payloads or another format. */
  withPayloads(payloads: readonly Uint8Array[], format: Format): Batch {
    const { runs } = this;
    const sent = this.#sent ?? (payloads === this.#payloads ? undefined : this.payloads);
    return new Batch(payloads, { runs, format, sent });
  }

  withFormat(format: Format): Batch {
    return format === this.format ? this : this.withPayloads(this.payloads, format);
  }

  /** The same messages, each with its place here as its position. */
  withPositions(): Batch {
    if (this.runs.every(({ position, start }) => position === start)) return this;
    const runs = this.runs.map((run) => ({ ...run, position: run.start }));
    return new Batch(this.#lines ?? this.payloads, { runs, format: this.format, sent: this.#sent });
  }

  /** The messages at `indices` (ascending). */
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
      const contiguous = index === previous + 1 || (run.sequence === undefined && run.position === undefined);
      if (runs.length === 0 || at !== before || !contiguous) runs.push(runFrom(run, index, payloads.length));
      payloads.push(this.payloads[index]!);
      sent?.push(this.#sent![index]!);
      previous = index;
    }
    return new Batch(payloads, { runs, format: this.format, sent });
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

  /** The place of the message at `index` in the delivery that it came with, where it has one. */
  positionAt(index: number): number | undefined {
    const { position, start } = this.runAt(index);
    return position === undefined ? undefined : position + index - start;
  }

  metadata(index: number): Metadata {
    const run = this.runAt(index);
    const ext = { ...run.origin.ext };
    if (run.messageType !== undefined) ext['message_type'] = run.messageType;
    if (run.sequence !== undefined) ext['sequence'] = String(run.sequence + index - run.start);
    return { source: run.origin.source, ingestTime: run.time, ext };
  }
}

/** The part of a run that begins at `index` of its batch, as the run that begins at `start` of another. */
export function runFrom(run: Run, index: number, start: number): Run {
  const offset = index - run.start;
  const sequence = run.sequence === undefined ? undefined : run.sequence + offset;
  const position = run.position === undefined ? undefined : run.position + offset;
  return { ...run, start, sequence, position };
}

/** One batch of all messages in order, with new positions. All formats must be the same, or it is bytes. */
export function concatBatches(batches: readonly Batch[]): Batch {
  const payloads: Uint8Array[] = [];
  const runs: Run[] = [];
  let format = batches[0]?.format ?? 'bytes';
  for (const batch of batches) {
    if (batch.format !== format) format = 'bytes';
    for (const run of batch.runs) {
      const start = payloads.length + run.start;
      runs.push({ ...run, start, position: start });
    }
    for (const payload of batch.payloads) payloads.push(payload);
  }
  const changed = batches.some((batch) => batch.sent !== batch.payloads);
  const sent = changed ? batches.flatMap((batch) => batch.sent) : undefined;
  return new Batch(payloads, { runs, format, sent });
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

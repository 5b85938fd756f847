import { bytesOfRows, concatRows, selectRows, type Rows } from './rows.ts';
import { rowsToLines } from './rows-json.ts';
import {
  extEntry,
  extName,
  heldByColumns,
  joinColumns,
  NO_COLUMNS,
  selectColumns,
  valueIn,
  type Ext,
  type ExtValue,
  type MetaColumn,
  type MetaColumns,
  type MetaName,
  type MetaValueOf,
} from './metadata.ts';

/**
 * The guarantee for a batch's payloads:
 * - `bytes`: none; they are as received
 * - `text`: each is valid UTF-8
 * - `json`: each is exactly one JSON value (RFC 8259), in UTF-8
 */
export type Format = 'bytes' | 'text' | 'json';

/** Where messages come from: one object for each session, shared by all its messages. */
export interface Origin {
  /** `__meta_source`: the endpoint, with secrets masked. */
  readonly source: string;
  /** The part of `__meta_ext` that is the same for every message of the session. */
  readonly ext: Ext;
  /**
   * Bytes of memory that it holds for few messages. A budget counts them with each run. Undefined if the object serves
   * a whole session.
   */
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
  /**
   * The first message's number in its session. Later messages have higher numbers, by their distance: see
   * `Batch.sequenceAt`.
   */
  readonly sequence?: number | undefined;
  readonly messageType?: 'text' | 'binary' | undefined;
}

/** One message's metadata, as processors and outputs see it. */
export interface Metadata {
  readonly source: string;
  /** Microseconds since the epoch, UTC. */
  readonly ingestTime: number;
  readonly ext: Record<string, ExtValue>;
  readonly key?: string | undefined;
  readonly partition?: number | undefined;
  readonly offset?: bigint | undefined;
  /** Microseconds since the epoch, UTC. */
  readonly eventTime?: number | undefined;
}

const NEWLINE = 10;
const unknownOrigin: Origin = { source: '', ext: {} };

/** `length` payloads in one piece, each ended by a line feed and none with one inside. */
export interface JsonLines {
  readonly data: Uint8Array;
  readonly length: number;
}

interface BatchOptions {
  readonly runs?: readonly Run[];
  /** The metadata of each message, besides its run. */
  readonly columns?: MetaColumns;
  readonly format?: Format;
  /** Each message as its sender sent it, if that is known and differs. */
  readonly sent?: Sent | undefined;
  /** The place of each message in its delivery: its own index, or as listed. Undefined if no place can be named. */
  readonly positions?: Positions;
  /** The index of each message in the batch for which its run was made, if it differs. */
  readonly places?: Uint32Array | undefined;
}

/** The messages as sent, or the messages of another batch whose sent form this is: for rows it is made on demand. */
type Sent = readonly Uint8Array[] | { readonly of: Batch; readonly at: readonly number[] };

export type Positions = 'own' | Uint32Array | undefined;

/** The place of the message at `index` in its delivery. */
export function positionIn(positions: Positions, index: number): number | undefined {
  return positions === 'own' ? index : positions?.[index];
}

/** The content of a batch: payloads, lines, or typed rows. */
export type Content = readonly Uint8Array[] | JsonLines | Rows;

/**
 * Messages that travel together: their content, and their metadata in runs and columns. The content keeps its original
 * form until someone asks for another; then it is converted, once.
 */
export class Batch {
  readonly format: Format;
  readonly runs: readonly Run[];
  readonly columns: MetaColumns;
  readonly length: number;
  #payloads: readonly Uint8Array[] | undefined;
  #sent: Sent | undefined;
  readonly #rows: Rows | undefined;
  #lines: JsonLines | undefined;
  readonly #positions: Positions;
  readonly #places: Uint32Array | undefined;
  #bytes: number | undefined;

  constructor(content: Content, options: BatchOptions = {}) {
    if ('data' in content) this.#lines = content;
    else if ('columns' in content) this.#rows = content;
    else this.#payloads = content;
    this.length = content.length;
    this.runs = options.runs ?? [{ start: 0, origin: unknownOrigin, time: nowMicros() }];
    this.columns = options.columns ?? NO_COLUMNS;
    this.format = options.format ?? (this.#rows === undefined ? 'bytes' : 'json');
    this.#sent = options.sent;
    this.#positions = options.positions;
    this.#places = options.places;
  }

  get payloads(): readonly Uint8Array[] {
    this.#payloads ??= splitLines(this.lines!);
    return this.#payloads;
  }

  /**
   * Each message as its sender sent it. These are the payloads if nothing changed them, or if a row came from many
   * messages.
   */
  get sent(): readonly Uint8Array[] {
    const sent = this.#sent;
    if (sent === undefined) return this.payloads;
    if (!('of' in sent)) return sent;
    const all = sent.of.sent;
    return (this.#sent = sent.at.map((index) => all[index]!));
  }

  /** The messages at `indices` as sent, if that differs from their present form. */
  #sentAt(indices: readonly number[]): Sent | undefined {
    const sent = this.#sent;
    if (sent === undefined) return undefined;
    if ('of' in sent) return { of: sent.of, at: indices.map((index) => sent.at[index]!) };
    return indices.map((index) => sent[index]!);
  }

  /** The sum of the payloads' lengths. For rows whose payloads nobody has asked for, the memory of their values. */
  get bytes(): number {
    if (this.#lines !== undefined) return this.#lines.data.length - this.length;
    if (this.#rows !== undefined) return bytesOfRows(this.#rows);
    if (this.#bytes === undefined) {
      let sum = 0;
      for (const payload of this.payloads) sum += payload.length;
      this.#bytes = sum;
    }
    return this.#bytes;
  }

  /** The bytes that a budget counts: the payloads, and the memory of their metadata. */
  get held(): number {
    let sum = this.bytes + heldByColumns(this.columns);
    for (const { origin } of this.runs) sum += origin.size ?? 0;
    return sum;
  }

  /** The batch as lines, each ended by a line feed, if it was made of lines or of rows. */
  get lines(): Uint8Array | undefined {
    const rows = this.#rows;
    if (rows !== undefined) this.#lines ??= { data: rowsToLines(rows), length: this.length };
    return this.#lines?.data;
  }

  /** The messages as typed rows, if the batch was made of rows. As payloads, each row is a JSON object. */
  get rows(): Rows | undefined {
    return this.#rows;
  }

  /** Everything in a batch besides its content. */
  get parts(): BatchOptions {
    const { runs, columns, format } = this;
    const [sent, positions, places] = [this.#sent, this.#positions, this.#places];
    return { runs, columns, format, sent, positions, places };
  }

  #with(changes: BatchOptions): Batch {
    return new Batch(this.#rows ?? this.#lines ?? this.payloads, { ...this.parts, ...changes });
  }

  /** The same messages (same number, same order) with other payloads or another format. */
  withPayloads(payloads: readonly Uint8Array[], format: Format): Batch {
    const sent = this.#sent ?? (payloads === this.#payloads ? undefined : this.payloads);
    return new Batch(payloads, { ...this.parts, format, sent });
  }

  withFormat(format: Format): Batch {
    return format === this.format ? this : this.withPayloads(this.payloads, format);
  }

  /**
   * The same messages with other values in a metadata column, or without it. @throws RangeError for a column of another
   * length
   */
  withMeta<N extends MetaName>(name: N, column: MetaColumn<N> | undefined): Batch {
    if (column !== undefined && column.length !== this.length) {
      throw new RangeError(`a column of ${column.length} values for ${this.length} messages`);
    }
    const columns = new Map(this.columns);
    if (column === undefined) columns.delete(name);
    else columns.set(name, column);
    return this.#with({ columns });
  }

  /** The same messages with other runs. */
  withRuns(runs: readonly Run[]): Batch {
    return this.#with({ runs });
  }

  /** The same messages with other positions: `own` for a delivery of their own. */
  withPositions(positions: Positions): Batch {
    return this.#positions === positions ? this : this.#with({ positions });
  }

  /** The messages at `indices`, in that order; indices may repeat. */
  select(indices: readonly number[]): Batch {
    return new Batch(this.contentAt(indices), { ...this.#partsAt(indices), sent: this.#sentAt(indices) });
  }

  /** The content of the messages at `indices`, in that order. */
  contentAt(indices: readonly number[]): Content {
    if (this.#rows !== undefined) return selectRows(this.#rows, indices);
    const { payloads } = this;
    return indices.map((index) => payloads[index]!);
  }

  /** The messages from `start` up to and not including `end`. */
  slice(start: number, end: number): Batch {
    if (start === 0 && end === this.length) return this;
    return this.select(Array.from({ length: end - start }, (_, offset) => start + offset));
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

  /**
   * Repeats the message at each index as often as `counts` says, for code that makes several messages, or none, of one.
   * All copies take its metadata, its position and its sent form. `withPayloads` then sets their content.
   */
  expand(counts: readonly number[]): Batch {
    if (counts.length !== this.length) {
      throw new RangeError(`${counts.length} counts for ${this.length} messages`);
    }
    if (counts.every((count) => count === 1)) return this;
    const sources: number[] = [];
    for (const [index, count] of counts.entries()) {
      for (let each = 0; each < count; each++) sources.push(index);
    }
    return this.select(sources);
  }

  /**
   * Other messages, each made of the one at its place in `sources`, with its metadata, position and sent form. With
   * `runs`, those are their metadata instead.
   */
  derive(sources: readonly number[], content: Content, format: Format, runs?: readonly Run[]): Batch {
    const payloads = this.#rows === undefined ? this.payloads : undefined;
    const sent = payloads ? sources.map((index) => payloads[index]!) : { of: this, at: sources };
    const metadata = runs && { runs, columns: NO_COLUMNS, places: undefined };
    return new Batch(content, {
      ...this.#partsAt(sources),
      ...metadata,
      format,
      sent: this.#sentAt(sources) ?? sent,
    });
  }

  /** Everything about the messages at `indices` besides their content and sent form. */
  #partsAt(indices: readonly number[]): BatchOptions {
    const runs: Run[] = [];
    let at = 0;
    let last = -1;
    for (const [start, index] of indices.entries()) {
      if (index < this.runs[at]!.start || index >= this.#endOf(at)) at = this.#runIndex(index);
      if (at === last) continue;
      last = at;
      const run = this.runs[at]!;
      runs.push({ ...run, start, sequence: this.sequenceAt(index, run) });
    }
    const places = runs.some(({ sequence }) => sequence !== undefined)
      ? pick(this.#places, indices)
      : undefined;
    const listed = this.#positions === 'own' ? undefined : this.#positions;
    let positions: Positions = this.#positions;
    // Most often the two are the same object.
    if (positions !== undefined)
      positions = places !== undefined && listed === this.#places ? places : pick(listed, indices);
    const columns = selectColumns(this.columns, indices);
    return { runs, columns, format: this.format, positions, places };
  }

  #endOf(run: number): number {
    return this.runs[run + 1]?.start ?? this.length;
  }

  #runIndex(index: number): number {
    return runIndexOf(this.runs, index);
  }

  /** The run of the message at `index`. */
  runAt(index: number): Run {
    return this.runs[this.#runIndex(index)]!;
  }

  /** The number of a message in its session, or undefined. `run` is its run. */
  sequenceAt(index: number, run: Run = this.runAt(index)): number | undefined {
    const { sequence, start } = run;
    if (sequence === undefined) return undefined;
    const places = this.#places;
    return sequence + (places === undefined ? index - start : places[index]! - places[start]!);
  }

  /** The place of the message at `index` in its delivery; undefined if no place can be named. */
  positionAt(index: number): number | undefined {
    return positionIn(this.#positions, index);
  }

  /** The value of the message at `index` in a metadata column. */
  metaAt<N extends MetaName>(index: number, name: N): MetaValueOf<N> | undefined {
    return valueIn(this.columns.get(name), index) as MetaValueOf<N> | undefined;
  }

  /** An entry in the `__meta_ext` of the message at `index`, whose run is `run`. */
  extAt(index: number, entry: string, run: Run = this.runAt(index)): ExtValue | undefined {
    const own = this.columns.size === 0 ? undefined : this.metaAt(index, extName(entry));
    if (own !== undefined) return own as ExtValue;
    if (entry === 'message_type' && run.messageType !== undefined) return run.messageType;
    if (entry === 'sequence' && run.sequence !== undefined) return String(this.sequenceAt(index, run));
    return Object.hasOwn(run.origin.ext, entry) ? run.origin.ext[entry] : undefined;
  }

  metadata(index: number): Metadata {
    const run = this.runAt(index);
    const { source, ext: shared } = run.origin;
    const ext: Record<string, ExtValue> = { ...shared };
    if (run.messageType !== undefined) ext['message_type'] = run.messageType;
    if (run.sequence !== undefined) ext['sequence'] = String(this.sequenceAt(index, run));
    if (this.columns.size === 0) return { source, ingestTime: run.time, ext };
    const own: [string, ExtValue][] = [];
    for (const [name, column] of this.columns) {
      const entry = extEntry(name);
      const value = entry === undefined ? undefined : valueIn(column, index);
      if (value !== undefined) own.push([entry!, value as ExtValue]);
    }
    return {
      source,
      ingestTime: run.time,
      ext: own.length === 0 ? ext : Object.fromEntries([...Object.entries(ext), ...own]),
      key: this.metaAt(index, 'key'),
      partition: this.metaAt(index, 'partition'),
      offset: this.metaAt(index, 'offset'),
      eventTime: this.metaAt(index, 'event_time'),
    };
  }
}

/**
 * The index of the run, or of another part of a batch, that the message at `index` belongs to: the last that begins
 * there or before.
 */
export function runIndexOf(runs: readonly { readonly start: number }[], index: number): number {
  let low = 0;
  let high = runs.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (runs[middle]!.start <= index) low = middle;
    else high = middle - 1;
  }
  return low;
}

function pick(from: Uint32Array | undefined, indices: readonly number[]): Uint32Array {
  const picked = Uint32Array.from(indices);
  if (from !== undefined) for (let at = 0; at < picked.length; at++) picked[at] = from[picked[at]!]!;
  return picked;
}

/**
 * One batch of all messages in order, as a delivery of its own with new positions. If the formats differ, the result
 * has the format `bytes`.
 */
export function concatBatches(batches: readonly Batch[]): Batch {
  const runs: Run[] = [];
  let length = 0;
  let format = batches[0]?.format ?? 'bytes';
  for (const batch of batches) {
    if (batch.format !== format) format = 'bytes';
    for (const run of batch.runs) runs.push({ ...run, start: length + run.start });
    length += batch.length;
  }
  const changed = batches.some((batch) => batch.parts.sent !== undefined);
  const sent = changed ? batches.flatMap((batch) => batch.sent) : undefined;
  const places = joinPlaces(batches, length);
  return new Batch(contentOf(batches), {
    runs,
    columns: joinColumns(batches),
    format,
    sent,
    positions: 'own',
    places,
  });
}

/** Rows stay rows if all batches are rows with the same columns. */
function contentOf(batches: readonly Batch[]): Content {
  const rows = batches.map((batch) => batch.rows);
  const joined = rows.every((each) => each !== undefined) ? concatRows(rows) : undefined;
  if (joined !== undefined) return joined;
  const payloads: Uint8Array[] = [];
  for (const batch of batches) for (const payload of batch.payloads) payloads.push(payload);
  return payloads;
}

function joinPlaces(batches: readonly Batch[], length: number): Uint32Array | undefined {
  const all = batches.map((batch) => batch.parts.places);
  if (all.every((places) => places === undefined)) return undefined;
  const joined = new Uint32Array(length);
  let start = 0;
  for (const [at, batch] of batches.entries()) {
    const places = all[at];
    if (places !== undefined) joined.set(places, start);
    else for (let index = 0; index < batch.length; index++) joined[start + index] = index;
    start += batch.length;
  }
  return joined;
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

import type { Batch, Run } from '../message/batch.ts';
import { Growing } from '../message/growing.ts';
import { extEntry, metaText, NO_OFFSET, type Ext, type ExtValue } from '../message/metadata.ts';
import type { StructField, Values } from '../message/rows.ts';

// Metadata as columns of the table that a query reads: made by run where the messages of a run share it.

type Make = (batch: Batch) => Values;

const COLUMNS: readonly (StructField & { readonly make: Make })[] = [
  { name: '__meta_source', type: { kind: 'varchar' }, make: sources },
  { name: '__meta_ingest_time', type: { kind: 'timestamp_tz' }, make: ingestTimes },
  { name: '__meta_key', type: { kind: 'varchar' }, make: keys },
  {
    name: '__meta_partition',
    type: { kind: 'bigint' },
    make: (batch) => integers(batch, batch.columns.get('partition')),
  },
  { name: '__meta_offset', type: { kind: 'bigint' }, make: offsets },
  {
    name: '__meta_event_time',
    type: { kind: 'timestamp_tz' },
    make: (batch) => integers(batch, batch.columns.get('event_time')),
  },
  {
    name: '__meta_ext',
    type: { kind: 'map', key: { kind: 'varchar' }, value: { kind: 'varchar' } },
    make: exts,
  },
];

/** The metadata columns. Their names are folded. */
export const metadataFields: readonly StructField[] = COLUMNS.map(({ name, type }) => ({ name, type }));

/** The values of the metadata column of that name for each message. */
export function metadataValues(batch: Batch, name: string): Values {
  return COLUMNS.find((column) => column.name === name)!.make(batch);
}

function endOf(batch: Batch, run: number): number {
  return batch.runs[run + 1]?.start ?? batch.length;
}

function sources(batch: Batch): Values {
  const ends = new Uint32Array(batch.length + 1);
  const data = new Growing(batch.length * 32);
  for (const [at, { start, origin }] of batch.runs.entries()) {
    const text = Buffer.from(origin.source);
    const count = endOf(batch, at) - start;
    const from = data.more(text.length * count);
    if (text.length > 0) Buffer.from(data.bytes.buffer).fill(text, from, data.length);
    for (let index = 1; index <= count; index++) ends[start + index] = from + index * text.length;
  }
  return { storage: 'bytes', valid: undefined, offsets: ends, data: data.written };
}

function ingestTimes(batch: Batch): Values {
  const times = new BigInt64Array(batch.length);
  for (const [at, { start, time }] of batch.runs.entries()) times.fill(BigInt(time), start, endOf(batch, at));
  return { storage: 'fixed', valid: undefined, width: 8, data: new Uint8Array(times.buffer) };
}

function keys(batch: Batch): Values {
  const column = batch.columns.get('key') as readonly (string | undefined)[] | undefined;
  const ends = new Uint32Array(batch.length + 1);
  if (column === undefined)
    return { storage: 'bytes', valid: new Uint8Array(batch.length), offsets: ends, data: new Uint8Array() };
  const valid = new Uint8Array(batch.length);
  const data = new Growing(batch.length * 16);
  for (let index = 0; index < batch.length; index++) {
    const key = column[index];
    if (key !== undefined) {
      valid[index] = 1;
      data.add(Buffer.from(key));
    }
    ends[index + 1] = data.length;
  }
  return { storage: 'bytes', valid, offsets: ends, data: data.written };
}

/** Whole numbers of a column in which NaN is none. */
function integers(batch: Batch, column: ArrayLike<unknown> | undefined): Values {
  const values = new BigInt64Array(batch.length);
  const valid = new Uint8Array(batch.length);
  for (let index = 0; index < batch.length; index++) {
    const value = Number(column?.[index]);
    if (Number.isNaN(value)) continue;
    valid[index] = 1;
    values[index] = BigInt(Math.trunc(value));
  }
  return { storage: 'fixed', valid, width: 8, data: new Uint8Array(values.buffer) };
}

function offsets(batch: Batch): Values {
  const column = batch.columns.get('offset') as BigInt64Array | undefined;
  const values = column?.slice() ?? new BigInt64Array(batch.length);
  const valid = new Uint8Array(batch.length);
  if (column !== undefined)
    for (let index = 0; index < batch.length; index++) if (values[index] !== NO_OFFSET) valid[index] = 1;
  return { storage: 'fixed', valid, width: 8, data: new Uint8Array(values.buffer) };
}

/** Each entry as its name and its text: the text of a list is its JSON. */
function exts(batch: Batch): Values {
  const maps = new Maps(batch.length);
  const isByMessage = [...batch.columns.keys()].some((name) => extEntry(name) !== undefined);
  for (const [at, run] of batch.runs.entries()) {
    const end = endOf(batch, at);
    if (isByMessage)
      for (let index = run.start; index < end; index++) maps.add(entriesOf(batch.metadata(index).ext));
    else addRun(maps, batch, run, end);
  }
  return maps.values();
}

function addRun(maps: Maps, batch: Batch, run: Run, end: number): void {
  const { origin, messageType, sequence } = run;
  const ext: Record<string, ExtValue> = { ...origin.ext };
  if (messageType !== undefined) ext['message_type'] = messageType;
  // It is the message’s own, whatever its session has.
  if (sequence !== undefined) delete ext['sequence'];
  const shared = entriesOf(ext);
  if (sequence === undefined) {
    for (let index = run.start; index < end; index++) maps.add(shared);
    return;
  }
  for (let index = run.start; index < end; index++)
    maps.add(shared, SEQUENCE, String(batch.sequenceAt(index, run)));
}
const SEQUENCE = Buffer.from('sequence');

interface Entries {
  readonly names: readonly Uint8Array[];
  readonly texts: readonly Uint8Array[];
}

function entriesOf(ext: Ext): Entries {
  return {
    names: Object.keys(ext).map((name) => Buffer.from(name)),
    texts: Object.values(ext).map((value) => Buffer.from(metaText(value))),
  };
}

/** Maps of texts in the making. */
class Maps {
  readonly #offsets: Growing;
  readonly #names = new Texts();
  readonly #texts = new Texts();

  constructor(length: number) {
    this.#offsets = new Growing((length + 1) * 4);
    this.#offsets.addU32(0);
  }

  /** Adds a map of these entries and, if it is given, one more, of ASCII text. */
  add({ names, texts }: Entries, more?: Uint8Array, ascii = ''): void {
    for (let index = 0; index < names.length; index++) {
      this.#names.add(names[index]!);
      this.#texts.add(texts[index]!);
    }
    if (more !== undefined) {
      this.#names.add(more);
      this.#texts.addAscii(ascii);
    }
    this.#offsets.addU32(this.#names.count);
  }

  values(): Values {
    const items = [this.#names.values(), this.#texts.values()];
    return { storage: 'list', valid: undefined, offsets: this.#offsets.numbers, items };
  }
}

class Texts {
  readonly #data = new Growing(4096);
  readonly #offsets = new Growing(1024);
  count = 0;

  constructor() {
    this.#offsets.addU32(0);
  }

  add(text: Uint8Array): void {
    const at = this.#data.more(text.length);
    const { bytes } = this.#data;
    // Calling `set` takes longer than copying a short text.
    if (text.length > 32) bytes.set(text, at);
    else for (let index = 0; index < text.length; index++) bytes[at + index] = text[index]!;
    this.#end();
  }

  addAscii(text: string): void {
    const at = this.#data.more(text.length);
    for (let index = 0; index < text.length; index++) this.#data.bytes[at + index] = text.charCodeAt(index);
    this.#end();
  }

  values(): Values {
    return { storage: 'bytes', valid: undefined, offsets: this.#offsets.numbers, data: this.#data.written };
  }

  #end(): void {
    this.count++;
    this.#offsets.addU32(this.#data.length);
  }
}

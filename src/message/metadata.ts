/** A value of an entry of `__meta_ext`. Numbers are finite. */
export type ExtValue = string | number | readonly string[];

/** The entries of `__meta_ext`, by their names. */
export type Ext = Readonly<Record<string, ExtValue>>;

/** A value of metadata. */
export type MetaValue = ExtValue | bigint;

/** A text, number or list for each message, or `undefined` for a message without one. */
type Values<T extends ExtValue> = readonly (T | undefined)[];

/** The columns with a name of their own, beside `__meta_ext`. */
interface OwnColumns {
  /** `__meta_key`: messages with one key belong together, as a broker's do. */
  readonly key: Values<string>;
  /** `__meta_partition`: of the broker's topic. NaN for a message without one. */
  readonly partition: Float64Array;
  /** `__meta_offset`: in the partition. `NO_OFFSET` for a message without one. */
  readonly offset: BigInt64Array;
  /** `__meta_event_time`: microseconds since the epoch, UTC. NaN for a message without one. */
  readonly event_time: Float64Array;
}

/** The name of a metadata column; the entries of `__meta_ext` begin with `ext.`. */
export type MetaName = keyof OwnColumns | `ext.${string}`;

/** The column of that name. It has one value for each message of a batch, so that none costs an object. */
export type MetaColumn<N extends MetaName = MetaName> = N extends keyof OwnColumns
  ? OwnColumns[N]
  : Values<ExtValue> | Float64Array;

/** A message's value in the column of that name. */
export type MetaValueOf<N extends MetaName> = N extends 'key'
  ? string
  : N extends 'partition' | 'event_time'
    ? number
    : N extends 'offset'
      ? bigint
      : ExtValue;

/** The metadata that is kept by message. If there is none, which is the rule, it costs nothing. */
export type MetaColumns = ReadonlyMap<MetaName, MetaColumn>;

export const NO_COLUMNS: MetaColumns = new Map();

/** The offset of a message without one. */
export const NO_OFFSET = -(2n ** 63n);

const EXT = 'ext.';
const OWN: ReadonlySet<string> = new Set<keyof OwnColumns>(['key', 'partition', 'offset', 'event_time']);

export function isMetaName(name: string): name is MetaName {
  return OWN.has(name) || name.startsWith(EXT);
}

/** The column name for an entry of `__meta_ext`. */
export function extName(entry: string): MetaName {
  return `${EXT}${entry}`;
}

/** The `__meta_ext` entry of a column; undefined for a column with a name of its own. */
export function extEntry(name: MetaName): string | undefined {
  return name.startsWith(EXT) ? name.slice(EXT.length) : undefined;
}

/** The value of the message at `index` in a column. */
export function valueIn(column: MetaColumn | undefined, index: number): MetaValue | undefined {
  const value = column?.[index];
  if (typeof value === 'number') return Number.isNaN(value) ? undefined : value;
  return value === NO_OFFSET ? undefined : value;
}

/** The columns for the messages at `indices`. */
export function selectColumns(columns: MetaColumns, indices: readonly number[]): MetaColumns {
  if (columns.size === 0) return columns;
  const selected = new Map<MetaName, MetaColumn>();
  for (const [name, column] of columns) selected.set(name, selectColumn(column, indices));
  return selected;
}

function selectColumn(column: MetaColumn, indices: readonly number[]): MetaColumn {
  if (column instanceof BigInt64Array) return BigInt64Array.from(indices, (index) => column[index]!);
  if (column instanceof Float64Array) return Float64Array.from(indices, (index) => column[index]!);
  return indices.map((index) => column[index]);
}

/** Some messages, and their columns. */
interface Part {
  readonly columns: MetaColumns;
  readonly length: number;
}

/** The columns of several batches, one after the other. */
export function joinColumns(parts: readonly Part[]): MetaColumns {
  if (parts.every(({ columns }) => columns.size === 0)) return NO_COLUMNS;
  const joined = new Map<MetaName, MetaColumn>();
  for (const name of new Set(parts.flatMap(({ columns }) => [...columns.keys()]))) {
    joined.set(name, joinColumn(name, parts));
  }
  return joined;
}

function joinColumn(name: MetaName, parts: readonly Part[]): MetaColumn {
  const known = parts.map(({ columns }) => columns.get(name)).filter((column) => column !== undefined);
  const isNumeric = known.every((column) => ArrayBuffer.isView(column));
  if (!isNumeric) {
    return parts.flatMap(({ columns, length }) =>
      Array.from({ length }, (_, at) => valueIn(columns.get(name), at) as ExtValue | undefined),
    );
  }
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const whole =
    name === 'offset' ? new BigInt64Array(length).fill(NO_OFFSET) : new Float64Array(length).fill(Number.NaN);
  let start = 0;
  for (const { columns, length: count } of parts) {
    const column = columns.get(name);
    // All columns of one name have one kind.
    if (column !== undefined) (whole as Float64Array).set(column as Float64Array, start);
    start += count;
  }
  return whole;
}

/** The approximate number of bytes of memory that columns hold. */
export function heldByColumns(columns: MetaColumns): number {
  let sum = 0;
  for (const column of columns.values()) {
    if (ArrayBuffer.isView(column)) sum += column.byteLength;
    else for (const value of column) sum += sizeOf(value);
  }
  return sum;
}

function sizeOf(value: ExtValue | undefined): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object') return 8;
  return value.reduce((sum, each) => sum + each.length, 0);
}

/** A value as text, wherever text is needed: a list becomes its JSON. */
export function metaText(value: MetaValue): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** An entry as text, or undefined if there is none. */
export function extText(ext: Ext, entry: string): string | undefined {
  return Object.hasOwn(ext, entry) ? metaText(ext[entry]!) : undefined;
}

import type { Overloads, Subject } from './subject.ts';

/**
 * Formats of chrono that DuckDB writes differently. `%?` is none: DuckDB refuses it, as it refuses those that it does not
 * know.
 */
const FORMATS = [
  ['%%', '\u0001'],
  ['%g', '%?'],
  ['%c', '%?'],
  ['%n', '\n'],
  ['%t', '\t'],
  ['%F', '%Y-%m-%d'],
  ['%x', '%m/%d/%y'],
  ['%D', '%m/%d/%y'],
  ['%T', '%H:%M:%S'],
  ['%X', '%H:%M:%S'],
  ['%R', '%H:%M'],
  ['%r', '%I:%M:%S %p'],
  ['%h', '%b'],
  ['%f', '%n'],
  ['%.f', '.%n'],
  ['%.9f', '.%n'],
  ['%9f', '%n'],
  ['%.6f', '.%f'],
  ['%6f', '%f'],
  ['%.3f', '.%g'],
  ['%3f', '%g'],
  ['\u0001', '%%'],
] as const;

const quote = (text: string): string => `'${text}'`;

const format = (chrono: string): string =>
  FORMATS.reduce((text, [from, to]) => `replace(${text}, ${quote(from)}, ${quote(to)})`, chrono);

/**
 * A time read by the first format that fits. DuckDB wants formats to be constants when the macro is created, unless it
 * does not know yet which function an earlier part calls: `length` has several.
 */
const parsed = (...formats: readonly string[]): string =>
  `CASE WHEN length(f0) IS NULL THEN NULL ELSE strptime(x, [${formats.map(format).join(', ')}]) END`;

const INTEGERS = `('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT')`;

/** A time without a zone. Text that says its offset is taken at its word, any other in UTC. */
const moment = (value: string): string =>
  `CASE WHEN regexp_matches(${value}::VARCHAR, '[ Tt].*([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$') THEN ${value}::VARCHAR::TIMESTAMPTZ AT TIME ZONE 'UTC' ELSE ${value}::VARCHAR::TIMESTAMP END`;

/** A time of a number of units since the epoch, of text or of a time. Casts go by way of text: they then fit any type. */
const timestamp = (micros: (units: string) => string, precision: string): Overloads => {
  const truncated = (value: string): string => `date_trunc('${precision}', ${value})`;
  return {
    x: `CASE WHEN typeof(x) IN ${INTEGERS} THEN make_timestamp(${micros('x::VARCHAR::BIGINT')}) ELSE ${truncated(moment('x'))} END`,
    'x, f0': truncated(parsed('f0')),
    'x, f0, f1': truncated(parsed('f0', 'f1')),
    'x, f0, f1, f2': truncated(parsed('f0', 'f1', 'f2')),
  };
};

const EPOCH = `TIMESTAMP '1970-01-01 00:00:00'`;
const EPOCH_UTC = `TIMESTAMPTZ '1970-01-01 00:00:00+00'`;

/** An origin for times with a zone, on the clocks of the query's zone, or for others. */
const inZoneOf = (value: string, zoned: string, plain: string): string =>
  `CASE typeof(${value}) WHEN 'TIMESTAMP WITH TIME ZONE' THEN ${zoned} ELSE ${plain} END`;

export const times: Subject = {
  title: 'Times',
  own: 'current_date current_time current_timestamp date_part date_trunc datepart datetrunc make_date make_time now today',
  macros: {
    date_bin: {
      // DuckDB takes the first for a value whose type it does not know yet, such as an aggregate: it must take any type.
      'width, t VARCHAR': `time_bucket(width, ${moment('t')}, ${EPOCH})`,
      'width, t': `time_bucket(width, t, ${inZoneOf('t', `${EPOCH_UTC}::TIMESTAMP`, EPOCH)})`,
      'width, t VARCHAR, origin': `time_bucket(width, ${moment('t')}, ${moment('origin')})`,
      'width, t, origin': `time_bucket(width, t, ${inZoneOf('t', `((${moment('origin')}) AT TIME ZONE 'UTC')::TIMESTAMP`, moment('origin'))})`,
    },
    'to_char date_format': { 't, format': `strftime(t, ${format('format')})` },
    from_unixtime: { x: 'make_timestamp(x::BIGINT * 1000000)' },
    to_date: {
      x: `CASE WHEN typeof(x) IN ${INTEGERS} THEN DATE '1970-01-01' + x::VARCHAR::INTEGER ELSE x::VARCHAR::DATE END`,
      'x, f0': `(${parsed('f0')})::DATE`,
      'x, f0, f1': `(${parsed('f0', 'f1')})::DATE`,
      'x, f0, f1, f2': `(${parsed('f0', 'f1', 'f2')})::DATE`,
    },
    to_timestamp_seconds: timestamp((units) => `${units} * 1000000`, 'second'),
    to_timestamp_millis: timestamp((units) => `${units} * 1000`, 'millisecond'),
    to_timestamp_micros: timestamp((units) => units, 'microsecond'),
    to_unixtime: {
      x: `CASE WHEN typeof(x) IN ('DOUBLE', 'FLOAT') THEN x::VARCHAR::DOUBLE::BIGINT ELSE trunc(epoch(${moment('x')}))::BIGINT END`,
      'x, f0': `trunc(epoch(${parsed('f0')}))::BIGINT`,
      'x, f0, f1': `trunc(epoch(${parsed('f0', 'f1')}))::BIGINT`,
    },
  },
  differs: {
    'to_char date_format':
      'The formats are those of chrono, apart from `%c`, `%e`, `%g`, `%s`, `%+` and others that DuckDB lacks: a query with one of them is invalid.',
    to_timestamp:
      'It takes seconds since the epoch and gives a time with a zone. For text, write `x::TIMESTAMP` or `strptime(x, format)`.',
  },
  missing: {
    'from_unixtime(x, zone)':
      '`to_timestamp(x)` for the moment, `to_timestamp(x) AT TIME ZONE zone` for the time on the clocks there',
    "date_part('nanosecond', t)": '`nanosecond(t)`',
    to_local_time: "`t AT TIME ZONE 'Europe/Brussels'`",
    to_timestamp_nanos: '`make_timestamp_ns(x)` for a number, `x::TIMESTAMP_NS` for text',
  },
};

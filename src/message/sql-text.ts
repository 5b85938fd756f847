// Values of SQL types as text: dates and times as ISO 8601 has them, everything else as SQL writes it.

/** The largest number means infinity, and its negative means negative infinity. */
const INFINITE_DATE = 0x7fff_ffff;
const INFINITE_TIME = 0x7fff_ffff_ffff_ffffn;

const SECONDS_PER_DAY = 86_400;

/** Units per second of a timestamp, and digits of their fraction. */
const UNITS = {
  timestamp_s: { perSecond: 1, digits: 0, zone: '' },
  timestamp_ms: { perSecond: 1000, digits: 3, zone: '' },
  timestamp: { perSecond: 1_000_000, digits: 6, zone: '' },
  timestamp_tz: { perSecond: 1_000_000, digits: 6, zone: 'Z' },
  timestamp_ns: { perSecond: 1_000_000_000, digits: 9, zone: '' },
} as const;

export type TimestampKind = keyof typeof UNITS;

/** `days` since 1970-01-01. Most often the next one is the same. */
export function dateText(days: number): string {
  if (days === lastDay) return lastDate;
  if (days === INFINITE_DATE) return 'infinity';
  if (days === -INFINITE_DATE) return '-infinity';
  lastDate = civil(days);
  lastDay = days;
  return lastDate;
}
let lastDay = 0;
let lastDate = '1970-01-01';

/**
 * `value` in the kind’s unit, since 1970-01-01 00:00:00. A time with a zone is in UTC. Messages that came together have
 * the same one.
 */
export function timestampText(kind: TimestampKind, value: bigint): string {
  if (value === lastTime && kind === lastKind) return lastText;
  lastText = newTimestampText(kind, value);
  lastKind = kind;
  lastTime = value;
  return lastText;
}
let lastKind: TimestampKind | undefined;
let lastTime = 0n;
let lastText = '';

function newTimestampText(kind: TimestampKind, value: bigint): string {
  if (value === INFINITE_TIME) return 'infinity';
  if (value === -INFINITE_TIME) return '-infinity';
  const { perSecond, digits, zone } = UNITS[kind];
  const perDay = perSecond * SECONDS_PER_DAY;
  const rounded = Number(value);
  let days = Math.floor(rounded / perDay);
  let rest = Number.isSafeInteger(rounded)
    ? rounded - days * perDay
    : Number(value - BigInt(days) * BigInt(perDay));
  // The quotient is rounded.
  if (rest < 0) {
    days--;
    rest += perDay;
  } else if (rest >= perDay) {
    days++;
    rest -= perDay;
  }
  return `${dateText(days)}T${timeOfDay(rest, perSecond, digits)}${zone}`;
}

/** `micros` since midnight, at most a whole day. */
export function timeText(micros: number): string {
  return timeOfDay(micros, 1_000_000, 6);
}

export function timeNsText(nanos: number): string {
  return timeOfDay(nanos, 1_000_000_000, 9);
}

/** A time with its offset, as `rows.ts` describes it. */
export function timeTzText(bits: bigint): string {
  const offset = 57_599 - Number(bits & 0xff_ffffn);
  const seconds = Math.abs(offset);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  // ISO 8601 has no seconds here; SQL has.
  if (seconds % 60 !== 0) parts.push(seconds % 60);
  return timeText(Number(bits >> 24n)) + (offset < 0 ? '-' : '+') + parts.map((part) => pad(part)).join(':');
}

export function intervalText(months: number, days: number, micros: bigint): string {
  const parts: string[] = [];
  const add = (count: number, unit: string): void => {
    if (count !== 0) parts.push(`${count} ${unit}${count === 1 || count === -1 ? '' : 's'}`);
  };
  add(Math.trunc(months / 12), 'year');
  add(months % 12, 'month');
  add(days, 'day');
  if (micros !== 0n || parts.length === 0) {
    const size = micros < 0n ? -micros : micros;
    // The hours may be more than a double holds in microseconds.
    const time = clock(Number(size / 1_000_000n), Number(size % 1_000_000n), 6);
    parts.push((micros < 0n ? '-' : '') + time);
  }
  return parts.join(' ');
}

/** `value` without its point, which stands before the last `scale` digits. */
export function decimalText(value: bigint, scale: number): string {
  if (scale === 0) return String(value);
  const digits = String(value < 0n ? -value : value).padStart(scale + 1, '0');
  return `${value < 0n ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** `high` has its highest bit flipped, as stored. */
export function uuidText(low: bigint, high: bigint): string {
  const hex = ((BigInt.asUintN(64, high ^ (1n << 63n)) << 64n) | low).toString(16).padStart(32, '0');
  return [[0, 8], [8, 12], [12, 16], [16, 20], [20]].map(([from, to]) => hex.slice(from, to)).join('-');
}

/** The bits of a BIT, as `rows.ts` describes it. */
export function bitText(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes.subarray(1)) text += byte.toString(2).padStart(8, '0');
  return text.slice(bytes[0]);
}

/** The digits of a BIGNUM, as `rows.ts` describes it. */
export function bignumText(bytes: Uint8Array): string {
  const isNegative = bytes[0]! < 0x80;
  let hex = '';
  for (const byte of bytes.subarray(3))
    hex += (isNegative ? 0xff - byte : byte).toString(16).padStart(2, '0');
  return (isNegative ? '-' : '') + String(BigInt(`0x${hex}`));
}

/** A time of day in units of a given number per second. */
function timeOfDay(value: number, perSecond: number, digits: number): string {
  const seconds = Math.floor(value / perSecond);
  return clock(seconds, value - seconds * perSecond, digits);
}

/** Seconds, and their fraction in units of `digits` digits, without zeros at its end. */
function clock(seconds: number, fraction: number, digits: number): string {
  const text = `${pad(Math.floor(seconds / 3600))}:${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)}`;
  return fraction === 0 ? text : `${text}.${String(fraction).padStart(digits, '0').replace(/0+$/, '')}`;
}

/**
 * The day of the proleptic Gregorian calendar with this number: era by era of 400 years, each of 146,097 days. The year
 * before 1 is 0. Years that four digits do not hold have a sign and six digits, as `Date` reads and writes them.
 */
function civil(days: number): string {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const month = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * month + 2) / 5) + 1;
  const year = yearOfEra + era * 400 + (month >= 10 ? 1 : 0);
  const shown =
    year >= 0 && year <= 9999
      ? String(year).padStart(4, '0')
      : `${year < 0 ? '-' : '+'}${String(Math.abs(year)).padStart(6, '0')}`;
  return `${shown}-${pad(month < 10 ? month + 3 : month - 9)}-${pad(day)}`;
}

function pad(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}

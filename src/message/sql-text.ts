// Values of SQL types as the text that SQL writes for them (DuckDB's `CAST(… AS VARCHAR)`), in UTC.

/** The largest number means infinity, and its negative means negative infinity. */
const INFINITE_DATE = 0x7fff_ffff;
const INFINITE_TIME = 0x7fff_ffff_ffff_ffffn;

/** Units per second of a timestamp, and digits of their fraction. */
const UNITS = {
  timestamp_s: { perSecond: 1n, digits: 0 },
  timestamp_ms: { perSecond: 1000n, digits: 3 },
  timestamp: { perSecond: 1_000_000n, digits: 6 },
  timestamp_tz: { perSecond: 1_000_000n, digits: 6 },
  timestamp_ns: { perSecond: 1_000_000_000n, digits: 9 },
} as const;

export type TimestampKind = keyof typeof UNITS;

/** `days` since 1970-01-01. */
export function dateText(days: number): string {
  if (days === INFINITE_DATE) return 'infinity';
  if (days === -INFINITE_DATE) return '-infinity';
  const { date, era } = civil(days);
  return date + era;
}

/** `value` in the kind’s unit, since 1970-01-01 00:00:00. */
export function timestampText(kind: TimestampKind, value: bigint): string {
  if (value === INFINITE_TIME) return 'infinity';
  if (value === -INFINITE_TIME) return '-infinity';
  const { perSecond, digits } = UNITS[kind];
  const perDay = perSecond * 86_400n;
  const days = floorDivide(value, perDay);
  const { date, era } = civil(Number(days));
  const time = clock(value - days * perDay, perSecond, digits);
  return `${date}${era} ${time}${kind === 'timestamp_tz' ? '+00' : ''}`;
}

/** `micros` since midnight, at most a whole day. */
export function timeText(micros: bigint): string {
  return clock(micros, 1_000_000n, 6);
}

export function timeNsText(nanos: bigint): string {
  return clock(nanos, 1_000_000_000n, 9);
}

/** A time with its offset, as `rows.ts` describes it. */
export function timeTzText(bits: bigint): string {
  const offset = 57_599 - Number(bits & 0xff_ffffn);
  const seconds = Math.abs(offset);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  while (parts.length > 1 && parts.at(-1) === 0) parts.pop();
  const sign = offset < 0 ? '-' : '+';
  return timeText(bits >> 24n) + sign + parts.map((part) => pad(part)).join(':');
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
    const sign = micros < 0n ? '-' : '';
    parts.push(sign + timeText(micros < 0n ? -micros : micros));
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

/** Printable ASCII unchanged, and `\xAB` for any other byte, for quotes and for the backslash. */
export function blobText(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    const printable = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x27 && byte !== 0x5c;
    text += printable ? String.fromCharCode(byte) : `\\x${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return text;
}

/** A time of day in units of a given number per second, without trailing zeros. */
function clock(value: bigint, perSecond: bigint, digits: number): string {
  const seconds = Number(value / perSecond);
  const fraction = value % perSecond;
  const text = `${pad(Math.floor(seconds / 3600))}:${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)}`;
  return fraction === 0n ? text : `${text}.${String(fraction).padStart(digits, '0').replace(/0+$/, '')}`;
}

/** The day of the proleptic Gregorian calendar with this number: era by era of 400 years, each of 146,097 days. */
function civil(days: number): { date: string; era: string } {
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
  const shown = year > 0 ? year : 1 - year;
  return {
    date: `${String(shown).padStart(4, '0')}-${pad(month < 10 ? month + 3 : month - 9)}-${pad(day)}`,
    era: year > 0 ? '' : ' (BC)',
  };
}

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value < 0n && quotient * by !== value ? quotient - 1n : quotient;
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}

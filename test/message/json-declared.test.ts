import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { declaredColumn, storedType } from '../../src/message/json-declared.ts';
import { createSlices } from '../../src/message/json-slices.ts';
import { JsonWriter } from '../../src/message/json-writer.ts';
import { valueWriter } from '../../src/message/rows-json.ts';
import type { ColumnType } from '../../src/message/rows.ts';

/** Each value as JSON of the type, or why it is none. */
function convert(type: ColumnType, texts: readonly string[]): string[] {
  const payloads = texts.map((text) => Buffer.from(text));
  const slices = createSlices(texts.length);
  for (const [index, { length }] of payloads.entries()) {
    slices.kinds[index] = 1;
    slices.ends[index] = length;
  }
  const found: (string | undefined)[] = [];
  const values = declaredColumn(payloads, slices, type, (index, reason) => (found[index] = reason));
  const write = valueWriter(storedType(type), values);
  return texts.map((_, index) => {
    const json = new JsonWriter(64);
    write(index, json);
    const text = json.written.toString();
    if (found[index] !== undefined && type.kind !== 'struct') expect(text).toBe('null');
    return found[index] ?? text;
  });
}

/** Says with decimal numbers of Python what a number is as a type; nothing if it is none. */
const ORACLE = `
import json, struct, sys
from decimal import Decimal, getcontext, Context, MAX_EMAX, MIN_EMIN
from fractions import Fraction
context = Context(prec=2000, Emax=MAX_EMAX, Emin=MIN_EMIN)
BITS = {"tinyint": (-2**7, 2**7), "smallint": (-2**15, 2**15), "integer": (-2**31, 2**31), "bigint": (-2**63, 2**63), "hugeint": (-2**127, 2**127),
  "utinyint": (0, 2**8), "usmallint": (0, 2**16), "uinteger": (0, 2**32), "ubigint": (0, 2**64), "uhugeint": (0, 2**128)}
def single(text):
    exact, near = Fraction(Decimal(text)), None
    if abs(exact) >= Fraction(2**128 - 2**103): return None
    bits = struct.unpack("<I", struct.pack("<f", float(text) if abs(float(text)) < 3.4e38 else (3.4028234e38 if exact > 0 else -3.4028234e38)))[0]
    candidates = []
    for offset in (-2, -1, 0, 1, 2):
        value = bits + offset
        if 0 <= (value & 0x7fffffff) < 0x7f800000 and value >= 0:
            number = struct.unpack("<f", struct.pack("<I", value))[0]
            candidates.append((abs(Fraction(number) - exact), value & 1, number))
    return repr(min(candidates)[2])
def value(kind, width, scale, text):
    number = Decimal(text)
    small = -200 < number.adjusted() < 400 or number == 0
    if kind == "double":
        found = float(text)
        return None if found in (float("inf"), float("-inf")) else repr(found)
    if not small: return ("-0.0" if number.is_signed() else "0.0") if kind == "float" and number.adjusted() < 0 else None
    if kind == "float": return single(text)
    if kind == "decimal":
        scaled = context.scaleb(number, scale)
        if scaled != scaled.to_integral_value() or abs(scaled) >= 10 ** width: return None
        digits = str(abs(int(scaled))).rjust(scale + 1, "0")
        sign = "-" if scaled < 0 else ""
        return sign + (digits if scale == 0 else digits[:-scale] + "." + digits[-scale:])
    low, high = BITS[kind]
    return str(int(number)) if number == number.to_integral_value() and low <= number < high else None
getcontext().prec = 2000
print(json.dumps([value(*case) for case in json.load(sys.stdin)]))
`;

const TYPES: readonly ColumnType[] = [
  ...(['tinyint', 'smallint', 'integer', 'bigint', 'hugeint'] as const).map((kind) => ({ kind })),
  ...(['utinyint', 'usmallint', 'uinteger', 'ubigint', 'uhugeint'] as const).map((kind) => ({ kind })),
  { kind: 'decimal', width: 4, scale: 2 },
  { kind: 'decimal', width: 9, scale: 0 },
  { kind: 'decimal', width: 18, scale: 18 },
  { kind: 'decimal', width: 38, scale: 10 },
  { kind: 'double' },
  { kind: 'float' },
];

/** Numbers of all sizes, near the bounds of types, in the middle of two floats, with zeros and exponents. */
function numbers(): string[] {
  let state = 1;
  const next = (max: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state >>> 8) % max;
  };
  const digits = (count: number): string => Array.from({ length: count }, () => String(next(10))).join('');
  const texts = [
    '0',
    '-0',
    '-0.0',
    '0e999999',
    '1e400',
    '-1e-400',
    '5.0',
    '1.6',
    '1e3',
    '25e-1',
    '0.30000000000000000001',
    '1.0000000596046448',
    '1.00000005960464477539062500001',
    '1.000000059604644775390625',
    '3.4028235677973366e38',
    '3.4028235677973362e38',
    '1e99999999',
  ];
  for (let power = 3; power <= 128; power++)
    for (const each of [2n ** BigInt(power) - 1n, 2n ** BigInt(power)])
      texts.push(String(each), String(-each - 1n), `${each}.0`);
  for (const power of [2, 9, 18, 28, 38])
    texts.push('9'.repeat(power), `1${'0'.repeat(power)}`, `0.${'0'.repeat(power)}1`);
  for (let count = 0; count < 600; count++) {
    const whole = next(3) === 0 ? '0' : `${1 + next(9)}${digits(next(next(4) === 0 ? 42 : 17))}`;
    const fraction = next(3) === 0 ? '' : `.${digits(1 + next(12))}${'0'.repeat(next(4))}`;
    const exponent = next(4) === 0 ? `${'eE'[next(2)]}${['', '+', '-'][next(3)]}${next(45)}` : '';
    texts.push(`${next(2) === 0 ? '-' : ''}${whole}${fraction}${exponent}`);
  }
  return texts;
}

test('a number, bare or in a string, is a declared type exactly, as Python’s decimal says, or it is refused', () => {
  const texts = numbers();
  const cases = TYPES.flatMap((type) =>
    texts.map((text) => [
      type.kind,
      'width' in type ? type.width : 0,
      'scale' in type ? type.scale : 0,
      text,
    ]),
  );
  const input = JSON.stringify(cases);
  const said = JSON.parse(execFileSync('python3', ['-I', '-c', ORACLE], { input, encoding: 'utf8' })) as (
    string | null
  )[];
  for (const [at, type] of TYPES.entries()) {
    const bare = convert(type, texts);
    const quoted = convert(
      type,
      texts.map((text) => `"${text}"`),
    );
    for (const [index, text] of texts.entries()) {
      const expected = said[at * texts.length + index]!;
      const about = `${text} as ${JSON.stringify(type)}`;
      const found = bare[index]!;
      if (expected === null) expect(found, about).toMatch(/range|convert|digits/);
      else if (type.kind === 'float') expect(Math.fround(Number(found)), about).toBe(Number(expected));
      else if (type.kind === 'double') expect(Number(found), about).toBe(Number(expected));
      else expect(found, about).toBe(expected);
      expect(quoted[index]!.replaceAll('"', ''), about).toBe(found);
    }
  }
});

test('a fault inside a value is told with its place, and never becomes NULL', () => {
  const type: ColumnType = {
    kind: 'struct',
    fields: [
      { name: 'l', type: { kind: 'list', of: { kind: 'array', of: { kind: 'tinyint' }, length: 2 } } },
      {
        name: 'm',
        type: { kind: 'map', key: { kind: 'varchar' }, value: { kind: 'decimal', width: 3, scale: 1 } },
      },
      { name: 't', type: { kind: 'timestamp' } },
    ],
  };
  const stored = storedType(type) as typeof type;
  expect(stored.fields[2]!.type).toEqual({ kind: 'varchar' });
  expect(
    convert(type, [
      '{"t":"2026-01-01T00:00:00Z","m":{"a\\u00e9": 1.50 , "b":null},"l":[[1,2.0],null,[null,-3e0]],"x":1}',
      'null',
      '{"l":[[1,2],[1,300]],"m":{},"t":null}',
      '{"l":[],"m":{"k":0.25},"t":null}',
      '{"l":[[1]],"m":{},"t":null}',
      '{"l":[],"m":{"a":1,"a":2},"t":null}',
      '{"l":[],"m":{},"t":"2026-01-01T00:00:00+02:00"}',
      '{"l":[],"m":{}}',
      '{"l":[],"m":{},"t":"\\ud800"}',
      '[]',
    ]),
  ).toEqual([
    '{"l":[[1,2],null,[null,-3]],"m":{"aé":1.5,"b":null},"t":"2026-01-01T00:00:00Z"}',
    'null',
    'at .l[1][1]: 300 is not within the range of the declared type TINYINT',
    'at .m.k: 0.25 has more digits after its point than the declared type DECIMAL(3,1) keeps',
    'at .l[0]: [1] does not convert to the declared type TINYINT[2]',
    'at .m: "a" occurs twice as a name',
    'at .t: "2026-01-01T00:00:00+02:00" has an offset from UTC, which the declared type TIMESTAMP would lose; declare a type with a zone, such as TIMESTAMPTZ',
    '{"l":[],"m":{}} lacks t of the declared type STRUCT(l TINYINT[2][], m MAP(VARCHAR, DECIMAL(3,1)), t TIMESTAMP)',
    'at .t: "\\ud800" has half of a surrogate pair, which text cannot have',
    '[] does not convert to the declared type STRUCT(l TINYINT[2][], m MAP(VARCHAR, DECIMAL(3,1)), t TIMESTAMP)',
  ]);
});

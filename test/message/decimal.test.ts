import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { decimalValue, ExactNumber } from '../../src/message/decimal.ts';
import { compileContains } from '../../src/message/json-contains.ts';

/** A decimal as an integer and a power of ten, and one of the ways to write it. */
const decimal = fc
  .record({
    digits: fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n }),
    power: fc.integer({ min: -60, max: 60 }),
    shift: fc.integer({ min: 0, max: 45 }),
    zeros: fc.integer({ min: 0, max: 5 }),
    upper: fc.boolean(),
    plus: fc.boolean(),
  })
  .map(({ digits, power, shift, zeros, upper, plus }) => {
    const sign = digits < 0n ? '-' : '';
    const written = (digits < 0n ? -digits : digits).toString().padStart(shift + 1, '0');
    const whole = written.slice(0, written.length - shift).replace(/^0+(?=\d)/, '');
    const fraction = written.slice(written.length - shift) + '0'.repeat(zeros);
    const exponent = power + shift;
    const e = `${upper ? 'E' : 'e'}${plus && exponent >= 0 ? '+' : ''}${exponent}`;
    const text = `${sign}${whole}${fraction === '' ? '' : `.${fraction}`}${exponent === 0 ? '' : e}`;
    return { text, digits, power };
  });

type Decimal = { text: string; digits: bigint; power: number };

/** By integers alone: both brought to the smaller power of ten. */
function equal(a: Decimal, b: Decimal): boolean {
  const least = Math.min(a.power, b.power);
  return a.digits * 10n ** BigInt(a.power - least) === b.digits * 10n ** BigInt(b.power - least);
}

test('numbers are equal exactly where their values are, however they are written', () => {
  fc.assert(
    fc.property(decimal, decimal, fc.integer({ min: 0, max: 30 }), (a, b, extra) => {
      // The same number, from other digits.
      const same = { ...a, digits: a.digits * 10n ** BigInt(extra), power: a.power - extra };
      const text = `${same.digits}e${same.power}`;
      expect(decimalValue(text)).toBe(decimalValue(a.text));
      expect(decimalValue(a.text) === decimalValue(b.text)).toBe(equal(a, b));
      const near = { ...same, digits: same.digits + 1n };
      expect(decimalValue(`${near.digits}e${near.power}`) === decimalValue(a.text)).toBe(false);
    }),
  );
});

test('a message is matched by the value of its numbers, wherever they stand in it', () => {
  fc.assert(
    fc.property(decimal, decimal, (a, b) => {
      const matches = compileContains({ list: [{ id: new ExactNumber(a.text) }] });
      const payload = Buffer.from(`{"x":${b.text},"list": [ {"y":[],"id":\t${b.text} } , 1]}`);
      expect(matches(payload)).toBe(equal(a, b));
    }),
  );
});

/** As the part of a parsed value that another one is, by the words of the documentation. */
function contains(value: unknown, part: unknown): boolean {
  if (typeof part !== 'object' || part === null) return value === part;
  if (typeof value !== 'object' || value === null || Array.isArray(value) !== Array.isArray(part))
    return false;
  return Object.entries(part).every(
    ([key, each]) => Object.hasOwn(value, key) && contains((value as Record<string, unknown>)[key], each),
  );
}

const small = fc.letrec<{ node: unknown }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom<unknown>(1, 0, -1.5, true, false, null, '', 'a', '1', 'a"b', '\\', 'ü'),
    fc.array(tie('node'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', '0', '1', '', 'a"b', 'ü', '__proto__'), tie('node'), { maxKeys: 3 }),
  ),
})).node;

test('a part of JSON is found exactly where it is in the parsed value', () => {
  fc.assert(
    fc.property(small, small, fc.integer({ min: 0, max: 2 }), (value, other, indent) => {
      const payload = Buffer.from(` ${JSON.stringify(value, undefined, indent)} `);
      for (const part of [value, other]) expect(compileContains(part)(payload)).toBe(contains(value, part));
    }),
    { numRuns: 500 },
  );
});

test('text that is not JSON has no part', () => {
  const matches = compileContains({ a: 1 });
  for (const text of ['', '{"a":1', '{"a":1}}', '{"a" 1}', '{"a":01}', 'a']) {
    expect(matches(Buffer.from(text))).toBe(false);
  }
  expect(matches(Buffer.from('{"a":2,"a":1}'))).toBe(true);
  expect(matches(Buffer.from('{"a":1,"a":2}'))).toBe(false);
});

test('a number of a million digits costs no more than to read it', () => {
  const zeros = '0'.repeat(30_000);
  expect(decimalValue(`1${zeros}1`)).toBe(`1${zeros}1e0`);
  expect(decimalValue(`1${zeros}`)).toBe(`1e${zeros.length}`);
  expect(decimalValue(`1e${'9'.repeat(1000)}`)).not.toBe(decimalValue(`1e${'9'.repeat(999)}`));
});

/** A number with the digits that it was written with, where a double would change them. */
export class ExactNumber {
  /** As JSON writes it. */
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/** Of a number in JSON its value: the same text for all that are equal (`1`, `1.0`, `10e-1`), whatever their size. */
export function decimalValue(number: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = NUMBER.exec(number) ?? [];
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = digits.slice(0, endOfSignificant(digits));
  if (significant === '') return '0';
  const scale = digits.length - significant.length - fraction.length;
  // Most exponents are small; one of a million digits is nobody's but an attacker's, and equal to nothing but itself.
  const power = exponent.length > 15 ? `${exponent}+${scale}` : String(Number(exponent) + scale);
  return `${sign}${significant}e${power}`;
}

/** A pattern would try each of a long row of zeros. */
function endOfSignificant(digits: string): number {
  let end = digits.length;
  while (digits[end - 1] === '0') end--;
  return end;
}

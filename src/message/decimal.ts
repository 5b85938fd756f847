/** A number with its original digits, for numbers that a double would change. */
export class ExactNumber {
  /** Its form in JSON. */
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/**
 * The value of a JSON number, as a text that is the same for all equal numbers (`1`, `1.0`, `10e-1`), whatever their
 * size.
 */
export function decimalValue(number: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = NUMBER.exec(number) ?? [];
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = digits.slice(0, endOfSignificant(digits));
  if (significant === '') return '0';
  const scale = digits.length - significant.length - fraction.length;
  // Most exponents are small. An exponent of a million digits comes only from an attacker, and equals nothing but
  // itself.
  const power = exponent.length > 15 ? `${exponent}+${scale}` : String(Number(exponent) + scale);
  return `${sign}${significant}e${power}`;
}

/** A pattern would backtrack over each zero of a long row. */
function endOfSignificant(digits: string): number {
  let end = digits.length;
  while (digits[end - 1] === '0') end--;
  return end;
}

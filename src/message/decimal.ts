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

/** As JSON has numbers, and as strings have them: also with a plus, or without a digit on one side of the point. */
const NUMBER = /^\s*([+-]?)(?=\.?\d)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?\s*$/;

/** A number in parts: its digits times ten to the power of `exponent` and `shift` together. */
export interface Decimal {
  readonly isNegative: boolean;
  /** Without zeros at either end; empty for zero. */
  readonly digits: string;
  readonly shift: number;
  /** As it is written, of any length. */
  readonly exponent: string;
}

/** The number that a text is, or undefined if it is none. */
export function readDecimal(text: string): Decimal | undefined {
  const parts = NUMBER.exec(text);
  if (parts === null) return undefined;
  const [, sign, whole = '', fraction = '', exponent = '0'] = parts;
  const all = (whole + fraction).replace(/^0+/, '');
  const digits = all.slice(0, endOfSignificant(all));
  return { isNegative: sign === '-', digits, shift: all.length - digits.length - fraction.length, exponent };
}

/**
 * The value of a JSON number, as a text that is the same for all equal numbers (`1`, `1.0`, `10e-1`), whatever their
 * size.
 */
export function decimalValue(number: string): string {
  const { isNegative = false, digits = '', shift = 0, exponent = '0' } = readDecimal(number) ?? {};
  if (digits === '') return '0';
  // Most exponents are small. An exponent of a million digits comes only from an attacker, and equals nothing but
  // itself.
  const power = exponent.length > 15 ? `${exponent}+${shift}` : String(Number(exponent) + shift);
  return `${isNegative ? '-' : ''}${digits}e${power}`;
}

/** A pattern would backtrack over each zero of a long row. */
function endOfSignificant(digits: string): number {
  let end = digits.length;
  while (digits[end - 1] === '0') end--;
  return end;
}

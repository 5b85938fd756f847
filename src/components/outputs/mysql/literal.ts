import { UnfitValue } from '../../../clients/mysql/faults.ts';
import { unquote } from '../../../message/text.ts';

/** How the values of a column are written. */
export type Kind = 'number' | 'time' | 'bytes' | 'json' | 'text';

const NUMBERS = /^(?:bit|(?:tiny|small|medium|big)?int|decimal|float|double|year)$/;
const BYTES = /blob$|binary$/;

/** `type` as information_schema has it, without length. */
export function kindOf(type: string): Kind {
  if (type === 'json') return 'json';
  if (type === 'datetime' || type === 'timestamp') return 'time';
  if (NUMBERS.test(type)) return 'number';
  return BYTES.test(type) ? 'bytes' : 'text';
}

/**
 * A JSON value as it stands in SQL. Numbers stay as they are spelled, so that the server reads every digit. `isText`: all
 * values are texts, in which a JSON document stands as it is.
 * @throws UnfitValue
 */
export function literal(json: string, kind: Kind, isText: boolean): string {
  switch (json.charAt(0)) {
    case 'n':
      return 'NULL';
    case 't':
    case 'f':
      return kind === 'number' ? json : quote(json);
    case '"':
      return kind === 'json' && !isText ? quote(json) : textLiteral(unquote(json), kind, isText);
    case '{':
    case '[':
      return quote(json);
    default:
      // With an exponent, it would be a double; a text is read digit by digit.
      return kind === 'number' && /^-?[\d.]+$/.test(json) ? json : quote(json);
  }
}

function textLiteral(text: string, kind: Kind, isText: boolean): string {
  if (kind === 'bytes') return bytes(text);
  if (kind === 'time') return quote(utc(text));
  if (kind === 'number' && isText && (text === 'true' || text === 'false')) return text;
  return quote(text);
}

/** With NO_BACKSLASH_ESCAPES, only the quote itself has a meaning. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** Base64, as everywhere in JSON that Millrace makes, or `\x` and hexadecimal digits, as for PostgreSQL. */
function bytes(text: string): string {
  if (/^\\x(?:[\da-f]{2})*$/i.test(text)) return `x'${text.slice(2)}'`;
  if (!/^[A-Za-z\d+/]*={0,2}$/.test(text))
    throw new UnfitValue('a value for a column of bytes is not base64');
  return `x'${Buffer.from(text, 'base64').toString('hex')}'`;
}

/** ISO 8601 with an offset, which MariaDB does not know, in UTC; its digits of seconds stay. Any other text as it is. */
function utc(text: string): string {
  const parts = /^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d)(:\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/i.exec(text);
  if (parts === null) return text;
  const [, minute, second = ':00', offset] = parts;
  const time = Date.parse(`${minute!.replace(' ', 'T')}${/^z$/i.test(offset!) ? 'Z' : offset}`);
  if (Number.isNaN(time)) return text;
  return new Date(time).toISOString().slice(0, 16).replace('T', ' ') + second;
}

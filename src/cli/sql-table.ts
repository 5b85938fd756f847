import { printable } from '../errors.ts';

/** The widest column, and the space between two, in characters. */
const WIDEST = 48;
const GAP = '  ';
const CUT = '…';

/** One row of a result: each field's name with its text. */
interface Row {
  readonly cells: ReadonlyMap<string, string>;
  /** The names of fields that are numbers, which stand at the right. */
  readonly numbers: ReadonlySet<string>;
}

/**
 * Rows of JSON as the lines of a table: a head, a rule, and a line for each row. Numbers keep their digits. A line is at
 * most `width` characters long. `most` limits the rows; a last line then tells how many more there are.
 */
export function tableOf(payloads: readonly Uint8Array[], width: number, most = Infinity): string[] {
  const rows = payloads.slice(0, most).map(rowOf);
  const names = new Set(rows.flatMap(({ cells }) => [...cells.keys()]));
  const columns = [...names].map((name) => {
    const texts = rows.map(({ cells }) => shortened(cells.get(name) ?? ''));
    const head = shortened(printable(name));
    return {
      head,
      texts,
      // Not `Math.max` of a list: a file may have more rows than a call takes arguments.
      width: texts.reduce((most, { length }) => Math.max(most, length), head.length),
      isNumber: rows.every(({ cells, numbers }) => numbers.has(name) || !cells.has(name)),
    };
  });
  const line = (textOf: (column: (typeof columns)[number]) => string): string => {
    const cells = columns.map((column) => {
      const text = textOf(column);
      return column.isNumber ? text.padStart(column.width) : text.padEnd(column.width);
    });
    return shortened(cells.join(GAP).trimEnd(), width);
  };
  const lines = [
    line(({ head }) => head),
    line((column) => '─'.repeat(column.width)),
    ...rows.map((_, index) => line(({ texts }) => texts[index]!)),
  ];
  if (payloads.length > rows.length) lines.push(`${CUT} and ${payloads.length - rows.length} more`);
  return lines;
}

function rowOf(payload: Uint8Array): Row {
  const value = parse(Buffer.from(payload).toString());
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value) && !isRaw(value);
  const cells = new Map<string, string>();
  const numbers = new Set<string>();
  for (const [name, each] of isObject ? Object.entries(value) : [['__value__', value] as const]) {
    if (each === null) continue;
    if (isRaw(each)) numbers.add(name);
    cells.set(
      name,
      printable(typeof each === 'string' ? each : JSON.stringify(each)).replaceAll(/\s+/g, ' '),
    );
  }
  return { cells, numbers };
}

/** Like `JSON.parse`, with each number as it is spelled. */
function parse(text: string): unknown {
  const exactly = (_: string, value: unknown, { source }: { source?: string }): unknown =>
    typeof value === 'number' ? json.rawJSON(source!) : value;
  return JSON.parse(text, exactly as (key: string, value: unknown) => unknown);
}

/** `JSON.rawJSON` and `JSON.isRawJSON`, which the compiler's library does not have yet. */
const json = JSON as unknown as { rawJSON(text: string): unknown; isRawJSON(value: unknown): boolean };

function isRaw(value: unknown): boolean {
  return json.isRawJSON(value);
}

function shortened(text: string, width = WIDEST): string {
  return text.length > width ? text.slice(0, width - 1) + CUT : text;
}

import type { Comparison } from './throughput.ts';

/** A line of the table that the bench prints. */
export interface Row {
  readonly what: string;
  readonly bare: string;
  readonly product: string;
  readonly reached: string;
  readonly target: string;
  /** Undefined for a row without a target. */
  readonly ok: boolean | undefined;
}

export function throughputRow(comparison: Comparison): Row {
  const {
    case: { name, target, extra },
    connections,
    bare,
    product,
    ratios,
  } = comparison;
  if (extra !== undefined) return extraRow(comparison, extra);
  const ratio = median(ratios);
  return {
    what: `${name}, ${connections} conn.`,
    bare: `${thousands(median(bare.map((each) => each.perSecond)))}k/s`,
    product: `${thousands(median(product.map((each) => each.perSecond)))}k/s`,
    reached: `${ratio.toFixed(2)} (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})`,
    target: target === undefined ? '' : `≥ ${target}`,
    ok: target === undefined ? undefined : ratio >= target,
  };
}

/** Half of the messages are written, and the filter costs those that are not the same. */
function extraRow({ case: { name }, connections, bare, product }: Comparison, extra: number): Row {
  const cpuOf = (rates: Comparison['bare']): number => median(rates.map(({ cpu }) => cpu));
  const reached = 2 * (cpuOf(product) - cpuOf(bare));
  return {
    what: `${name}, ${connections} conn.`,
    bare: `${cpuOf(bare).toFixed(2)} µs`,
    product: `${cpuOf(product).toFixed(2)} µs`,
    reached: `${reached.toFixed(1)} µs a row`,
    target: `≤ ${extra} µs`,
    ok: reached <= extra,
  };
}

export function table(rows: readonly Row[]): string {
  const cells = [
    ['', 'bare ws', 'millrace', 'reached', 'target', ''],
    ...rows.map((row) => [row.what, row.bare, row.product, row.reached, row.target, verdict(row.ok)]),
  ];
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)));
  return cells
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export const mebibytes = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(0)} MiB`;

function thousands(value: number): string {
  return (value / 1000).toFixed(0);
}

function verdict(ok: boolean | undefined): string {
  if (ok === undefined) return '';
  return ok ? 'yes' : 'NO';
}

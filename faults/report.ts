import type { Row } from './campaign.ts';

/** The content of `faults/results.json`. */
export interface Results {
  readonly date: string;
  readonly seed: number;
  readonly rounds: number;
  readonly seconds: number;
  /** The description of each fault. */
  readonly faults: readonly { readonly name: string; readonly what: string }[];
  readonly rows: readonly Row[];
}

const HEAD = ['fault', 'ack', 'faults', 'acknowledged', 'lost', 'duplicated', 'reordered'] as const;

function cells(rows: readonly Row[]): string[][] {
  return rows.map((row) => [
    row.fault,
    row.mode,
    ...[row.injections, row.acknowledged, row.lost, row.duplicated, row.reordered].map((count) =>
      count.toLocaleString('en'),
    ),
  ]);
}

/** For a terminal. */
export function plainTable(rows: readonly Row[]): string {
  const lines = [[...HEAD], ...cells(rows)];
  const widths = HEAD.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => (column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** For the documentation: each fault, and its outcome. */
export function markdown({ date, seed, rounds, seconds, faults, rows }: Results): string {
  const sum = (of: (row: Row) => number): string =>
    rows.reduce((total, row) => total + of(row), 0).toLocaleString('en');
  return [
    `The run of ${date}: ${sum(({ injections }) => injections)} faults while ${sum(({ acknowledged }) => acknowledged)} messages were acknowledged, ${sum(({ lost }) => lost)} of them lost (\`npm run faults -- --rounds ${rounds} --seconds ${seconds} --seed ${seed}\`).`,
    markdownTable(HEAD, ['-', '-', '-:', '-:', '-:', '-:', '-:'], cells(rows)),
    'The faults in detail:',
    faults.map(({ name, what }) => `- **${name}**: ${what}.`).join('\n'),
  ].join('\n\n');
}

function markdownTable(
  head: readonly string[],
  rule: readonly string[],
  lines: readonly (readonly string[])[],
): string {
  return [head, rule, ...lines].map((line) => `| ${line.join(' | ')} |`).join('\n');
}

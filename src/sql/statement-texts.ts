import { offsetOf, placeAt, type Edited, type Place } from './edits.ts';
import type { ReadColumns } from './path-edits.ts';
import type { Span, Statement, Statements, Text } from './statements.ts';

/** One SELECT of several, in which each part of the query is between marks. */
export interface Marked {
  readonly text: string;
  readonly parts: readonly Span[];
}

const mark = (number: number): string => `/*\u{1}${number}*/`;
const MARK = /\/\*\u{1}\d+\*\//gu;

/** SELECTs made of parts of the query as one, to be analysed together. */
export function markedSelect(query: string, selects: readonly Text[]): Marked {
  const parts: Span[] = [];
  const written = selects.map((text, index) => {
    const inner = text.map((piece) => {
      if (typeof piece === 'string') return piece;
      const own = mark(parts.length);
      parts.push(piece);
      return own + query.slice(piece.start, piece.end) + own;
    });
    return `"__statement_${index + 1}__" AS MATERIALIZED (${inner.join('')})`;
  });
  return { text: `WITH ${written.join(', ')} SELECT NULL`, parts };
}

interface Piece extends Span {
  readonly text: string;
  /** Where it begins in the analysed SELECT, as written and as edited. */
  readonly written: number;
  readonly edited: number;
}

/** The statements before the last one. Their text depends on the columns that the table has. */
export class StatementTexts {
  readonly statements: readonly Statement[];
  readonly #query: string;
  readonly #marked: Marked | undefined;
  readonly #edited: ((columns: ReadColumns) => Edited) | undefined;

  /** `edited` gives the text of `marked`; both are undefined if no statement but the last reads the batch. */
  constructor(
    query: string,
    { before }: Statements,
    marked: Marked | undefined,
    edited: ((columns: ReadColumns) => Edited) | undefined,
  ) {
    this.#query = query;
    this.statements = before;
    this.#marked = marked;
    this.#edited = edited;
  }

  /** Writes parts of the query as they read a table with these columns. */
  writer(columns: ReadColumns): (text: Text) => Edited {
    const edited = this.#edited?.(columns);
    const pieces = edited === undefined ? [] : this.#piecesOf(edited);
    return (text) => write(this.#query, text, pieces, edited, this.#marked?.text ?? '');
  }

  #piecesOf(edited: Edited): Piece[] {
    const { text, parts } = this.#marked!;
    const [before, after] = [[...text.matchAll(MARK)], [...edited.text.matchAll(MARK)]];
    const pieces = parts.map(({ start, end }, index): Piece => {
      const [opening, closing] = [after[2 * index]!, after[2 * index + 1]!];
      const from = opening.index + opening[0].length;
      const [{ index: at, 0: sign }] = [before[2 * index]!];
      const written = at + sign.length;
      return { start, end, text: edited.text.slice(from, closing.index), written, edited: from };
    });
    return pieces.toSorted((a, b) => a.start - b.start);
  }
}

/** Where a run of the text comes from. */
interface Run {
  readonly from: number;
  /** The place in the query, or the piece that it is. */
  readonly start: number;
  readonly piece?: Piece;
}

function write(
  query: string,
  text: Text,
  pieces: readonly Piece[],
  edited: Edited | undefined,
  marked: string,
): Edited {
  const runs: Run[] = [];
  let written = '';
  const add = (part: string, run: Omit<Run, 'from'>): void => {
    runs.push({ from: written.length, ...run });
    written += part;
  };
  let last = 0;
  for (const part of text) {
    if (typeof part === 'string') {
      add(part, { start: last });
      continue;
    }
    let at = part.start;
    for (const piece of pieces) {
      if (piece.start < at || piece.end > part.end) continue;
      add(query.slice(at, piece.start), { start: at });
      add(piece.text, { start: piece.start, piece });
      at = piece.end;
    }
    add(query.slice(at, part.end), { start: at });
    last = part.end;
  }
  const original = (place: Place): Place => {
    const at = offsetOf(written, place);
    const { from, start, piece } = runs.findLast((run) => run.from <= at) ?? runs[0]!;
    if (piece === undefined) return placeAt(query, start + at - from);
    const within = edited!.original(placeAt(edited!.text, piece.edited + at - from));
    return placeAt(query, start + offsetOf(marked, within) - piece.written);
  };
  return { text: written, original };
}

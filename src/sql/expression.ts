import { errorMessage, MillraceError, type Rejection } from '../errors.ts';
import type { BudgetLimits } from '../component/budget.ts';
import type { Batch } from '../message/batch.ts';
import { valueReader, type RowValue } from '../message/row-values.ts';
import { queryLimits } from './limits.ts';
import { Query } from './query.ts';
import { sqlErrors } from './sql-errors.ts';

/** How long an expression may take for a batch. Milliseconds. */
const TIMEOUT = 30_000;

/** Where a mistake is in the query that the expression is a part of, which its author has not written. */
const PLACE = / \(line \d+, column \d+ of the query\)$/;

/** An SQL expression over the columns of each message, evaluated once for a batch. */
export class Expression {
  readonly #query: Query;

  private constructor(query: Query) {
    this.#query = query;
  }

  /**
   * `limits` are those of the stream.
   * @throws MillraceError MILLRACE_SQL_INVALID (fatal) for an expression that no data can make valid, or that is not about
   * one message
   */
  static async open(expression: string, limits: BudgetLimits): Promise<Expression> {
    let query: Query;
    try {
      query = await Query.open({
        // A comment may end the expression.
        query: `SELECT (${expression}\n) AS value FROM flow`,
        tableName: 'flow',
        schema: {},
        allowExternalAccess: false,
        timezone: 'UTC',
        traced: true,
        typed: true,
        timeout: TIMEOUT,
        ...queryLimits(limits),
        widened: () => {},
      });
    } catch (error) {
      throw invalid(errorMessage(error).replace(PLACE, ''), error);
    }
    if (query.isRowwise) return new Expression(query);
    await query.close();
    throw invalid('it needs other messages; expected an expression over one message');
  }

  /**
   * The value for each message, by its place in the batch. A message on which the expression fails is rejected alone, and has
   * none.
   */
  async values(
    batch: Batch,
    reject: (rejection: Rejection) => void,
    signal: AbortSignal,
  ): Promise<readonly (RowValue | undefined)[]> {
    const values: (RowValue | undefined)[] = Array.from({ length: batch.length });
    for (const made of await this.#query.run(batch.withPositions('own'), reject, signal)) {
      const read = valueReader(made.rows!.columns[0]!);
      for (let row = 0; row < made.length; row++) values[made.positionAt(row)!] = read(row);
    }
    return values;
  }

  /** Why it holds messages back, or undefined. */
  notReady(): string | undefined {
    return this.#query.notReady();
  }

  close(): Promise<void> {
    return this.#query.close();
  }
}

function invalid(message: string, cause?: unknown): MillraceError {
  return new MillraceError(sqlErrors.MILLRACE_SQL_INVALID, message, { cause, fatal: true });
}

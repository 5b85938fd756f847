import type { BudgetLimits } from '../../../component/budget.ts';
import { inField } from '../../../component/in-field.ts';
import { MillraceError, type Rejection } from '../../../errors.ts';
import type { Batch } from '../../../message/batch.ts';
import { Expression } from '../../../sql/expression.ts';

/** A condition of a case, and its bit. */
export interface Condition {
  readonly sql: string;
  readonly bit: number;
  /** The field that has it. */
  readonly field: string;
}

/** The SQL conditions of all cases, evaluated together. */
export class Conditions {
  readonly #expression: Expression;

  private constructor(expression: Expression) {
    this.#expression = expression;
  }

  /**
   * `first`: a message needs only the first of them that is true, and the others are not evaluated for it.
   * @throws MillraceError with the field of a condition that is wrong
   */
  static async open(
    conditions: readonly Condition[],
    { first, limits }: { readonly first: boolean; readonly limits: BudgetLimits },
  ): Promise<Conditions> {
    const branches = conditions.map(({ sql, bit }) => `WHEN (${sql}\n) THEN ${bit}`);
    const whole = first
      ? `CASE ${branches.join(' ')} ELSE 0 END`
      : branches.map((branch) => `CASE ${branch} ELSE 0 END`).join(' | ');
    try {
      return new Conditions(await Expression.open(`(${whole})::BIGINT`, limits));
    } catch (error) {
      // Alone, each says itself what is wrong with it.
      for (const { sql, field } of conditions) {
        await inField(field, async () => await (await Expression.open(sql, limits)).close());
      }
      throw error;
    }
  }

  /** Marks each message with the bits of its conditions; a message on which one of them fails is rejected. */
  async mark(
    batch: Batch,
    marks: Uint32Array,
    reject: (rejection: Rejection) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const rejected = new Set<number>();
    try {
      const values = await this.#expression.values(
        batch,
        (rejection) => {
          rejected.add(rejection.index);
          reject(rejection);
        },
        signal,
      );
      for (const [index, value] of values.entries()) if (value !== undefined) marks[index]! |= Number(value);
    } catch (error) {
      if (signal.aborted || !(error instanceof MillraceError) || error.fatal) throw error;
      // As behind the processor `sql`: nobody can tell which messages are wrong.
      for (let index = 0; index < batch.length; index++) if (!rejected.has(index)) reject({ index, error });
    }
  }

  notReady(): string | undefined {
    return this.#expression.notReady();
  }

  close(): Promise<void> {
    return this.#expression.close();
  }
}

import type { Context } from '../component/context.ts';
import type { Reject } from '../component/contracts.ts';
import { MillraceError } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import { Expression } from '../sql/expression.ts';

/** The text of an SQL expression over the fields of each message, for a field of the file. */
export class MessageSql {
  readonly #sql: string;
  readonly #field: string;
  readonly #context: Context;
  #expression: Promise<Expression> | undefined;

  constructor(sql: string, field: string, context: Context) {
    this.#sql = sql;
    this.#field = field;
    this.#context = context;
  }

  /** @throws MillraceError, fatal, about an expression that is not SQL */
  async prepare(): Promise<void> {
    try {
      await this.#open();
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      throw new MillraceError('MILLRACE_CONFIG_INVALID', `not an expression: ${error.message}`, {
        field: this.#field,
        fatal: true,
        cause: error,
      });
    }
  }

  /** The text of each message's value; undefined for NULL, and for a message that is rejected. */
  async of(batch: Batch, reject: Reject, signal: AbortSignal): Promise<(string | undefined)[]> {
    const values = await (await this.#open()).values(batch, reject, signal);
    return values.map((value) => (typeof value === 'string' ? value : undefined));
  }

  async close(): Promise<void> {
    // If it could not be opened, `prepare` has said so.
    const expression = await this.#expression?.catch(() => undefined);
    await expression?.close();
  }

  #open(): Promise<Expression> {
    this.#expression ??= Expression.open(`(${this.#sql}\n)::VARCHAR`, this.#context.stream.limits);
    return this.#expression;
  }
}

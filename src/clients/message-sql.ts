import type { Context } from '../component/context.ts';
import type { Reject } from '../component/contracts.ts';
import { MillraceError } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import { valueReader } from '../message/row-values.ts';
import { Query } from '../sql/query.ts';

const TIMEOUT = 30_000;
const LEAST_MEMORY = 256 * 1024 ** 2;

/** An SQL expression over the fields of each message. */
export class MessageSql {
  readonly #expression: string;
  readonly #field: string;
  readonly #context: Context;
  #query: Promise<Query> | undefined;

  constructor(expression: string, field: string, context: Context) {
    this.#expression = expression;
    this.#field = field;
    this.#context = context;
  }

  /** @throws MillraceError, fatal, about an expression that is not SQL */
  async prepare(): Promise<void> {
    let query: Query;
    try {
      query = await this.#open();
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      throw this.#invalid(error.message);
    }
    if (!query.isRowwise)
      throw this.#invalid('it needs other messages; expected an expression over one message');
  }

  /** The text of each message's value; undefined for NULL, and for a message that is rejected. */
  async of(batch: Batch, reject: Reject, signal: AbortSignal): Promise<(string | undefined)[]> {
    const query = await this.#open();
    const values: (string | undefined)[] = Array.from({ length: batch.length });
    for (const part of await query.run(batch.withPositions('own'), reject, signal)) {
      const { positions } = part.parts;
      const read = valueReader(part.rows!.columns[0]!);
      for (let row = 0; row < part.length; row++) {
        const value = read(row);
        if (value !== null) values[typeof positions === 'object' ? positions[row]! : row] = value as string;
      }
    }
    return values;
  }

  async close(): Promise<void> {
    // If it could not be opened, `prepare` has said so.
    const query = await this.#query?.catch(() => undefined);
    await query?.close();
  }

  #open(): Promise<Query> {
    const { stream } = this.#context;
    this.#query ??= Query.open({
      query: `SELECT (${this.#expression})::VARCHAR AS value FROM flow`,
      tableName: 'flow',
      schema: {},
      allowExternalAccess: false,
      timezone: 'UTC',
      traced: true,
      typed: true,
      timeout: TIMEOUT,
      memoryLimit: Math.max(LEAST_MEMORY, 4 * stream.limits.bytes),
      maxResultBytes: stream.limits.bytes,
      widened: () => {},
    });
    return this.#query;
  }

  #invalid(message: string): MillraceError {
    return new MillraceError('MILLRACE_CONFIG_INVALID', `not an expression: ${message}`, {
      field: this.#field,
      fatal: true,
    });
  }
}

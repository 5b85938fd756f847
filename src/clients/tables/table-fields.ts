import { z } from 'zod';
import type { Fail, Filled, Given } from '../../component/settings.ts';
import { messageValue } from '../message-value.ts';

/** Where the fields of an output that writes into tables differ from one database to another, in sentences. */
export interface TableWords {
  /** About `table`: how it is spelled. */
  readonly table: string;
  /** The condition for `keys`. */
  readonly keys: string;
  /** The types of `create`. */
  readonly types: string;
  /** The name of the database. */
  readonly database: string;
}

/** The fields of an output that writes into tables. */
export function tableFields({ table, keys, types, database }: TableWords) {
  return {
    table: messageValue(table),
    columns: z
      .record(z.string().min(1), messageValue('The value of the column; NULL for a message that has none.'))
      .refine((value) => Object.keys(value).length > 0, 'no column')
      .optional()
      .describe(
        'The columns to write, by name, with the value of each. Without it, messages are JSON objects, and each field goes to the column of its name.',
      ),
    unknown_fields: z
      .enum(['reject', 'ignore'])
      .default('reject')
      .describe(
        'Without `columns`: rejects a message that has a field for which the table has no column, or leaves that field out.',
      ),
    on_conflict: z
      .enum(['error', 'ignore', 'update'])
      .default('error')
      .describe(
        'A message whose key the table has already: `error` rejects it, `ignore` leaves the row as it is, `update` replaces the values of the row by those of the message.',
      ),
    keys: z
      .array(z.string().min(1))
      .min(1)
      .optional()
      .describe(
        `The columns of the key; ${keys} For \`on_conflict\`, and the primary key of a table that Millrace creates.`,
      ),
    create: z
      .boolean()
      .default(false)
      .describe(
        `Create the table if there is none. Its columns are those of \`columns\`, or the fields of the first messages; ${types}, unless \`schema\` says otherwise.`,
      ),
    schema: z
      .record(z.string().min(1), z.string().min(1))
      .default({})
      .describe(`Types of columns of a table that Millrace creates, by name, as ${database} writes them.`),
    exactly_once: z
      .boolean()
      .default(false)
      .describe(
        'Keep the id of each batch in the table `millrace_batches`, in the transaction of its rows, and skip a batch that is there already. Millrace creates that table, and forgets ids after a week.',
      ),
  };
}

export type TableConfig = Filled<ReturnType<typeof tableFields>>;

/** Reports mistakes in the combination of the fields. */
export function checkTable(value: TableConfig, fail: Fail, given: Given<TableConfig>): void {
  if (value.on_conflict === 'update' && value.keys === undefined)
    fail(['keys'], 'missing; `on_conflict: update` needs the columns of the key');
  if (value.columns !== undefined && given.unknown_fields !== undefined)
    fail(['unknown_fields'], 'has no effect with `columns`, which names what is written');
  if (!value.create && given.schema !== undefined) fail(['schema'], 'needs `create: true`');
  const names = value.columns && Object.keys(value.columns);
  for (const [index, key] of (value.keys ?? []).entries())
    if (names !== undefined && !names.includes(key)) fail(['keys', index], 'is not one of `columns`');
}

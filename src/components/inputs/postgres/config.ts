import { z } from 'zod';
import { checkPostgres, postgresFields } from '../../../clients/postgres/fields.ts';
import { duration } from '../../../component/fields.ts';
import { settings, type Filled } from '../../../component/settings.ts';

const shape = {
  ...postgresFields,
  query: z
    .string()
    .min(1)
    .optional()
    .describe(
      'A SELECT, whose rows are the messages. With `cursor`, `$1` in it is the place up to which rows were read.',
    ),
  cursor: z
    .strictObject({
      column: z
        .string()
        .min(1)
        .describe(
          'A column of the result that only grows, such as a number or a time. The query must be ordered by it.',
        ),
      initial: z
        .union([z.string(), z.number()])
        .transform(String)
        .describe('The value of `$1` at the first start, such as 0 or -infinity.'),
    })
    .optional()
    .describe('How to read only the rows that are new since the last time.'),
  interval: duration('s', { min: 1 })
    .optional()
    .describe(
      'The pause after a result before the query runs again; `1s` with `cursor` unless you set it. With neither, it runs once, and the input ends.',
    ),
  listen: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe(
      'Channels of NOTIFY. Without `query`, the payloads of notifications are the messages. With it, a notification ends the pause.',
    ),
  batch_size: z.int().min(1).max(100_000).default(1_000).describe('How many rows are read at a time.'),
};

export const schema = settings(shape, (value, fail, given) => {
  checkPostgres(value, fail);
  const { query, listen, cursor } = value;
  if (query === undefined && listen === undefined) fail([], 'expected query or listen');
  if (query !== undefined) {
    if (cursor !== undefined && !query.includes('$1'))
      fail(['query'], 'has no $1, so it would read every row again');
    if (cursor === undefined && query.includes('$1'))
      fail(['cursor'], 'missing; `$1` in the query is its value');
    return;
  }
  for (const name of ['cursor', 'interval', 'batch_size'] as const)
    if (given[name] !== undefined) fail([name], 'needs `query`');
});

export type PostgresInputConfig = Filled<typeof shape>;
export type QueryConfig = PostgresInputConfig & { readonly query: string };

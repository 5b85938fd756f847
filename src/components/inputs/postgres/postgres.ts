import { defineInput } from '../../../component/define.ts';
import { schema, type QueryConfig } from './config.ts';
import { PostgresListenInput } from './listen.ts';
import { PostgresQueryInput } from './query.ts';

/** Reads from PostgreSQL. */
export const postgresInput = defineInput({
  type: 'postgres',
  summary: 'Reads from PostgreSQL: the rows of a query, again and again from a cursor, or notifications.',
  status: 'beta',
  description: `Each row is a message: a JSON object that PostgreSQL makes, exact to the digit, with times in UTC and a BYTEA as \`\\x\` and hexadecimal digits.

With \`cursor\`, the query reads on from the last row. The place is kept beside the log of the stream (\`durability\`), once that row and all before it are done: after a restart, a row may come again, and none is missed. Without a log, the input begins with \`initial\` at each start. While the process runs, it goes on from the place in any case.

The column must only grow for those who read it. A number from a sequence does not quite: a transaction that began earlier may commit later, with a lower number. Leave out the newest rows (\`AND at < now() - interval '5 seconds'\`) if your transactions overlap.

With \`listen\` and no \`query\`, the payloads of NOTIFY are the messages. PostgreSQL keeps none for those who are away: notifications that come while the connection is down, or while \`in_flight\` is full (counted as \`overflow\`), are lost. With a query beside it, nothing is, because a notification is only a reason to look at once.

\`__meta_ext\` has \`cursor\`, the value of the column, or \`channel\`.`,
  schema,
  examples: [
    {
      title: 'New rows, as they come',
      yaml: 'type: postgres\nurl: postgres://millrace@localhost/plant\nquery: SELECT * FROM events WHERE id > $1 ORDER BY id\ncursor: { column: id, initial: 0 }\nlisten: [events]\n',
    },
    {
      title: 'Notifications',
      yaml: 'type: postgres\nurl: postgres://millrace@localhost/plant\nlisten: [alarms]\n',
    },
  ],
  create: (config, context) =>
    config.query === undefined
      ? new PostgresListenInput(config, context)
      : new PostgresQueryInput(config as QueryConfig, context),
});

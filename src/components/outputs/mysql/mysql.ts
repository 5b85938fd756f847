import { checkMysql, mysqlFields } from '../../../clients/mysql/fields.ts';
import { checkTable, tableFields } from '../../../clients/tables/table-fields.ts';
import { TableOutput } from '../../../clients/tables/table-output.ts';
import { defineOutput } from '../../../component/define.ts';
import { settings } from '../../../component/settings.ts';
import { mysqlDialect } from './dialect.ts';

const shape = {
  ...mysqlFields,
  ...tableFields({
    table:
      'The table, such as `readings` or `database.readings`. It and its columns are spelled as they are in the database.',
    keys: 'the table needs a unique index over them.',
    types:
      'a whole number becomes BIGINT, any other number DECIMAL(65,30), a boolean BOOLEAN, an object or a list JSON, anything else LONGTEXT, or VARCHAR(255) in a key',
    database: 'MySQL',
  }),
};

const schema = settings(shape, (value, fail, given) => {
  checkMysql(value, fail);
  checkTable(value, fail, given);
});

/** Writes rows into MySQL or MariaDB. */
export const mysqlOutput = defineOutput({
  type: 'mysql',
  summary: 'Writes messages into a table of MySQL or MariaDB, a row each.',
  status: 'beta',
  description: `A batch is one transaction, and most often one statement. A message is confirmed once the server has committed it. Use tables of InnoDB: others know no transactions, so that a repeated batch may be there twice, and a part of one once.

Without \`columns\`, a message is a JSON object, and its fields go to the columns of their names. The server itself reads them, in strict mode: a DECIMAL keeps every digit, a column of JSON takes any value. DATETIME and TIMESTAMP take ISO 8601; a time with an offset becomes UTC. Bytes are base64, or \`\\x\` and hexadecimal digits. A column that a message lacks gets its default. With \`columns\`, the values are text in the same way: \`{{payload}}\` is the message itself.

A row that the table refuses (a value of another type, a constraint, a trigger that raises) goes to \`error_output\` alone, with the server’s words; the others are written, in order. If the table is missing, the output waits for it, unless its name differs by message: then the message goes to \`error_output\`.

Unlike PostgreSQL, these servers round a number with too many digits behind the point, and \`on_conflict\` looks at every unique index of the table, not only the one over \`keys\`.

Repeats: if the connection is lost while the server commits, nobody knows whether it has, and the batch is written again. With a key and \`on_conflict: ignore\` or \`update\`, that changes nothing. \`exactly_once\` does the same for a table without a key, as long as a repeated batch is the same: always while the process runs, and behind a log after a restart as well.`,
  schema,
  examples: [
    {
      title: 'Each field into its column, the newest reading of a device',
      yaml: 'type: mysql\nurl: mysql://millrace@localhost:3306/plant\npassword_file: /run/secrets/mysql\ntable: readings\non_conflict: update\nkeys: [device]\ncreate: true\nschema: { at: DATETIME(6) }\n',
    },
    {
      title: 'The whole message, with metadata',
      yaml: "type: mysql\nurl: mysql://millrace:${PASSWORD}@localhost/plant\ntable: raw\ncolumns:\n  source: '{{source}}'\n  day: '{{date}}'\n  body: '{{payload}}'\n",
    },
  ],
  create: (config, context) => new TableOutput(config, context, mysqlDialect),
});

import { TableOutput } from '../../../clients/tables/table-output.ts';
import { defineOutput } from '../../../component/define.ts';
import { schema } from './config.ts';
import { postgresDialect } from './dialect.ts';

/** Writes rows into PostgreSQL. */
export const postgresOutput = defineOutput({
  type: 'postgres',
  summary: 'Writes messages into a table of PostgreSQL, a row each.',
  status: 'beta',
  description: `A batch is one transaction, and most often one statement. A message is confirmed once PostgreSQL has committed it.

Without \`columns\`, a message is a JSON object, and its fields go to the columns of their names. PostgreSQL itself reads them: NUMERIC keeps every digit, a TIMESTAMPTZ takes ISO 8601, JSONB takes any value, an array takes a list. A BYTEA takes base64, or \`\\x\` and hexadecimal digits. A column that a message lacks gets its default. With \`columns\`, the values are text in the same way: \`{{payload}}\` is the message itself.

A row that the table refuses (a value of another type, a constraint, a trigger that raises) goes to \`error_output\` alone, with the server’s words; the others are written, in order. If the table is missing, the output waits for it, unless its name differs by message: then the message goes to \`error_output\`.

Repeats: if the connection is lost while PostgreSQL commits, nobody knows whether it has, and the batch is written again. With a key and \`on_conflict: ignore\` or \`update\`, that changes nothing. \`exactly_once\` does the same for a table without a key, as long as a repeated batch is the same: always while the process runs, and behind a log after a restart as well.

TimescaleDB and other servers that speak this protocol work as well, if they have \`json_to_recordset\`.`,
  schema,
  examples: [
    {
      title: 'Each field into its column, the newest reading of a device',
      yaml: 'type: postgres\nurl: postgres://millrace@localhost:5432/plant\npassword_file: /run/secrets/postgres\ntable: readings\non_conflict: update\nkeys: [device]\ncreate: true\nschema: { at: TIMESTAMPTZ }\n',
    },
    {
      title: 'The whole message, with metadata',
      yaml: "type: postgres\nurl: postgres://millrace:${PASSWORD}@localhost/plant\ntable: raw\ncolumns:\n  source: '{{source}}'\n  day: '{{date}}'\n  body: '{{payload}}'\n",
    },
  ],
  create: (config, context) => new TableOutput(config, context, postgresDialect),
});

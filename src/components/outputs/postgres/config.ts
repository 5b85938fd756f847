import { checkPostgres, postgresFields } from '../../../clients/postgres/fields.ts';
import { checkTable, tableFields } from '../../../clients/tables/table-fields.ts';
import { settings } from '../../../component/settings.ts';

const shape = {
  ...postgresFields,
  ...tableFields({
    table:
      'The table, such as `readings` or `schema.readings`, spelled as it is in the database: `Readings` is not `readings`.',
    keys: 'the table needs a unique index over exactly them.',
    types:
      'a whole number becomes BIGINT, any other number NUMERIC, an object or a list JSONB, anything else TEXT',
    database: 'PostgreSQL',
  }),
};

export const schema = settings(shape, (value, fail, given) => {
  checkPostgres(value, fail);
  checkTable(value, fail, given);
});

import { z } from 'zod';
import type { Context } from '../../component/context.ts';
import type { ProcessCall, Processor } from '../../component/contracts.ts';
import { defineProcessor } from '../../component/define.ts';
import { duration, size } from '../../component/fields.ts';
import type { Batch } from '../../message/batch.ts';
import { Query } from '../../sql/query.ts';

const MIB = 1024 ** 2;

/** What a database needs to do anything at all, and a result that is small for every machine. Bytes. */
const LEAST_MEMORY = 256 * MIB;
const LEAST_RESULT = 16 * MIB;

const schema = z.strictObject({
  query: z.string().min(1).describe('One SELECT statement, in DuckDB’s SQL.'),
  table_name: z.string().min(1).default('flow').describe('The name of the table that is the batch.'),
  schema: z
    .record(z.string().min(1), z.string().min(1))
    .default({})
    .describe(
      'Types of columns, by name, as DuckDB writes them (`BIGINT`, `TIMESTAMP`, `STRUCT(a VARCHAR)`). A message whose value does not convert is rejected; a string converts if it reads as the type. Other columns get the type that messages show. Declare what a query computes with where you don’t trust the senders.',
    ),
  timeout: duration('s', { min: 1 })
    .default(30_000)
    .describe(
      'How long the query may run on a batch. Then it is interrupted, and the messages that make it slow are looked for and rejected; if none can be named, the batch is.',
    ),
  memory_limit: size({ min: 32 * MIB })
    .optional()
    .describe(
      'What the query may hold in memory, for all batches that run at the same time. A value that a function makes, such as `repeat`, is not counted while it is made. Four times the stream’s `in_flight.bytes` unless set, and 256 MiB at least. A query whose rows are each made of one message is run on smaller parts of the batch when it does not fit; with another, the batch is rejected.',
    ),
  max_result_bytes: size({ min: 1 })
    .optional()
    .describe(
      'How large the rows for one batch may be together. As much as the stream’s `in_flight.bytes` unless set, and 16 MiB at least. Messages that give more alone are rejected; if there are none, the batch is.',
    ),
  allow_external_access: z
    .boolean()
    .default(false)
    .describe(
      'Let the query read and write files, attach databases, load extensions, and use DuckDB’s log, profiler and settings.',
    ),
});

/** An SQL query over each batch. */
export const sqlProcessor = defineProcessor({
  type: 'sql',
  summary: 'Runs an SQL query over each batch; its rows are the messages that go on.',
  status: 'stable',
  description: `The table has a row for each message of the batch, in order: what had arrived, or the window that a buffer gives.

- A JSON object gives a column for each of its fields; nested objects and arrays are columns of type JSON (\`device->>'name'\`). A field that a message lacks is NULL, and so is a column that no message has shown yet. A JSON value that is not an object is in the column \`__value__\`. Without a codec, \`__value__\` is all there is: a BLOB, or with the \`text\` codec a VARCHAR.
- \`__meta_source\`, \`__meta_ingest_time\`, \`__meta_key\`, \`__meta_partition\`, \`__meta_offset\`, \`__meta_event_time\` and \`__meta_ext\` (\`__meta_ext['session_id']\`) are columns too. A result column of such a name becomes metadata of its row and is not in the payload: \`SELECT *, room AS __meta_key FROM flow\` gives each message a key, for an output to route by. Give one another name to have it in the payload.
- Columns take the narrowest type that holds what was seen and widen when more is needed: integers to 38 digits are exact. Where the query computes with a column, a message whose field has another type than most senders give it goes to \`error_output\` alone, and so does a message that makes the query fail.
- Each row goes on as one JSON object. \`SELECT * FROM flow\`, filtered or sorted at most and without \`schema\`, passes the messages themselves on, byte for byte. NaN and infinity become null, and a BLOB becomes base64. A processor or an output that takes rows, as \`sql\` does, gets them with their types instead.`,
  schema,
  examples: [
    {
      title: 'Averages by sensor',
      yaml: 'type: sql\nquery: |\n  SELECT sensor, avg(temperature) AS average, count(*) AS readings\n  FROM flow GROUP BY sensor ORDER BY sensor\n',
    },
    { title: 'Filter', yaml: 'type: sql\nquery: SELECT * FROM flow WHERE temperature > 30\n' },
  ],
  create: (config, context) => new SqlProcessor(config, context),
});

class SqlProcessor implements Processor {
  readonly takes = 'rows';
  readonly #config: z.output<typeof schema>;
  readonly #context: Context;
  #query: Promise<Query> | undefined;
  #opened: Query | undefined;

  constructor(config: z.output<typeof schema>, context: Context) {
    this.#config = config;
    this.#context = context;
  }

  async prepare(): Promise<void> {
    await this.#open();
  }

  async process(batch: Batch, { reject, signal }: ProcessCall): Promise<Batch[]> {
    const query = await this.#open();
    return [...(await query.run(batch, reject, signal))];
  }

  notReady(): string | undefined {
    const reason = this.#opened?.notReady();
    return reason === undefined ? undefined : `processor sql: ${reason}`;
  }

  async close(): Promise<void> {
    // What could not be opened has said so already.
    const query = await this.#query?.catch(() => undefined);
    await query?.close();
  }

  #open(): Promise<Query> {
    this.#query ??= this.#create();
    return this.#query;
  }

  async #create(): Promise<Query> {
    const { events, stream } = this.#context;
    const config = this.#config;
    this.#opened = await Query.open({
      query: config.query,
      tableName: config.table_name,
      schema: config.schema,
      allowExternalAccess: config.allow_external_access,
      // Who comes after it may reject a row, and the dead letter is of the message.
      traced: stream.followed,
      typed: stream.takesRows,
      timeout: config.timeout,
      memoryLimit: config.memory_limit ?? Math.max(LEAST_MEMORY, 4 * stream.limits.bytes),
      maxResultBytes: config.max_result_bytes ?? Math.max(LEAST_RESULT, stream.limits.bytes),
      started: () => events.queryStarted(),
      ended: (seconds) => events.queryEnded(seconds),
      widened: ({ name, from, to }) =>
        events.noticed({ column: name, from, to }, `column ${name} is ${to} from now on; it was ${from}`),
    });
    return this.#opened;
  }
}

import { resolve } from 'node:path';
import { z } from 'zod';
import type { Context } from '../../component/context.ts';
import type { ProcessCall, Processor } from '../../component/contracts.ts';
import { defineProcessor } from '../../component/define.ts';
import { duration, fixedPath, size, timeZone } from '../../component/fields.ts';
import { MillraceError } from '../../errors.ts';
import type { Batch } from '../../message/batch.ts';
import { runRejectingFiltered } from '../../sql/filtered.ts';
import { queryLimits } from '../../sql/limits.ts';
import { Query } from '../../sql/query.ts';
import { StateCheckpoints } from '../../sql/state-checkpoints.ts';
import { valueMessages } from '../../sql/value-messages.ts';

const MIB = 1024 ** 2;

/** A column that this many messages lack is probably a mistake in the query. */
const ENOUGH = 100;

const schema = z.strictObject({
  query: z
    .string()
    .min(1)
    .describe(
      'A SELECT statement, in DuckDB’s SQL, whose rows become the messages. Other statements may stand before it, each with a semicolon at its end: `CREATE TEMP TABLE`, for this batch; and `INSERT`, `UPDATE`, `DELETE` and `MERGE`, for such tables and those of `state`. All of them run for each batch, as one transaction.',
    ),
  table_name: z.string().min(1).default('flow').describe('The name of the table that holds the batch.'),
  schema: z
    .record(z.string().min(1), z.string().min(1))
    .default({})
    .describe(
      'Types of columns, by name, as DuckDB writes them (`BIGINT`, `TIMESTAMP`, `STRUCT(a VARCHAR)`). A message whose value does not convert is rejected; a string converts if it reads as the type. Other columns get their type from the messages. If you don’t trust the senders, declare the columns that the query computes with.',
    ),
  temporary_list: z
    .array(z.looseObject({ name: z.string(), table_name: z.string() }))
    .optional()
    .meta({ foreign: true })
    .describe('ArkFlow’s stores that the query reads beside the batch. Millrace has none yet.'),
  setup: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Statements that run once, before the first batch, and make what the query uses: `CREATE MACRO`, `CREATE VIEW`, `CREATE TABLE … AS VALUES`. They don’t see the batch.',
    ),
  tables: z
    .record(z.string().min(1), fixedPath)
    .default({})
    .describe(
      'Reference tables to join with, by name: the path of a `.csv`, `.tsv`, `.json`, `.jsonl`, `.ndjson` or `.parquet` file. Text files may be compressed (`.gz`, `.zst`). Millrace reads a file at the start, and again within about a second after it has changed; if that fails, the table stays as it was, and readiness says why.',
    ),
  state: z
    .record(z.string().min(1), z.union([z.string().min(1), z.record(z.string().min(1), z.string().min(1))]))
    .default({})
    .describe(
      'Tables that live from one batch to the next, by name: the type of each column, which may be followed by `PRIMARY KEY`, `DEFAULT 0` and the like; or the whole `CREATE TABLE`. Statements of `query` change them. They are in memory. In a stream with a log they are also on the disk, so that each message has changed them exactly once, also after a crash; without a log they are empty at the start. Batches then run one after the other, whatever `thread_num` is.',
    ),
  max_state_bytes: size({ min: 1024 ** 2 })
    .default(64 * MIB)
    .describe(
      'How much memory the tables of `state` may take. A batch that would make them larger goes to `error_output`, and changes nothing.',
    ),
  timezone: timeZone()
    .default('UTC')
    .describe(
      'The time zone of the query, an IANA name such as `Europe/Berlin`: for `hour(now())`, `now()::DATE`, `date_trunc`, and times without an offset that become times with a zone. Times with a zone become JSON in UTC, whatever it is.',
    ),
  on_filtered: z
    .enum(['drop', 'reject'])
    .default('drop')
    .describe(
      'Drops messages of which the query makes no row, because of its `WHERE`, or rejects them with `MILLRACE_SQL_FILTERED`, so that `error_output` gets them. `reject` needs a query that makes each row of one message.',
    ),
  timeout: duration('s', { min: 1 })
    .default(30_000)
    .describe(
      'How long the query may run on a batch. Then it is interrupted, and Millrace finds and rejects the messages that make it slow; if it finds none, it rejects the batch.',
    ),
  max_memory_bytes: size({ min: 32 * MIB })
    .optional()
    .describe(
      'How much memory the query may hold, for all batches that run at the same time. A value that a function such as `repeat` makes does not count while it is made. Default: four times the stream’s `in_flight.bytes`, at least 256 MiB, and twice `max_state_bytes` if there is `state`. If a batch does not fit and each row is made of one message, the query runs on smaller parts of the batch; otherwise, the batch is rejected.',
    ),
  max_result_bytes: size({ min: 1 })
    .optional()
    .describe(
      'How large the rows for one batch may be together. Default: the stream’s `in_flight.bytes`, at least 16 MiB. Messages that alone make more are rejected; if there are none, the batch is.',
    ),
  allow_external_access: z
    .boolean()
    .default(false)
    .describe(
      'Allow the query to read and write files, attach databases, load extensions, and use DuckDB’s log, profiler and settings.',
    ),
});

/** An SQL query over each batch. */
export const sqlProcessor = defineProcessor({
  type: 'sql',
  summary: 'Runs an SQL query over each batch; its rows become the messages.',
  status: 'stable',
  description: `The table has a row for each message of the batch, in order: the messages that had arrived, or the window of a buffer.

- A JSON object gives a column for each of its fields; nested objects and arrays are columns of type JSON (\`device->>'name'\`). A field that a message lacks is NULL, and so is a column that no message has had yet. A JSON value that is not an object is in the column \`__value__\`. Without a codec, \`__value__\` is all there is: a BLOB, or with the \`text\` codec a VARCHAR.
- \`__meta_source\`, \`__meta_ingest_time\`, \`__meta_key\`, \`__meta_partition\`, \`__meta_offset\`, \`__meta_event_time\` and \`__meta_ext\` (\`__meta_ext['session_id']\`) are columns too. A result column of such a name becomes metadata of its row and is not in the payload: \`SELECT *, room AS __meta_key FROM flow\` gives each message a key, for an output to route by. Rename it to have it in the payload.
- Columns take the narrowest type that holds the values seen, and widen when needed: integers of up to 38 digits are exact. If the query computes with a column, a message whose field has another type than most senders give it goes to \`error_output\` alone, as does a message that makes the query fail.
- Each row becomes one JSON object; if \`__value__\` is its only column, its value is the message: text, bytes, or any other value as JSON. \`SELECT * FROM flow\`, at most filtered or sorted and without \`schema\`, passes the messages themselves, byte for byte. Values become JSON without loss: a DECIMAL keeps its digits, times are ISO 8601, a BLOB is base64, and NaN and infinity are null. A processor or an output that takes rows, as \`sql\` does, gets them with their types instead.`,
  schema,
  examples: [
    {
      title: 'Averages by sensor',
      yaml: 'type: sql\nquery: |\n  SELECT sensor, avg(temperature) AS average, count(*) AS readings\n  FROM flow GROUP BY sensor ORDER BY sensor\n',
    },
    {
      title: 'A reference table and a function',
      yaml: 'type: sql\ntables:\n  sites: ./sites.csv\nsetup: CREATE MACRO fahrenheit(c) AS c * 9 / 5 + 32\nquery: |\n  SELECT site, name, fahrenheit(temperature) AS temperature\n  FROM flow LEFT JOIN sites USING (site)\n',
    },
    { title: 'Filter', yaml: 'type: sql\nquery: SELECT * FROM flow WHERE temperature > 30\n' },
  ],
  create: (config, context) => new SqlProcessor(config, context),
});

function createMetrics(metrics: Context['metrics']) {
  const running = metrics.gauge({ name: 'queries_running', help: 'Batches in the query now.' });
  running.set(0);
  const time = metrics.histogram({
    name: 'query_seconds',
    help: 'Time for which a batch occupied one of the threads of SQL, including the search for messages that make the query fail.',
  });
  const messages = metrics.counter({ name: 'messages_total', help: 'Messages that the query took in.' });
  const rows = metrics.counter({ name: 'rows_total', help: 'Rows that the query made.' });
  return { running, time, messages, rows };
}

class SqlProcessor implements Processor {
  readonly takes = 'rows';
  /** Tables are changed in the order of the messages. */
  readonly ordered: boolean;
  readonly #config: z.output<typeof schema>;
  readonly #context: Context;
  readonly #metrics: ReturnType<typeof createMetrics>;
  /** Batches in queries now. */
  #running = 0;
  /** Messages so far, until the remarks on them have been told. */
  #seen = 0;
  #isTold = false;
  /** Undefined without tables of state, and without a log. */
  readonly #checkpoints: StateCheckpoints | undefined;
  #query: Promise<Query> | undefined;
  #opened: Query | undefined;

  constructor(config: z.output<typeof schema>, context: Context) {
    this.#config = config;
    this.ordered = Object.keys(config.state).length > 0;
    this.#context = context;
    const isKept = this.ordered && context.state !== undefined;
    this.#checkpoints = isKept ? new StateCheckpoints(() => this.#open()) : undefined;
    this.#metrics = createMetrics(context.metrics);
  }

  async prepare(): Promise<void> {
    if ((this.#config.temporary_list ?? []).length > 0) {
      const message = 'names a temporary store, and Millrace has none yet';
      throw new MillraceError('MILLRACE_CONFIG_INVALID', message, { field: 'temporary_list', fatal: true });
    }
    const query = await this.#open();
    if (this.#config.on_filtered === 'drop' || query.isRowwise) return;
    const message =
      'needs a query that makes each row of one message: without groups, aggregates, windows, joins, ORDER BY or LIMIT';
    throw new MillraceError('MILLRACE_CONFIG_INVALID', message, { field: 'on_filtered', fatal: true });
  }

  async process(batch: Batch, { reject, signal, position }: ProcessCall): Promise<Batch[]> {
    const query = await this.#open();
    this.#checkpoints?.before(position);
    const rows =
      this.#config.on_filtered === 'drop'
        ? await query.run(batch, reject, signal)
        : await runRejectingFiltered(query, batch, reject, signal);
    await this.#checkpoints?.after();
    this.#count(batch.length, rows);
    return this.#context.stream.takesRows ? [...rows] : rows.map(valueMessages);
  }

  get rest(): number {
    return this.#opened?.rest ?? 0;
  }

  get flushAt(): number | undefined {
    return this.#checkpoints?.due;
  }

  async flush(): Promise<never[]> {
    await this.#checkpoints?.save();
    return [];
  }

  remarks(): readonly MillraceError[] {
    return this.#opened?.remarks() ?? [];
  }

  #count(messages: number, rows: readonly Batch[]): void {
    this.#metrics.messages.add(messages);
    for (const { length } of rows) this.#metrics.rows.add(length);
    if (this.#isTold) return;
    this.#seen += messages;
    if (this.#seen >= ENOUGH) this.#tellRemarks();
  }

  #tellRemarks(): void {
    if (this.#isTold) return;
    this.#isTold = true;
    for (const { message } of this.remarks()) this.#context.events.noticed({}, message);
  }

  notReady(): string | undefined {
    const reason = this.#opened?.notReady() ?? this.#checkpoints?.notReady();
    return reason === undefined ? undefined : `processor sql: ${reason}`;
  }

  async close(): Promise<void> {
    // A stream may end before it has had enough messages.
    if (this.#seen > 0) this.#tellRemarks();
    // A query that could not be opened has reported its error already.
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
    const folder = this.#checkpoints && this.#keep(this.#checkpoints);
    // Tables are there twice while they are rewritten.
    const stateBytes = this.ordered ? 2 * config.max_state_bytes : 0;
    const { memoryLimit, maxResultBytes } = queryLimits(stream.limits);
    this.#opened = await Query.open({
      query: config.query,
      tableName: config.table_name,
      schema: config.schema,
      allowExternalAccess: config.allow_external_access,
      timezone: config.timezone,
      setup: config.setup,
      tables: config.tables,
      state: { tables: config.state, maxBytes: config.max_state_bytes },
      folder,
      // A following component may reject a row, and the dead letter shows the message.
      traced: stream.followed || config.on_filtered === 'reject',
      typed: stream.takesRows,
      undecoded: stream.undecoded,
      timeout: config.timeout,
      memoryLimit: config.max_memory_bytes ?? memoryLimit + stateBytes,
      maxResultBytes: config.max_result_bytes ?? maxResultBytes,
      started: () => this.#metrics.running.set(++this.#running),
      ended: (seconds) => {
        this.#metrics.running.set(--this.#running);
        this.#metrics.time.observe(seconds);
      },
      widened: ({ name, from, to }) =>
        events.noticed({ column: name, from, to }, `column ${name} is ${to} from now on; it was ${from}`),
    });
    return this.#opened;
  }

  /** @returns the folder of the tables */
  #keep(checkpoints: StateCheckpoints): string {
    const { stream } = this.#context;
    if (stream.buffered) {
      const message =
        'cannot stand behind a buffer in a stream with a log: windows do not bring the messages in the order of the log, and some bring them several times. Group by time in the query instead (`time_bucket`), or leave out the buffer';
      throw new MillraceError('MILLRACE_CONFIG_INVALID', message, { field: 'state', fatal: true });
    }
    const folder = resolve(stream.durability!.keepFor(checkpoints));
    checkpoints.folder = folder;
    return folder;
  }
}

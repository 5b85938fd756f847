import { declareErrors } from '../errors.ts';

/** Codes of queries. */
export const sqlErrors = declareErrors({
  MILLRACE_SQL_INVALID: {
    help: 'The SQL query is not valid. The message quotes the database’s error.',
  },
  MILLRACE_SQL_FIELD_CONFLICT: {
    help: 'A message has a field whose type or name the query cannot combine with the fields of other messages. It went to `error_output`.',
    told: 'a field of the message has a name or a value that does not fit here',
  },
  MILLRACE_SQL_FILTERED: {
    help: 'The query made no row of a message, and `on_filtered` is `reject`. It went to `error_output`.',
    told: 'the message was filtered out',
  },
  MILLRACE_SQL_TEXT_TOO_DEEP: {
    help: 'A message is or holds text whose brackets are nested deeper than 512 levels, and the query reads JSON from text. It went to `error_output`.',
    told: 'text in the message is nested deeper than 512 levels',
  },
  MILLRACE_SQL_UNRESOLVED: {
    help: 'The SQL query fails on a batch, and the search for the messages to blame ran out of time. The remaining suspects went to `error_output` together. The message ends with the query’s error.',
    told: 'the message could not be processed together with others of its batch',
  },
  MILLRACE_SQL_TIMEOUT: {
    help: 'The SQL query ran longer than its `timeout`. If it finishes in time without certain messages, only those went to `error_output`; otherwise the whole batch did.',
    told: 'the message took too long to process',
  },
  MILLRACE_SQL_TOO_LARGE: {
    help: 'The SQL query needs more memory than `max_memory_bytes`, or its result is larger than `max_result_bytes`. If certain messages alone exceed the limit, only those went to `error_output`; otherwise the whole batch did.',
    told: 'the result of the message is too large',
  },
  MILLRACE_SQL_STATE_TOO_LARGE: {
    help: 'The tables of `state` would take more memory than `max_state_bytes`. The batch went to `error_output`, and the tables are as they were before it. Delete rows that are no longer needed in the query, or allow more.',
    told: 'there is no space for the message',
  },
  MILLRACE_SQL_STATE_UNREADABLE: {
    help: 'The tables of `state` cannot be restored from the file beside the stream’s log: it is damaged, or the tables that the configuration declares cannot take its rows. The stream does not start, so that nothing is counted anew in silence. Correct the declaration, or remove the file to begin with empty tables.',
  },
});

import { declareErrors } from '../errors.ts';

/** Codes of queries. */
export const sqlErrors = declareErrors({
  MILLRACE_SQL_INVALID: {
    help: 'The SQL query is not valid. The message quotes what the database says of it.',
  },
  MILLRACE_SQL_FIELD_CONFLICT: {
    help: 'A message has a field of a type, or a name, that the query cannot take beside what other messages have. It went to `error_output`.',
    told: 'a field of the message has a name or a value that does not fit here',
  },
  MILLRACE_SQL_TEXT_TOO_DEEP: {
    help: 'A message is or holds text whose brackets are nested deeper than 512 levels, and the query reads JSON from text. It went to `error_output`.',
    told: 'text in the message is nested deeper than 512 levels',
  },
  MILLRACE_SQL_UNRESOLVED: {
    help: 'The SQL query fails on a batch, and the messages that are to blame could not be told from the others in the time that the search for them may take. They went to `error_output` together. The message ends with what the query failed with.',
    told: 'the message could not be processed together with others of its batch',
  },
  MILLRACE_SQL_TIMEOUT: {
    help: 'The SQL query ran longer than its `timeout`. Messages without which it does not went to `error_output` alone, where there are such; else the batch did.',
    told: 'the message took too long to process',
  },
  MILLRACE_SQL_TOO_LARGE: {
    help: 'The SQL query needs more memory than `memory_limit`, or its result is larger than `max_result_bytes`. Messages that are too much alone went to `error_output`, where there are such; else the batch did.',
    told: 'what comes of the message is too large',
  },
});

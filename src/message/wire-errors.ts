import { declareErrors } from '../errors.ts';

/**
 * The error code of a batch that another version has written in a different format, into a log or for another process.
 */
export const wireErrors = declareErrors({
  MILLRACE_WAL_VERSION: {
    help: 'The log of `durability` was written by a version of Millrace whose logs this one does not read. Let that version deliver its messages, or export them with its `millrace wal`.',
  },
});

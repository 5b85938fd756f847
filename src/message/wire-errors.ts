import { declareErrors } from '../errors.ts';

/** The code of a batch that another version has written in a way of its own, into a log or for another process. */
export const wireErrors = declareErrors({
  MILLRACE_WAL_VERSION: {
    help: 'The log of `durability` was written by a version of Millrace whose logs this one does not read. Let that version deliver what is in it, or export it with its `millrace wal`.',
  },
});

import { declareErrors } from '../errors.ts';

/** Codes of the commands that send. */
export const commandErrors = declareErrors({
  MILLRACE_SEND_FAILED: {
    help: '`millrace send` could not have every message acknowledged. The line after it says how far it came.',
  },
  MILLRACE_REPLAY_INVALID: {
    help: 'What `millrace replay` was given has a line that is no dead letter. The message names it. Of a file nothing was sent; of a pipe what came before it.',
  },
});

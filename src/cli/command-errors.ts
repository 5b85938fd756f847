import { declareErrors } from '../errors.ts';

/** Codes of the commands that send. */
export const commandErrors = declareErrors({
  MILLRACE_SEND_FAILED: {
    help: '`millrace send` did not get an acknowledgement for every message. The line after this one shows how far it came.',
  },
  MILLRACE_REPLAY_INVALID: {
    help: 'The input of `millrace replay` has a line that is not a dead letter. The message names the line. From a file, nothing was sent; from a pipe, the lines before it were.',
  },
});

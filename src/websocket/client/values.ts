import { randomBytes } from 'node:crypto';
import type { Environment } from '../../component/context.ts';
import { errorMessage } from '../../errors.ts';
import type { TemplateNames, TemplateValues } from '../../component/template.ts';
import { LONGEST_SECRET, readWholeFileSync } from '../../component/whole-file.ts';
import { timeNames, timeValue } from '../../component/time-values.ts';
import { utf8Text, withoutLineBreak } from '../../net/secret-text.ts';
import type { Secrets } from '../../net/attempt-secrets.ts';

/** The names that `{{…}}` may hold where a client opens a connection; filled in afresh at every attempt. */
export const attemptNames: TemplateNames = {
  cursor: 'the cursor of `resume`',
  'env:': 'an environment variable',
  'file:': 'the content of a file, without its last line break',
  ...timeNames,
  random: 'a random number, 32 hexadecimal digits',
  token: 'the token of `auth`',
};

/** The values of one attempt. They throw if a file cannot be read. Values that may be secret go into `secrets`. */
export function attemptValues(sources: {
  env: Environment;
  cursor: string | undefined;
  token: string | undefined;
  secrets: Secrets;
}): TemplateValues {
  const { env, cursor, token, secrets } = sources;
  const secret = (text: string | undefined): string | undefined => {
    // As with `${…}`: an empty value counts as none; otherwise it would be sent in place of a secret.
    if (text === undefined || text.trim() === '') return undefined;
    secrets.add(text);
    return text;
  };
  return (name, argument = '') => {
    if (name === 'cursor') return cursor;
    if (name === 'token') return secret(token);
    if (name === 'env') return secret(env[argument]);
    // Read once per attempt, and small: not worth making every template asynchronous.
    if (name === 'file') return secret(textOf(argument));
    if (name === 'random') return randomBytes(16).toString('hex');
    return timeValue(name);
  };
}

function textOf(path: string): string {
  try {
    return withoutLineBreak(utf8Text(readWholeFileSync(path, LONGEST_SECRET)));
  } catch (error) {
    // System errors already name the file.
    throw (error as NodeJS.ErrnoException).code === undefined
      ? new Error(`${path}: ${errorMessage(error)}`)
      : error;
  }
}

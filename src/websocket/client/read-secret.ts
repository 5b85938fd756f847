import { readFile } from 'node:fs/promises';
import { NotConnectedError, errorMessage } from '../../errors.ts';
import { withoutLineBreak } from './values.ts';

/** The content of a file that `field` names, without its last line break. @throws NotConnectedError */
export async function readSecret(path: string, field: string): Promise<string> {
  let text: string;
  try {
    text = withoutLineBreak(await readFile(path, 'utf8'));
  } catch (error) {
    throw new NotConnectedError(`cannot read \`${field}\`: ${errorMessage(error)}`, error);
  }
  if (text === '') throw new NotConnectedError(`cannot use \`${field}\`: ${path} is empty`);
  return text;
}

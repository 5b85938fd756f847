import { LONGEST_SECRET, readWholeFile } from '../../component/whole-file.ts';
import { NotConnectedError, errorMessage } from '../../errors.ts';
import { secretProblem, utf8Text, withoutLineBreak } from '../secret-text.ts';

/**
 * The content of a file that `field` names, without its last line break. `problem` says why it cannot be used.
 * @throws NotConnectedError
 */
export async function readSecret(
  path: string,
  field: string,
  problem: (text: string) => string | undefined = secretProblem,
): Promise<string> {
  let text: string;
  try {
    text = withoutLineBreak(utf8Text(await readWholeFile(path, LONGEST_SECRET)));
  } catch (error) {
    throw new NotConnectedError(`cannot read \`${field}\`: ${errorMessage(error)}`, error);
  }
  const wrong = problem(text);
  if (wrong !== undefined) throw new NotConnectedError(`cannot use \`${field}\`: ${path} ${wrong}`);
  return text;
}

import type { z } from 'zod';
import type { MessageValues } from '../../component/message-template.ts';
import { checkJsonPaths } from '../../component/message-text.ts';
import type { TemplateNames } from '../../component/template.ts';
import { jsonAt, parseJsonPath, textAt } from '../../message/json-path.ts';
import { outgoing, walkStrings } from '../messages.ts';
import { attemptNames } from './values.ts';

/** The names that `{{…}}` may hold in the answer to a message. */
export const answerNames: TemplateNames = {
  ...attemptNames,
  'json:': 'the value at a JSON path of the answered message, such as `json:ping`',
};

/** The values of an attempt and of the answered message. */
export function answerValues(values: MessageValues, payload: Buffer): MessageValues {
  return (name, argument = '', form) => {
    if (name !== 'json') return values(name, argument, form);
    // Pings are rare, so keeping the parsed path is not worth it.
    return (form === 'text' ? textAt : jsonAt)(payload, parseJsonPath(argument)!);
  };
}

/** A field that holds an answer. */
export const answer: z.ZodType = outgoing(answerNames).superRefine((value, context) => {
  walkStrings(value, [], (text, path) => checkJsonPaths(text, answerNames, context, path));
});

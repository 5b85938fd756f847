import type { z } from 'zod';
import type { MessageValues } from '../../component/message-template.ts';
import { Template, type TemplateNames } from '../../component/template.ts';
import { jsonAt, parseJsonPath, textAt } from '../../message/json-path.ts';
import { outgoing, walkStrings } from '../messages.ts';
import { attemptNames } from './values.ts';

/** What `{{…}}` may name in the answer to a message. */
export const answerNames: TemplateNames = {
  ...attemptNames,
  'json:': 'what is at a JSON path of the message that is answered, such as `json:ping`',
};

/** The values of an attempt, and those of the message that is answered. */
export function answerValues(values: MessageValues, payload: Buffer): MessageValues {
  return (name, argument = '', form) => {
    if (name !== 'json') return values(name, argument, form);
    // Pings are rare: the path is not worth keeping.
    return (form === 'text' ? textAt : jsonAt)(payload, parseJsonPath(argument)!);
  };
}

/** A field that holds an answer. */
export const answer: z.ZodType = outgoing(answerNames).superRefine((value, context) => {
  walkStrings(value, [], (text, path) => {
    const bad = badPathIn(text);
    if (bad === undefined) return;
    const message = `not a JSON path: ${bad}; expected one like id, data.id or items[0].id`;
    context.addIssue({ code: 'custom', path, message });
  });
});

function badPathIn(text: string): string | undefined {
  let bad: string | undefined;
  try {
    Template.parse(text, answerNames).render((name, argument = '') => {
      if (name === 'json' && parseJsonPath(argument) === undefined) bad ??= argument;
      return '';
    });
  } catch {
    // `outgoing` tells.
  }
  return bad;
}

import type { z } from 'zod';
import { Template, type TemplateNames, type TemplateValues } from '../../component/template.ts';
import { parseJsonPath, textAt } from '../../message/json-path.ts';
import { outgoing, walkStrings } from '../messages.ts';
import { attemptNames } from './values.ts';

/** What `{{…}}` may name in the answer to a message. */
export const answerNames: TemplateNames = {
  ...attemptNames,
  'json:': 'what is at a JSON path of the message that is answered, such as `json:ping`',
};

/** The values of an attempt, and those of the message that is answered. */
export function answerValues(values: TemplateValues, payload: Buffer): TemplateValues {
  // Pings are rare: the path is not worth keeping.
  return (name, argument = '') =>
    name === 'json' ? textAt(payload, parseJsonPath(argument)!) : values(name, argument);
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

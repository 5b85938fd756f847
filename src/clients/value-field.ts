import { z } from 'zod';
import type { Reject } from '../component/contracts.ts';
import { MillraceError } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import { jsonAt, stepTo, textAt } from '../message/json-path.ts';
import { messageValueErrors } from './message-value.ts';

/** ArkFlow's field for outputs that write one field of each message. */
export const valueField = z
  .string()
  .min(1)
  .optional()
  .describe(
    'A field of each message whose value is written in place of the message: a text as it is, anything else as JSON. Without it, the whole message is.',
  );

/** The payloads to write. Rejects messages that lack the field. */
export function payloadsOf(batch: Batch, field: string | undefined, reject: Reject): readonly Uint8Array[] {
  if (field === undefined) return batch.payloads;
  const path = [stepTo(field)];
  return batch.payloads.map((payload, index) => {
    const value = textAt(payload, path) ?? jsonAt(payload, path);
    if (value !== undefined) return Buffer.from(value);
    const message = `it has no field \`${field}\`, which \`value_field\` names`;
    reject({ index, error: new MillraceError(messageValueErrors.MILLRACE_OUTPUT_NO_VALUE, message) });
    return payload;
  });
}

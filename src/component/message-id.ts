import type { WriteCall } from './contracts.ts';

/**
 * Names one message of a batch that is being written, for a sink that knows repeats by message: the same at each attempt, also
 * when only a part of the batch is left, and after a restart as far as `call.id` is.
 */
export function messageId(call: Pick<WriteCall, 'id' | 'indices' | 'parts'>, index: number): string {
  const part = call.parts?.[index] ?? 0;
  return `${call.id}/${call.indices?.[index] ?? index}${part === 0 ? '' : `.${part}`}`;
}

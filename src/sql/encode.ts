import type { Batch } from '../message/batch.ts';
import { joinJsonArray } from '../message/json.ts';
import type { Form } from './flow-schema.ts';

/** The batch as the JSON array that `flowSql` reads. `bare` are the indices of JSON messages that are not objects. */
export function encodeBatch(batch: Batch, form: Form, bare: ReadonlySet<number>): Uint8Array {
  if (form.format === 'json' && !form.metadata && bare.size === 0) return joinJsonArray(batch.payloads);
  const parts: Uint8Array[] = [];
  const text = (part: string): number => parts.push(Buffer.from(part));
  for (const [index, payload] of batch.payloads.entries()) {
    text(index === 0 ? '[' : ',');
    if (form.metadata) text('{"v":');
    if (form.format === 'json' && !bare.has(index)) {
      parts.push(payload);
    } else {
      text('{"__value__":');
      if (form.format === 'json') parts.push(payload);
      else text(JSON.stringify(Buffer.from(payload).toString(form.format === 'text' ? 'utf8' : 'base64')));
      text('}');
    }
    if (form.metadata) {
      const { source, ingestTime, ext } = batch.metadata(index);
      text(`,"s":${JSON.stringify(source)},"t":${ingestTime},"e":${JSON.stringify(ext)}}`);
    }
  }
  text(']');
  return Buffer.concat(parts);
}

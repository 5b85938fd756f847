import type { MessageToProduce } from '@platformatic/kafka';
import { valueIn, type MessageColumn } from '../../../clients/message-value.ts';
import type { Refusals } from '../../../clients/refusals.ts';
import { MillraceError } from '../../../errors.ts';

/** The messages of a write, by their places in its batch. */
export interface Outgoing {
  readonly payloads: readonly Uint8Array[];
  readonly topics: MessageColumn;
  readonly keys: MessageColumn | undefined;
  readonly partitions: MessageColumn | undefined;
  readonly headers: readonly (readonly [name: Buffer, values: MessageColumn])[];
}

/** A message as the library takes it, and its place in the batch. */
export interface KafkaRecord extends MessageToProduce {
  readonly index: number;
  readonly partition: number;
  readonly bytes: number;
}

const NAME = /^(?!\.{1,2}$)[\w.-]{1,249}$/;

/** Why Kafka can have no topic of this name, or undefined if it can. */
export function topicProblem(topic: string): string | undefined {
  return NAME.test(topic) ? undefined : `no topic can have the name ${JSON.stringify(topic)}`;
}

/**
 * The records of all messages that are not refused. `countOf` is the number of partitions of a topic; `hash` is
 * that of Java’s producer, never negative; `turn` picks the partition of messages without a key.
 */
export function recordsOf(
  { payloads, topics, keys, partitions, headers }: Outgoing,
  refusals: Refusals,
  by: { countOf(topic: string): number; hash(key: Buffer): number; turn: number },
): KafkaRecord[] {
  const records: KafkaRecord[] = [];
  for (let index = 0; index < payloads.length; index++) {
    if (refusals.has(index)) continue;
    const topic = valueIn(topics, index)!;
    const count = by.countOf(topic);
    const text = keys && valueIn(keys, index);
    const key = text === undefined ? undefined : Buffer.from(text);
    let partition = (key === undefined ? by.turn : by.hash(key)) % count;
    const asked = partitions && valueIn(partitions, index);
    if (asked !== undefined) {
      partition = /^\d{1,9}$/.test(asked) ? Number(asked) : NaN;
      if (!(partition < count)) {
        const message = `the topic ${topic} has ${count} partitions, and no ${JSON.stringify(asked)}`;
        refusals.add({ index, error: new MillraceError('MILLRACE_OUTPUT_REFUSED', message) });
        continue;
      }
    }
    const payload = payloads[index]!;
    const value = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
    const own = headersAt(headers, index);
    let bytes = value.length + (key?.length ?? 0);
    if (own !== undefined) for (const [name, each] of own) bytes += name.length + each.length;
    records.push({
      index,
      topic,
      partition,
      value,
      bytes,
      ...(key && { key }),
      ...(own && { headers: own }),
    });
  }
  return records;
}

/** Cuts them, in order, where a request would get larger than `most` bytes. */
export function requestsOf(records: readonly KafkaRecord[], most: number): KafkaRecord[][] {
  const requests: KafkaRecord[][] = [];
  let bytes = Infinity;
  for (const record of records) {
    if (bytes + record.bytes > most) {
      requests.push([]);
      bytes = 0;
    }
    requests.at(-1)!.push(record);
    bytes += record.bytes;
  }
  return requests;
}

function headersAt(headers: Outgoing['headers'], index: number): Map<Buffer, Buffer> | undefined {
  if (headers.length === 0) return undefined;
  const own = new Map<Buffer, Buffer>();
  for (const [name, values] of headers) {
    const value = valueIn(values, index);
    if (value !== undefined) own.set(name, Buffer.from(value));
  }
  return own;
}

import type { Msg } from '@nats-io/transport-node';
import { Batch, nowMicros, type Origin } from '../../../message/batch.ts';
import {
  extName,
  NO_OFFSET,
  type MetaColumn,
  type MetaColumns,
  type MetaName,
} from '../../../message/metadata.ts';

/** The place of a message in its stream, as its `reply` has it. */
const PLACE = /^\$JS\.ACK\.(?:[^.]+\.[^.]+\.)?[^.]+\.[^.]+\.(\d+)\.(\d+)\.\d+\.(\d+)\.\d+/;

/** A batch of what has come: payloads, and metadata in columns. */
export function batchOf(messages: readonly Msg[], origin: Origin, headers: readonly string[]): Batch {
  const payloads = messages.map(({ data }) => data);
  const columns = new Map<MetaName, MetaColumn>([
    [extName('subject'), messages.map(({ subject }) => subject)],
  ]);
  for (const name of headers) {
    const values = messages.map((message) => message.headers?.get(name) || undefined);
    if (values.some((value) => value !== undefined)) columns.set(extName(`header.${name}`), values);
  }
  return new Batch(payloads, {
    runs: [{ start: 0, origin, time: nowMicros() }],
    columns,
    positions: 'own',
  });
}

/** The same, with the columns of a stream: the sequence, the time of storing, how often the server has given it. */
export function streamBatchOf(messages: readonly Msg[], origin: Origin, headers: readonly string[]): Batch {
  const { length } = messages;
  const offset = new BigInt64Array(length).fill(NO_OFFSET);
  const time = new Float64Array(length).fill(Number.NaN);
  const deliveries = new Float64Array(length).fill(Number.NaN);
  for (let index = 0; index < length; index++) {
    const [, delivered, sequence, nanos] = PLACE.exec(messages[index]!.reply ?? '') ?? [];
    if (sequence === undefined) continue;
    deliveries[index] = Number(delivered);
    offset[index] = BigInt(sequence);
    // A double has no room for nanoseconds.
    time[index] = Number(nanos!.slice(0, -3));
  }
  const batch = batchOf(messages, origin, headers);
  const columns: MetaColumns = new Map<MetaName, MetaColumn>([
    ...batch.columns,
    ['offset', offset],
    ['event_time', time],
    [extName('deliveries'), deliveries],
  ]);
  return new Batch(batch.payloads, { ...batch.parts, columns });
}

import { isUtf8 } from 'node:buffer';
import type { Metadata } from './batch.ts';
import type { Ext } from './metadata.ts';

/** A payload as a JSON object, without loss. */
export interface DescribedPayload {
  readonly payload: string;
  readonly encoding: 'utf8' | 'base64';
}

/** A message as a JSON object: the form of dead letters and exports. */
export interface DescribedMessage extends DescribedPayload {
  readonly metadata: {
    readonly __meta_source: string;
    readonly __meta_ingest_time: string;
    readonly __meta_key?: string;
    readonly __meta_partition?: number;
    /** A text if a JSON number would not be exact. */
    readonly __meta_offset?: number | string;
    readonly __meta_event_time?: string;
    readonly __meta_ext: Ext;
  };
}

export function describePayload(payload: Uint8Array): DescribedPayload {
  const encoding = isUtf8(payload) ? 'utf8' : 'base64';
  return { payload: Buffer.from(payload).toString(encoding), encoding };
}

export function describeMessage(payload: Uint8Array, metadata: Metadata): DescribedMessage {
  const { source, ingestTime, key, partition, offset, eventTime, ext } = metadata;
  return {
    ...describePayload(payload),
    metadata: {
      __meta_source: source,
      __meta_ingest_time: microsToIso(ingestTime),
      ...(key !== undefined && { __meta_key: key }),
      ...(partition !== undefined && { __meta_partition: partition }),
      ...(offset !== undefined && { __meta_offset: exactly(offset) }),
      ...(eventTime !== undefined && { __meta_event_time: microsToIso(eventTime) }),
      __meta_ext: ext,
    },
  };
}

function exactly(value: bigint): number | string {
  return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
}

/** ISO 8601 with microseconds, UTC. */
export function microsToIso(micros: number): string {
  const milliseconds = Math.floor(micros / 1000);
  const rest = String(micros - milliseconds * 1000).padStart(3, '0');
  return new Date(milliseconds).toISOString().replace('Z', `${rest}Z`);
}

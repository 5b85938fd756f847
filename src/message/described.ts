import { isUtf8 } from 'node:buffer';
import type { Metadata } from './batch.ts';

/** A payload as a JSON object, with nothing of it lost. */
export interface DescribedPayload {
  readonly payload: string;
  readonly encoding: 'utf8' | 'base64';
}

/** A message as a JSON object: what dead letters and exports are made of. */
export interface DescribedMessage extends DescribedPayload {
  readonly metadata: {
    readonly __meta_source: string;
    readonly __meta_ingest_time: string;
    readonly __meta_ext: Readonly<Record<string, string>>;
  };
}

export function describePayload(payload: Uint8Array): DescribedPayload {
  const encoding = isUtf8(payload) ? 'utf8' : 'base64';
  return { payload: Buffer.from(payload).toString(encoding), encoding };
}

export function describeMessage(payload: Uint8Array, metadata: Metadata): DescribedMessage {
  return {
    ...describePayload(payload),
    metadata: {
      __meta_source: metadata.source,
      __meta_ingest_time: microsToIso(metadata.ingestTime),
      __meta_ext: metadata.ext,
    },
  };
}

/** ISO 8601 with microseconds, UTC. */
export function microsToIso(micros: number): string {
  const milliseconds = Math.floor(micros / 1000);
  const rest = String(micros - milliseconds * 1000).padStart(3, '0');
  return new Date(milliseconds).toISOString().replace('Z', `${rest}Z`);
}

import { z } from 'zod';
import { compressions, type Compression } from '../../src/component/framing/compression.ts';
import { Framer } from '../../src/component/framing/framer.ts';
import { framingFields } from '../../src/component/framing/framing-fields.ts';
import { Unframed, type Framing } from '../../src/component/framing/framing.ts';
import { Unframer } from '../../src/component/framing/unframer.ts';
import { registry } from '../../src/components/index.ts';
import { Batch, type Format } from '../../src/message/batch.ts';

/** The framing that a file describes, as the engine makes it. */
export function framingOf(config: { type: string; [field: string]: unknown }): {
  framing: Framing;
  unframer: Unframer;
  framer: Framer;
} {
  const definition = registry.get('framing', config.type);
  const parsed = registry.schemaOf(definition).parse(config);
  const framing = definition.create(parsed as never, {} as never);
  const bounds = z.object(framingFields).parse(config);
  return { framing, unframer: new Unframer(framing, bounds), framer: new Framer(framing, bounds) };
}

/** Every way to frame messages, as a file writes it, and the messages that it can carry. */
export const ways = [
  { config: { type: 'none' }, carries: 'bytes' },
  { config: { type: 'lines' }, carries: 'lines' },
  { config: { type: 'delimiter', delimiter: '\x1e' }, carries: 'bytes' },
  { config: { type: 'delimiter', delimiter: ';', terminated: false }, carries: 'bytes' },
  { config: { type: 'delimiter', delimiter: 'abcab' }, carries: 'bytes' },
  { config: { type: 'json_array' }, carries: 'json' },
  { config: { type: 'length_delimited' }, carries: 'bytes' },
  { config: { type: 'length_delimited', prefix: 2, byte_order: 'little' }, carries: 'bytes' },
  { config: { type: 'length_delimited', prefix: 8, length_includes_prefix: true }, carries: 'bytes' },
  { config: { type: 'length_delimited', prefix: 'varint' }, carries: 'bytes' },
] as const;

export const allCompressions: readonly (Compression | undefined)[] = [undefined, ...compressions];

export function batchOf(messages: readonly Uint8Array[], format: Format = 'bytes'): Batch {
  return new Batch(messages, { format });
}

export const texts = (messages: readonly Uint8Array[]): string[] =>
  messages.map((each) => Buffer.from(each).toString('latin1'));

/** The messages and errors that a decoder gives for bytes in these pieces. */
export function decode(unframer: Unframer, pieces: readonly Uint8Array[]): Unframed {
  const out = new Unframed();
  const decoder = unframer.stream();
  for (const piece of pieces) decoder.push(piece, out);
  decoder.flush(out);
  return out;
}

export const codes = ({ errors }: Unframed): Record<number, string> =>
  Object.fromEntries([...(errors ?? [])].map(([index, { code }]) => [index, code]));

export const reasons = ({ errors }: Unframed): string[] =>
  [...(errors ?? [])].map(([, { message }]) => message);

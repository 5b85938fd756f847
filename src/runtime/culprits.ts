import { hash } from 'node:crypto';
import { declareErrors, MillraceError, type Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import type { Position } from '../delivery/log/crash-record.ts';

/** The code of messages that end the process. */
export const crashErrors = declareErrors({
  MILLRACE_PROCESSOR_CRASHED: {
    help: 'The process ended three times in a row while a processor had this message and no other. It went to `error_output`, and so does the same message when it comes again, until the version of Millrace or the processors of the stream are others. Mend what ends the process, then `millrace replay` it.',
    told: 'the message could not be processed',
  },
});

/** Of more, the oldest are forgotten. */
export const MAX_CULPRITS = 64;

/** How often a message, and nothing else, is in processing when the process ends before it counts as the reason. */
export const CRASHES = 3;

/** A message that ends the process as one that can be known again: its length, and its hash. */
export function fingerprint(payload: Uint8Array): string {
  return `${payload.length}:${hash('sha256', payload, 'base64')}`;
}

/** Messages that ended the process again and again. They are rejected before they are processed. */
export class Culprits {
  readonly #hashes: ReadonlySet<string>;
  /** So that others need no hash. */
  readonly #lengths: ReadonlySet<number>;
  readonly #positions: readonly Position[];

  /** `hashes`: also when they come again. `positions`: those of the log alone. */
  constructor(hashes: readonly string[], positions: readonly Position[]) {
    this.#hashes = new Set(hashes);
    this.#lengths = new Set(hashes.map((each) => Number.parseInt(each, 10)));
    this.#positions = positions;
  }

  /** Why a message is rejected, wherever it comes from. */
  refusal(payload: Uint8Array): MillraceError | undefined {
    const known = this.#lengths.has(payload.length) && this.#hashes.has(fingerprint(payload));
    return known ? crashed('and nothing else') : undefined;
  }

  /** Those of an entry of the log that are rejected, in order. */
  of(entry: number, batch: Batch): Rejection[] {
    if (this.#lengths.size === 0 && this.#positions.length === 0) return [];
    const places = this.#positions.filter(([number]) => number === entry).map(([, index]) => index);
    const rejections: Rejection[] = [];
    for (const [index, payload] of batch.payloads.entries()) {
      const error = places.includes(index)
        ? crashed('together with those before it, as with none of these alone')
        : this.refusal(payload);
      if (error !== undefined) rejections.push({ index, error });
    }
    return rejections;
  }
}

function crashed(how: string): MillraceError {
  return new MillraceError(
    crashErrors.MILLRACE_PROCESSOR_CRASHED,
    `the process ended ${CRASHES} times in a row while it processed this message ${how}`,
  );
}

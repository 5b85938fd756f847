import { hash } from 'node:crypto';
import { declareErrors, MillraceError, type Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import type { Position } from '../delivery/log/crash-record.ts';

/** The error code of messages that end the process. */
export const crashErrors = declareErrors({
  MILLRACE_PROCESSOR_CRASHED: {
    help: 'The process ended three times in a row while a processor had this message and no other. It went to `error_output`, and so does the same message when it comes again, until the version of Millrace or the processors of the stream change. Fix the cause, then `millrace replay` the message.',
    told: 'the message could not be processed',
  },
});

/** If there are more, the oldest are forgotten. */
export const MAX_CULPRITS = 64;

/**
 * How often the process must end while a message, and nothing else, is in processing, before the message counts as the
 * reason.
 */
export const CRASHES = 3;

/** The fingerprint of a message that ends the process, to recognize it again: its length, and its hash. */
export function fingerprint(payload: Uint8Array): string {
  return `${payload.length}:${hash('sha256', payload, 'base64')}`;
}

/** Messages that ended the process again and again. They are rejected before they are processed. */
export class Culprits {
  readonly #hashes: ReadonlySet<string>;
  /** So that other messages need no hash. */
  readonly #lengths: ReadonlySet<number>;
  readonly #positions: readonly Position[];

  /**
   * `hashes`: messages that are rejected whenever they come again. `positions`: messages that are rejected only in the
   * log.
   */
  constructor(hashes: readonly string[], positions: readonly Position[]) {
    this.#hashes = new Set(hashes);
    this.#lengths = new Set(hashes.map((each) => Number.parseInt(each, 10)));
    this.#positions = positions;
  }

  /** Why a message is rejected, whatever its source. */
  refusal(payload: Uint8Array): MillraceError | undefined {
    const known = this.#lengths.has(payload.length) && this.#hashes.has(fingerprint(payload));
    return known ? crashed('and nothing else') : undefined;
  }

  /** The rejections of a log entry, in order. */
  of(entry: number, batch: Batch): Rejection[] {
    if (this.#lengths.size === 0 && this.#positions.length === 0) return [];
    const places = this.#positions.filter(([number]) => number === entry).map(([, index]) => index);
    const rejections: Rejection[] = [];
    for (const [index, payload] of batch.payloads.entries()) {
      const error = places.includes(index)
        ? crashed('together with those before it, and with none of them alone')
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

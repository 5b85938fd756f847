import { isUtf8 } from 'node:buffer';
import { declareErrors, MillraceError, type Rejection } from '../errors.ts';
import type { Batch, Format } from '../message/batch.ts';
import { keepJsonMembers, wrapAsJson } from '../message/json.ts';
import { describeJsonError, findJsonError } from '../message/json-validate.ts';
import { findUtf8Error } from '../message/text.ts';
import type { Reject } from './contracts.ts';

/** Codes of payloads that are not of their codec’s format. */
export const codecErrors = declareErrors({
  MILLRACE_CODEC_INVALID_JSON: {
    help: 'A message is not one JSON value (RFC 8259). It went to `error_output`; its neighbours were not touched.',
    told: 'the message is not one JSON value',
  },
  MILLRACE_CODEC_INVALID_UTF8: {
    help: 'A message is not valid UTF-8, and its codec needs text. It went to `error_output`.',
    told: 'the message is not valid UTF-8',
  },
});

/** A problem with one message. */
export type PayloadProblem = Omit<Rejection, 'index'>;

/** The messages that are exactly one JSON value in UTF-8, as format `json`; payloads are shared. The rest is rejected. */
export function checkJson(batch: Batch, reject: Reject): Batch {
  if (batch.format === 'json') return batch;
  return convertEach(
    batch,
    'json',
    reject,
    (payload, knownUtf8) => jsonProblem(payload, knownUtf8) ?? payload,
  );
}

/** The messages that are valid UTF-8, as format `text`; payloads are shared. The rest is rejected. */
export function checkText(batch: Batch, reject: Reject): Batch {
  if (batch.format !== 'bytes') return batch.withFormat('text');
  return convertEach(
    batch,
    'text',
    reject,
    (payload, knownUtf8) => textProblem(payload, knownUtf8) ?? payload,
  );
}

/**
 * Every message as JSON: a message that is not JSON yet becomes an object with its text or its bytes (`wrapAsJson`).
 */
export function encodeAsJson(batch: Batch): Batch {
  return batch.format === 'json' ? batch : batch.withPayloads(batch.payloads.map(wrapAsJson), 'json');
}

/** JSON messages with only the top-level members in `names`; a message that is not an object stays as it is. */
export function keepFields(batch: Batch, names: ReadonlySet<string>): Batch {
  return batch.withPayloads(
    batch.payloads.map((payload) => keepJsonMembers(payload, names)),
    'json',
  );
}

/**
 * Replaces each payload by the result of `convert`, and rejects payloads for which the result is a problem.
 * `knownUtf8` is true if the payload has already been checked to be UTF-8.
 */
export function convertEach(
  batch: Batch,
  format: Format,
  reject: Reject,
  convert: (payload: Uint8Array, knownUtf8: boolean) => Uint8Array | PayloadProblem,
): Batch {
  const { payloads, runs } = batch;
  const rejected: number[] = [];
  let converted: Uint8Array[] | undefined;
  for (let at = 0; at < runs.length; at++) {
    const run = runs[at]!;
    const end = runs[at + 1]?.start ?? payloads.length;
    // A text frame's UTF-8 was checked as it was received (RFC 6455 section 8.1).
    const knownUtf8 = batch.format !== 'bytes' || run.messageType === 'text';
    for (let index = run.start; index < end; index++) {
      const payload = payloads[index]!;
      const result = convert(payload, knownUtf8);
      if (result === payload) continue;
      if ('error' in result) {
        rejected.push(index);
        reject({ index, ...result });
      } else {
        converted ??= [...payloads];
        converted[index] = result;
      }
    }
  }
  const all = converted === undefined ? batch.withFormat(format) : batch.withPayloads(converted, format);
  return all.without(rejected);
}

/** Undefined if the payload is exactly one JSON value in UTF-8. */
export function jsonProblem(payload: Uint8Array, knownUtf8: boolean): PayloadProblem | undefined {
  const offset = findJsonError(payload);
  if (offset < 0) return textProblem(payload, knownUtf8);
  return {
    error: new MillraceError(codecErrors.MILLRACE_CODEC_INVALID_JSON, describeJsonError(payload, offset)),
  };
}

function textProblem(payload: Uint8Array, knownUtf8: boolean): PayloadProblem | undefined {
  if (knownUtf8 || isUtf8(payload)) return undefined;
  const message = `not UTF-8: invalid sequence at byte ${findUtf8Error(payload)}`;
  return { error: new MillraceError(codecErrors.MILLRACE_CODEC_INVALID_UTF8, message) };
}

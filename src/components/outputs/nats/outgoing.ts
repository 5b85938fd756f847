import type { MsgHdrs } from '@nats-io/transport-node';
import { valueIn, type MessageColumn } from '../../../clients/message-value.ts';
import type { Refusals } from '../../../clients/refusals.ts';
import { MillraceError } from '../../../errors.ts';
import { subjectProblem } from './subject.ts';

/** The messages of a write, by their places in its batch. */
export interface Outgoing {
  readonly payloads: readonly Uint8Array[];
  readonly subjects: MessageColumn;
  readonly headers: ReadonlyMap<string, MessageColumn>;
}

/** Bytes of a header beside its name and value, and of all headers together. */
const HEADER_BYTES = ': \r\n'.length;
const HEADERS_BYTES = 'NATS/1.0\r\n\r\n'.length;

/** Refuses each message that no server would take. `extra` is the most that headers of our own add, in bytes. */
export function refuseUnfit(
  { payloads, subjects, headers }: Outgoing,
  maxPayload: number,
  extra: number,
  refusals: Refusals,
): void {
  const refuse = (index: number, message: string): void =>
    refusals.add({ index, error: new MillraceError('MILLRACE_OUTPUT_REFUSED', message) });
  for (let index = 0; index < payloads.length; index++) {
    const subject = valueIn(subjects, index);
    const problem = subject === undefined ? undefined : subjectProblem(subject);
    if (problem !== undefined) refuse(index, problem);
    let bytes = payloads[index]!.length + extra;
    for (const [name, column] of headers) {
      const value = valueIn(column, index);
      if (value === undefined) continue;
      if (/[\r\n]/.test(value)) refuse(index, `its header ${name} has a line break in it`);
      bytes += name.length + Buffer.byteLength(value) + HEADER_BYTES;
    }
    if (headers.size > 0 || extra > 0) bytes += HEADERS_BYTES;
    if (bytes > maxPayload)
      refuse(
        index,
        `it has ${bytes} bytes with its headers, and the server takes ${maxPayload} (max_payload)`,
      );
  }
}

/** Sets the headers of the message at `index`. */
export function setHeaders(to: MsgHdrs, headers: Outgoing['headers'], index: number): void {
  for (const [name, column] of headers) {
    const value = valueIn(column, index);
    if (value !== undefined) to.set(name, value);
  }
}

import { textOf, unquote } from '../../message/text.ts';
import type { JsonMember } from '../../message/json.ts';

/** The supported subprotocols of Azure Web PubSub. */
export const PLAIN = 'json.webpubsub.azure.v1';
export const RELIABLE = 'json.reliable.webpubsub.azure.v1';

/** The kind of a message's data. `protobuf` is bytes like `binary`; both are base64 in a frame. */
export type DataType = 'json' | 'text' | 'binary' | 'protobuf';

export interface AckError {
  readonly name: string;
  readonly message: string;
}

export function connectedFrame(ids: {
  userId: string | undefined;
  connectionId: string;
  reconnectionToken: string | undefined;
}): string {
  const { userId = null, connectionId, reconnectionToken } = ids;
  return JSON.stringify({ type: 'system', event: 'connected', userId, connectionId, reconnectionToken });
}

export function disconnectedFrame(message: string): string {
  return JSON.stringify({ type: 'system', event: 'disconnected', message });
}

export const PONG = '{"type":"pong"}';

export function ackFrame(ackId: number, error?: AckError): string {
  return error === undefined
    ? `{"type":"ack","ackId":${ackId},"success":true}`
    : JSON.stringify({ type: 'ack', ackId, success: false, error });
}

export function duplicateFrame(ackId: number): string {
  return ackFrame(ackId, { name: 'Duplicate', message: `Message with ack-id: ${ackId} has been processed` });
}

/** A message to clients, the same for all receivers. `data` is JSON. */
export function messageFrame(
  fields: Readonly<Record<string, unknown>>,
  dataType: DataType,
  data: Uint8Array,
): Buffer {
  const start = JSON.stringify({ type: 'message', ...fields, dataType });
  return Buffer.concat([Buffer.from(`${start.slice(0, -1)},"data":`), data, CLOSE]);
}

const CLOSE = Buffer.from('}');

/** The same with its number for one client, in two parts; the second is not a copy. */
export function numbered(frame: Buffer, sequenceId: number): [Buffer, Buffer] {
  return [Buffer.from(`{"sequenceId":${sequenceId},`), frame.subarray(1)];
}

const QUOTE = 0x22;

/** The values of a frame, by name. If a name occurs twice, the last one counts. */
export class Fields {
  readonly #frame: Uint8Array;
  readonly #members: readonly JsonMember[];

  constructor(frame: Uint8Array, members: readonly JsonMember[]) {
    this.#frame = frame;
    this.#members = members;
  }

  has(name: string): boolean {
    return this.#members.some((member) => member.name === name);
  }

  /** The raw value in the frame. */
  raw(name: string): Uint8Array | undefined {
    const member = this.#member(name);
    return member && this.#frame.subarray(member.valueStart, member.end);
  }

  value(name: string): unknown {
    const member = this.#member(name);
    if (member === undefined) return undefined;
    const text = textOf(this.#frame, member.valueStart, member.end);
    return this.#frame[member.valueStart] === QUOTE ? unquote(text) : JSON.parse(text);
  }

  #member(name: string): JsonMember | undefined {
    return this.#members.findLast((member) => member.name === name);
  }
}

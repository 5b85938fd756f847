import { findJsonError } from '../../message/json-validate.ts';
import { textOf } from '../../message/text.ts';
import { messageFrame } from './protocol.ts';

const OPEN_ARRAY = 0x5b;
const OPEN_OBJECT = 0x7b;

/** Frames the messages of outputs as messages of the server. A payload that is broadcast to many is framed once. */
export class ServerMessages {
  #payload: Uint8Array | undefined;
  #kind = '';
  #frame: Buffer | undefined;

  /** `json`: whether the payload is JSON, if that is known. If not, an object or a list counts as JSON. */
  frameOf(payload: Uint8Array, binary: boolean, json?: boolean): Buffer {
    const kind = `${binary} ${json}`;
    if (this.#frame === undefined || this.#payload !== payload || this.#kind !== kind) {
      this.#frame = framed(payload, binary, json);
      this.#payload = payload;
      this.#kind = kind;
      // A payload object stays the same only while its batch is being written.
      queueMicrotask(this.#forget);
    }
    return this.#frame;
  }

  readonly #forget = (): void => {
    this.#payload = undefined;
    this.#frame = undefined;
  };
}

function framed(payload: Uint8Array, binary: boolean, json: boolean | undefined): Buffer {
  const from = { from: 'server' };
  if (binary) {
    const { buffer, byteOffset, length } = payload;
    const base64 = Buffer.from(buffer, byteOffset, length).toString('base64');
    return messageFrame(from, 'binary', Buffer.from(`"${base64}"`));
  }
  if ((json ?? looksLikeJson(payload)) && findJsonError(payload) < 0)
    return messageFrame(from, 'json', payload);
  return messageFrame(from, 'text', Buffer.from(JSON.stringify(textOf(payload))));
}

/** A text such as `42` is JSON too, but a sender of texts would not want some of them to become numbers. */
function looksLikeJson(payload: Uint8Array): boolean {
  let at = 0;
  while (payload[at]! <= 0x20) at++;
  return payload[at] === OPEN_OBJECT || payload[at] === OPEN_ARRAY;
}

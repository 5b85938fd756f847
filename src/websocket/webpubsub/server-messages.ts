import { findJsonError } from '../../message/json-validate.ts';
import { textOf } from '../../message/text.ts';
import { messageFrame } from './protocol.ts';

const OPEN_ARRAY = 0x5b;
const OPEN_OBJECT = 0x7b;

/** What outputs send, as messages of the server. A broadcast of one payload to many is framed once. */
export class ServerMessages {
  #payload: Uint8Array | undefined;
  #kind = '';
  #frame: Buffer | undefined;

  /** `json`: whether it is known to be JSON, or to be none. Where that is not known, an object or a list is taken for it. */
  frameOf(payload: Uint8Array, binary: boolean, json?: boolean): Buffer {
    const kind = `${binary} ${json}`;
    if (this.#frame === undefined || this.#payload !== payload || this.#kind !== kind) {
      this.#frame = framed(payload, binary, json);
      this.#payload = payload;
      this.#kind = kind;
      // A payload is only the same one for as long as its batch is being written.
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

/** A text such as `42` is JSON too, but who sends texts would not want some of them to be numbers. */
function looksLikeJson(payload: Uint8Array): boolean {
  let at = 0;
  while (payload[at]! <= 0x20) at++;
  return payload[at] === OPEN_OBJECT || payload[at] === OPEN_ARRAY;
}

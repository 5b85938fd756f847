import { z } from 'zod';
import { defineFraming } from '../../component/define.ts';
import type { FrameDecoder, Unframed } from '../../component/framing/framing.ts';
import { Pending } from '../../component/framing/pending.ts';
import { tooLong } from '../../component/framing/records.ts';

/** A frame is a message. */
export const noneFraming = defineFraming({
  type: 'none',
  summary: 'A frame is one message. Use it with `compression`.',
  status: 'stable',
  description:
    '`framing` without a `type` means this one: `framing: { compression: gzip }`. When an input reads a file, the whole file is one message. When an output writes a file or standard output, nothing stands between the messages.',
  schema: z.strictObject({}),
  examples: [{ title: 'Messages that were compressed one by one', yaml: 'type: none\ncompression: gzip\n' }],
  create: () => ({
    decoder: (maxMessageSize) => new WholeDecoder(maxMessageSize),
    binary: false,
    single: true,
    overhead: 0,
    fit: (payload) => payload,
    join: (messages) => (messages.length === 1 ? messages[0]! : Buffer.concat(messages)),
  }),
});

class WholeDecoder implements FrameDecoder {
  readonly #maxMessageSize: number;
  readonly #pending = new Pending();
  #begun = false;
  #skipping = false;

  constructor(maxMessageSize: number) {
    this.#maxMessageSize = maxMessageSize;
  }

  push(bytes: Uint8Array, out: Unframed): void {
    this.#begun = true;
    if (this.#skipping) return;
    this.#pending.take(bytes);
    if (this.#pending.length <= this.#maxMessageSize) return;
    out.reject(this.#pending.drain(), tooLong(this.#maxMessageSize));
    this.#skipping = true;
  }

  flush(out: Unframed): void {
    if (this.#begun && !this.#skipping) out.add(this.#pending.drain());
    this.#begun = false;
    this.#skipping = false;
  }
}

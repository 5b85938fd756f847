const MOST_MESSAGES = 1_000;
const MANY_BYTES = 4 * 1024 * 1024;

/** How many messages to ask for at a time: many small ones, few large ones. */
export class ReadSize {
  messages = 100;

  /** Learns from an answer. */
  saw(payloads: readonly Uint8Array[]): void {
    const bytes = payloads.reduce((sum, { length }) => sum + length, 0);
    if (bytes > MANY_BYTES) this.messages = Math.max(1, this.messages >> 1);
    else if (payloads.length >= this.messages && bytes < MANY_BYTES / 4)
      this.messages = Math.min(MOST_MESSAGES, this.messages * 2);
  }
}

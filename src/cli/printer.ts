import type { Writable } from 'node:stream';
import { MillraceError, errorMessage } from '../errors.ts';
import { Waker } from '../component/waker.ts';

/** The most bytes that may wait to be printed before the source has to stop. */
const HIGH_MARK = 1024 * 1024;

export interface PrinterEvents {
  /** Stdout does not take more, and the source has to wait; with false, the source continues. */
  hold(held: boolean): void;
  /** Nobody reads stdout any more, which is not an error (`| head`), or it has failed. */
  gone(): void;
}

/** Prints the messages of a connection to stdout. Messages that come together are written together. */
export class Printer {
  readonly #stdout: Writable;
  readonly #events: PrinterEvents;
  readonly #waker = new Waker();
  #queue: Uint8Array[] = [];
  #bytes = 0;
  #writing = false;
  #held = false;
  #gone = false;
  #failure: MillraceError | undefined;

  constructor(stdout: Writable, events: PrinterEvents) {
    this.#stdout = stdout;
    this.#events = events;
    // Each write hears of its own error; without a listener the same error would end the process.
    stdout.on('error', () => {});
  }

  /** Why stdout has failed, if it has. */
  get failure(): MillraceError | undefined {
    return this.#failure;
  }

  print(...parts: readonly Uint8Array[]): void {
    if (this.#gone) return;
    for (const part of parts) {
      this.#queue.push(part);
      this.#bytes += part.length;
    }
    if (!this.#held && this.#bytes >= HIGH_MARK) {
      this.#held = true;
      this.#events.hold(true);
    }
    if (this.#writing) return;
    this.#writing = true;
    setImmediate(this.#write);
  }

  /** Resolves when everything is printed, nobody reads it any more, or the signal aborts. */
  async idle(signal?: AbortSignal): Promise<void> {
    while (this.#writing) {
      if (signal?.aborted === true) return;
      await this.#waker.wait(signal);
    }
  }

  readonly #write = (): void => {
    const data = Buffer.concat(this.#queue);
    this.#queue = [];
    this.#stdout.write(data, (error) => {
      this.#bytes -= data.length;
      if (error !== null && error !== undefined) this.#failed(error);
      if (this.#queue.length > 0) this.#write();
      else this.#writing = false;
      if (this.#held && this.#bytes <= HIGH_MARK / 2) {
        this.#held = false;
        this.#events.hold(false);
      }
      this.#waker.wake();
    });
  };

  #failed(error: NodeJS.ErrnoException): void {
    this.#gone = true;
    this.#queue = [];
    this.#bytes = 0;
    if (error.code !== 'EPIPE') {
      const message = `cannot write to standard output: ${errorMessage(error)}`;
      this.#failure = new MillraceError('MILLRACE_FILE_UNAVAILABLE', message, { cause: error, fatal: true });
    }
    this.#events.gone();
  }
}

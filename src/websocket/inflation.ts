import { Fifo } from '../message/fifo.ts';
import type { Session } from './session.ts';
import { deflateOf } from './ws-internals.ts';

/** The number of messages that are inflated at the same time. */
const CONCURRENCY = 10;

/**
 * Makes compressed messages wait while their session is not read. `ws` only pauses the socket: it would go on inflating
 * the data that it has already read, a thousandfold if the sender is malicious, whatever the budget says. For the same
 * reason, only a few sessions inflate at once.
 */
export class Inflation {
  #running = 0;
  readonly #queue = new Fifo<() => void>();

  /** Applies to a session that has just opened, from now on. */
  guard(session: Session): void {
    const deflate = deflateOf(session.socket);
    if (deflate === undefined) return;
    const decompress = deflate.decompress.bind(deflate);
    deflate.decompress = (data, fin, callback) =>
      this.#start(session, () =>
        decompress(data, fin, (error, result) => {
          this.#running--;
          callback(error, result);
          this.#next();
        }),
      );
  }

  #start(session: Session, run: () => void): void {
    session.whenFree(() => {
      if (this.#running >= CONCURRENCY) {
        this.#queue.push(() => this.#start(session, run));
        return;
      }
      this.#running++;
      run();
    });
  }

  #next(): void {
    while (this.#running < CONCURRENCY) {
      const start = this.#queue.shift();
      if (start === undefined) return;
      start();
    }
  }
}

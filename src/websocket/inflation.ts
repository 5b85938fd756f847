import { Fifo } from '../message/fifo.ts';
import type { Session } from './session.ts';
import { deflateOf } from './ws-internals.ts';

/** Messages that are inflated at the same time. */
const CONCURRENCY = 10;

/**
 * Has compressed messages wait while their session is not read. `ws` pauses the socket only: what it has read already
 * it would go on to inflate, a thousandfold if the sender means harm, whatever the budget says. And only a few of all
 * sessions are inflated at once, for the same reason.
 */
export class Inflation {
  #running = 0;
  readonly #queue = new Fifo<() => void>();

  /** From now on, for a session that has just opened. */
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

import type { ComponentEvents } from '../../telemetry/events.ts';
import type { Frames } from './frames.ts';
import type { Ledger } from './ledger.ts';
import type { Reply } from './reply.ts';

/** The replies of a batch to one session. */
export class Replies {
  /** The number of messages that get no reply because they have no id. */
  withoutId = 0;
  readonly #ledger: Ledger;
  readonly #frames: Frames | undefined;
  readonly #events: ComponentEvents;
  /** The last reply, which is sent with a callback; the others have been sent. */
  #last: string | Buffer | undefined;
  #binary = false;
  #count = 0;

  /** A server passes `frames`, which joins many frames; a client's replies are masked, and sent one by one. */
  constructor(ledger: Ledger, frames: Frames | undefined, events: ComponentEvents) {
    this.#ledger = ledger;
    this.#frames = frames;
    this.#events = events;
    frames?.clear();
  }

  add({ binary }: Reply, payload: string | Buffer | undefined): void {
    if (payload === undefined) {
      this.withoutId++;
      return;
    }
    const { session } = this.#ledger;
    if (this.#count++ === 0) session.connection.cork();
    if (this.#frames !== undefined) return this.#frames.add(payload, binary, this.#write);
    if (this.#last !== undefined) session.send(this.#last, this.#binary);
    this.#last = payload;
    this.#binary = binary;
  }

  send(): void {
    const { session } = this.#ledger;
    if (this.withoutId > 0) this.#events.repliesWithoutId(this.withoutId);
    if (this.#count === 0) return;
    this.#frames?.flush(this.#write);
    if (this.#last !== undefined) session.send(this.#last, this.#binary, this.#ledger.handed(this.#count));
    session.connection.uncork();
    this.#ledger.holdIfFull();
    this.#events.repliesSent(this.#count);
  }

  readonly #write = (piece: Buffer): void => {
    this.#ledger.session.connection.write(piece, this.#ledger.handed(1));
  };
}

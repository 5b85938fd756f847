/** The rough cost of a connection's message besides its frame, in bytes. */
const MESSAGE_COST = 100;

/** The frames that connections keep, and their memory: a frame that was sent to many counts once. */
export class KeptFrames {
  readonly #counts = new Map<Buffer, number>();
  readonly #grown: () => void;
  #bytes = 0;

  /** Calls `grown` when there may be too much. */
  constructor(grown: () => void) {
    this.#grown = grown;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(frame: Buffer): void {
    const count = this.#counts.get(frame) ?? 0;
    this.#counts.set(frame, count + 1);
    this.#bytes += MESSAGE_COST + (count === 0 ? frame.length : 0);
  }

  delete(frame: Buffer): void {
    const count = this.#counts.get(frame)!;
    if (count > 1) this.#counts.set(frame, count - 1);
    else this.#counts.delete(frame);
    this.#bytes -= MESSAGE_COST + (count === 1 ? frame.length : 0);
  }

  /** Call when all frames of a connection have been added. */
  look(): void {
    this.#grown();
  }
}

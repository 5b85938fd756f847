/** Messages wait no longer than this for others, whatever a batch costs. Milliseconds. */
const LONGEST = 3;

/**
 * How long the messages of a stream should gather between two reads: as long as the part that asks for the most does. Its
 * inputs heed it, each for itself.
 */
export class Pace {
  #rest = 0;

  /** Milliseconds between two reads. */
  get rest(): number {
    return this.#rest;
  }

  /** `rests`: for each part, how long messages should gather for it, in milliseconds. */
  ask(...rests: readonly number[]): void {
    this.#rest = Math.min(LONGEST, Math.max(...rests));
  }
}

const PAGE = 65_536;

/**
 * The number of messages of each unacknowledged entry. A log may have more such entries than the 2^24 that a `Map` can
 * hold, so they are counted in pages.
 */
export class OpenMessages {
  readonly #pages = new Map<number, Uint32Array>();
  #total = 0;

  /** The number of messages of all entries. */
  get total(): number {
    return this.#total;
  }

  add(entry: number, messages: number): void {
    const number = Math.floor(entry / PAGE);
    let page = this.#pages.get(number);
    if (page === undefined) this.#pages.set(number, (page = new Uint32Array(PAGE)));
    page[entry % PAGE] = messages;
    this.#total += messages;
  }

  delete(entry: number): void {
    const page = this.#pages.get(Math.floor(entry / PAGE));
    if (page === undefined) return;
    this.#total -= page[entry % PAGE]!;
    page[entry % PAGE] = 0;
  }
}

/** Each owner's amount of something, so that the owner with the most is known without a search. */
export class Shares {
  readonly #amounts = new Map<string, number>();
  /** The owners by amount. */
  readonly #owners = new Map<number, Set<string>>();
  #most = 0;
  #total = 0;

  get total(): number {
    return this.#total;
  }

  /** An owner with the largest amount; undefined if nobody has anything. */
  get largest(): string | undefined {
    return this.#owners.get(this.#most)?.values().next().value;
  }

  /** Adds to an owner's amount, or takes from it. */
  change(owner: string, by: number): void {
    this.set(owner, (this.#amounts.get(owner) ?? 0) + by);
  }

  /** Sets an owner's amount to `after`. */
  set(owner: string, after: number): void {
    const before = this.#amounts.get(owner) ?? 0;
    if (after === before) return;
    this.#total += after - before;
    const group = this.#owners.get(before);
    if (group?.delete(owner) === true && group.size === 0) this.#owners.delete(before);
    if (after === 0) this.#amounts.delete(owner);
    else {
      this.#amounts.set(owner, after);
      const others = this.#owners.get(after);
      if (others === undefined) this.#owners.set(after, new Set([owner]));
      else others.add(owner);
    }
    // The maximum goes down no further than it has gone up.
    if (after > this.#most) this.#most = after;
    while (this.#most > 0 && !this.#owners.has(this.#most)) this.#most--;
  }
}

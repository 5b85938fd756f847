/** A member of groups. */
export interface Member {
  /** Its owner: the groups of one owner's members are limited in total. */
  readonly owner: string;
}

/** The most groups that a member can be in. */
const MAX_GROUPS = 1_000;

/** The most memory for the groups of one owner's members, and of all; each place in a group counts. In bytes. */
const MAX_OWNER_BYTES = 4 * 1024 * 1024;
const MAX_BYTES = 128 * 1024 * 1024;

/** The rough cost of a place in a group besides the group's name, in bytes. */
const PLACE_COST = 200;

interface Group<M> {
  readonly name: string;
  readonly members: Set<M>;
}

/** Tracks which members are in which groups. */
export class Groups<M extends Member> {
  readonly #groups = new Map<string, Group<M>>();
  readonly #byMember = new Map<M, Set<Group<M>>>();
  readonly #byOwner = new Map<string, number>();
  #bytes = 0;

  /** @returns the reason if the member may not join */
  join(member: M, name: string): string | undefined {
    const its = this.#byMember.get(member);
    const known = this.#groups.get(name);
    if (known !== undefined && its?.has(known) === true) return undefined;
    if (its !== undefined && its.size >= MAX_GROUPS) return 'in too many groups';
    const { owner } = member;
    const cost = costOf(name);
    const owned = (this.#byOwner.get(owner) ?? 0) + cost;
    if (owned > MAX_OWNER_BYTES || this.#bytes + cost > MAX_BYTES)
      return 'its connections are in too many groups together';
    this.#byOwner.set(owner, owned);
    this.#bytes += cost;
    const group = known ?? { name, members: new Set<M>() };
    if (known === undefined) this.#groups.set(name, group);
    group.members.add(member);
    if (its === undefined) this.#byMember.set(member, new Set([group]));
    else its.add(group);
    return undefined;
  }

  leave(member: M, name: string): void {
    const group = this.#groups.get(name);
    if (group !== undefined) this.#leave(member, group);
  }

  leaveAll(member: M): void {
    for (const group of this.#byMember.get(member) ?? []) this.#leave(member, group);
  }

  of(name: string): ReadonlySet<M> | undefined {
    return this.#groups.get(name)?.members;
  }

  #leave(member: M, group: Group<M>): void {
    if (!group.members.delete(member)) return;
    if (group.members.size === 0) this.#groups.delete(group.name);
    const its = this.#byMember.get(member)!;
    its.delete(group);
    if (its.size === 0) this.#byMember.delete(member);
    const { owner } = member;
    const cost = costOf(group.name);
    this.#bytes -= cost;
    const owned = this.#byOwner.get(owner)! - cost;
    if (owned > 0) this.#byOwner.set(owner, owned);
    else this.#byOwner.delete(owner);
  }
}

function costOf(name: string): number {
  return 2 * name.length + PLACE_COST;
}

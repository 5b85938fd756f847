/** Whoever can be in a group. */
export interface Member {
  /** Sends it a message. */
  deliver(frame: Buffer): void;
}

/** A member is in no more groups than this. */
const MAX_GROUPS = 1_000;

/** Who is in which group. */
export class Groups<M extends Member> {
  readonly #members = new Map<string, Set<M>>();
  readonly #groups = new Map<M, Set<string>>();

  /** False when it is in as many as it may be. */
  join(member: M, group: string): boolean {
    const its = this.#groups.get(member) ?? new Set();
    if (its.size >= MAX_GROUPS && !its.has(group)) return false;
    this.#groups.set(member, its.add(group));
    this.#members.set(group, (this.#members.get(group) ?? new Set<M>()).add(member));
    return true;
  }

  leave(member: M, group: string): void {
    const its = this.#groups.get(member);
    its?.delete(group);
    if (its?.size === 0) this.#groups.delete(member);
    const members = this.#members.get(group);
    members?.delete(member);
    if (members?.size === 0) this.#members.delete(group);
  }

  leaveAll(member: M): void {
    for (const group of this.#groups.get(member) ?? []) this.leave(member, group);
  }

  /** Sends to all in the group, except to one who does not want it back. */
  send(group: string, frame: Buffer, except: M | undefined): void {
    for (const member of this.#members.get(group) ?? []) if (member !== except) member.deliver(frame);
  }
}

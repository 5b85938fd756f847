import { pathKey, type Path } from '../message/field-path.ts';
import type { Candidate, FlowSchema, Prefers } from './flow-schema.ts';

/**
 * The number of kinds of field for which the reason for a refusal is remembered, to answer the next such message at
 * once.
 */
const MAX_REMEMBERED = 1000;

/** The new columns and kinds that a message brings. */
export type Group = readonly Candidate[];

/** The field for which a message is refused. */
export interface Culprit {
  readonly path: Path;
  readonly reason: string;
}

export interface Grown {
  readonly schema: FlowSchema;
  /** The refused groups, by key. */
  readonly refused: ReadonlyMap<string, Culprit>;
}

/** Grows a schema by the fields that messages bring, as far as the query fits it. */
export class Growth {
  readonly #objects: (schema: FlowSchema) => Promise<string | undefined>;
  readonly #remembered = new Map<string, string>();

  /** `objects` returns why the query does not fit a schema, or undefined if it fits. */
  constructor(objects: (schema: FlowSchema) => Promise<string | undefined>) {
    this.#objects = objects;
  }

  /** A group is accepted or refused as a whole, like a message. */
  async grow(schema: FlowSchema, groups: Iterable<Group>, prefers: Prefers): Promise<Grown> {
    const refused = new Map<string, Culprit>();
    const fresh = new Map<string, Group>();
    for (const group of groups) {
      const key = keyOf(group);
      if (fresh.has(key) || refused.has(key)) continue;
      const known = group.find((candidate) => this.#remembered.has(keyOf([candidate])));
      if (known === undefined) fresh.set(key, group);
      else refused.set(key, { path: known.path, reason: this.#remembered.get(keyOf([known]))! });
    }
    return { schema: await this.#grow(schema, [...fresh.values()], prefers, refused), refused };
  }

  /** Call this when columns have changed: a group that did not fit before may fit now. */
  forgetRefusals(): void {
    this.#remembered.clear();
  }

  /** Why the query does not fit `other`, unless it does not fit `schema` either. */
  async objection(other: FlowSchema, schema: FlowSchema): Promise<string | undefined> {
    const reason = await this.#objects(other);
    return reason === undefined || (await this.#objects(schema)) !== undefined ? undefined : reason;
  }

  /** True if the query fits `other`, or does not fit `schema` either. */
  async fitsAsWell(other: FlowSchema, schema: FlowSchema): Promise<boolean> {
    return (await this.objection(other, schema)) === undefined;
  }

  /** The schema with all groups that fit, as if they had come one by one; the others go into `refused`. */
  async #grow(
    schema: FlowSchema,
    groups: readonly Group[],
    prefers: Prefers,
    refused: Map<string, Culprit>,
  ): Promise<FlowSchema> {
    const objections = new Map<string, Culprit>();
    let grown = schema;
    for (const group of groups) {
      const next = withAll(grown, group, prefers);
      if ('reason' in next) objections.set(keyOf(group), next);
      else grown = next;
    }
    const reason = grown === schema ? undefined : await this.#objects(grown);
    // If the query does not fit even the known columns, the new ones cannot be blamed; they may be the missing ones.
    if (reason === undefined || (await this.#objects(schema)) !== undefined) {
      for (const [key, objection] of objections) refused.set(key, objection);
      return grown;
    }
    if (groups.length === 1) {
      refused.set(keyOf(groups[0]!), await this.#culprit(schema, groups[0]!, prefers, reason));
      return schema;
    }
    const middle = groups.length >> 1;
    const half = await this.#grow(schema, groups.slice(0, middle), prefers, refused);
    return await this.#grow(half, groups.slice(middle), prefers, refused);
  }

  /**
   * The candidate of a group that the query does not fit; `whole` is why the query does not fit all candidates
   * together.
   */
  async #culprit(schema: FlowSchema, group: Group, prefers: Prefers, whole: string): Promise<Culprit> {
    let reason = whole;
    let fits = 0;
    let fails = group.length;
    while (fails - fits > 1) {
      const middle = (fits + fails) >> 1;
      const grown = withAll(schema, group.slice(0, middle), prefers);
      const objection = 'reason' in grown ? undefined : await this.#objects(grown);
      if (objection === undefined) fits = middle;
      else [fails, reason] = [middle, objection];
    }
    const candidate = group[fails - 1]!;
    // A candidate that replaces another type may fit together with others that do the same.
    if (!schema.isContested(candidate) && this.#remembered.size < MAX_REMEMBERED)
      this.#remembered.set(keyOf([candidate]), reason);
    return { path: candidate.path, reason };
  }
}

function withAll(schema: FlowSchema, group: Group, prefers: Prefers): FlowSchema | Culprit {
  let grown = schema;
  for (const candidate of group) {
    const next = grown.with(candidate, prefers);
    if (typeof next === 'string') return { path: candidate.path, reason: next };
    grown = next;
  }
  return grown;
}

/** A key that is equal for equal candidates only. */
export function keyOf(group: Group): string {
  return group.map(({ path, kind }) => `${kind} ${pathKey(path)}`).join(' ');
}

import type { Candidate, FlowSchema, Prefers } from './flow-schema.ts';

/** Reasons for refusing are remembered for so many kinds of field, to answer the next such message at once. */
const MAX_REMEMBERED = 1000;

/** What a message brings that is new. */
export type Group = readonly Candidate[];

/** The field that a message is refused for. */
export interface Culprit {
  readonly name: string;
  readonly reason: string;
}

export interface Grown {
  readonly schema: FlowSchema;
  /** Which groups are refused, by their key. */
  readonly refused: ReadonlyMap<string, Culprit>;
}

/** Grows a schema by what messages bring, as far as the query fits it. */
export class Growth {
  readonly #objects: (schema: FlowSchema) => Promise<string | undefined>;
  readonly #remembered = new Map<string, string>();

  /** `objects` says why the query does not fit a schema, or gives undefined when it does. */
  constructor(objects: (schema: FlowSchema) => Promise<string | undefined>) {
    this.#objects = objects;
  }

  /** A group is taken as a whole, as a message is. */
  async grow(schema: FlowSchema, groups: Iterable<Group>, prefers: Prefers): Promise<Grown> {
    const refused = new Map<string, Culprit>();
    const fresh = new Map<string, Group>();
    for (const group of groups) {
      const key = keyOf(group);
      if (fresh.has(key) || refused.has(key)) continue;
      const known = group.find((candidate) => this.#remembered.has(keyOf([candidate])));
      if (known === undefined) fresh.set(key, group);
      else refused.set(key, { name: known.name, reason: this.#remembered.get(keyOf([known]))! });
    }
    return { schema: await this.#grow(schema, [...fresh.values()], prefers, refused), refused };
  }

  /** For when columns have changed: what did not fit before may. */
  forgetRefusals(): void {
    this.#remembered.clear();
  }

  /** True when the query fits `other`, or does not fit `schema` either. */
  async fitsAsWell(other: FlowSchema, schema: FlowSchema): Promise<boolean> {
    return (await this.#objects(other)) === undefined || (await this.#objects(schema)) !== undefined;
  }

  /** The schema with the groups, as if they had come one by one, but for those that `refused` gets. */
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
    // Where the query does not fit even what is known, what is new cannot be blamed; it may be what is missing.
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

  /** The candidate of a group that the query does not fit; `whole` is why it does not fit them all. */
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
    // One that takes another type’s place may fit together with others that do.
    if (!schema.isContested(candidate) && this.#remembered.size < MAX_REMEMBERED)
      this.#remembered.set(keyOf([candidate]), reason);
    return { name: candidate.name, reason };
  }
}

function withAll(schema: FlowSchema, group: Group, prefers: Prefers): FlowSchema | Culprit {
  let grown = schema;
  for (const candidate of group) {
    const next = grown.with(candidate, prefers);
    if (typeof next === 'string') return { name: candidate.name, reason: next };
    grown = next;
  }
  return grown;
}

/** The same for the same candidates only. */
export function keyOf(group: Group): string {
  return group.map(({ name, kind }) => `${kind} ${name.length} ${name}`).join(' ');
}

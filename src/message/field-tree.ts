import { MAX_PATH_STEPS, type PathStep } from './field-path.ts';
import type { BatchSlices } from './json-slices.ts';

/** A member or an element that a scanner has met or been told of. */
export interface Field {
  readonly path: readonly PathStep[];
  /** The kinds that are no news. */
  mask: number;
  /** True if it is allowed: its values are noted. */
  known: boolean;
  /** True if neither its values nor anything in them matters. */
  ignored: boolean;
  /** The name as it appears in a payload, with its closing quote; undefined if it takes an escape. */
  key: Uint8Array | undefined;
  /** The number of the last message that had it. */
  stamp: number;
  /** How many messages have had it with an allowed, non-null value since the last query. */
  seen: number;
  /** The field that followed it last time, and the last different one before that. */
  next: Field | undefined;
  otherNext: Field | undefined;
  /** The members and elements of its values, if any matters. */
  inside: FieldNode | undefined;
  /** The slices of its values, and the batch for which they are. */
  batch: BatchSlices | undefined;
  kinds: Uint16Array;
  starts: Uint32Array;
  ends: Uint32Array;
}

/** The members of an object, or the elements of an array. */
export interface FieldNode {
  readonly path: readonly PathStep[];
  readonly wanted: WantedPaths | undefined;
  readonly members: Map<string, Field>;
  readonly elements: ElementField[];
  /** Stands before the first member of every object. */
  readonly head: Field;
  /** Stands for all names that do not matter and found no room. */
  readonly others: Field;
}

export interface ElementField {
  readonly place: number;
  readonly field: Field;
}

const NO_KINDS = new Uint16Array();
const NO_PLACES = new Uint32Array();

/** A field that is not allowed. `mask` is 0 if it is news. */
export function createField(path: readonly PathStep[], mask: number, inside?: FieldNode): Field {
  return {
    path,
    mask,
    known: false,
    ignored: mask !== 0 && inside === undefined,
    key: keyOf(path.at(-1)),
    stamp: 0,
    seen: 0,
    next: undefined,
    otherNext: undefined,
    inside,
    batch: undefined,
    kinds: NO_KINDS,
    starts: NO_PLACES,
    ends: NO_PLACES,
  };
}

function keyOf(step: PathStep | undefined): Uint8Array | undefined {
  if (typeof step !== 'string') return undefined;
  const quoted = JSON.stringify(step);
  return quoted.length === step.length + 2 ? Buffer.from(quoted.slice(1)) : undefined;
}

export function createNode(
  path: readonly PathStep[],
  wanted: WantedPaths | undefined,
  allKinds: number,
): FieldNode {
  const [head, others] = [createField([], 0), createField([], allKinds)];
  return { path, wanted, members: new Map(), elements: [], head, others };
}

/** Adds an element, in order. */
export function addElement({ elements }: FieldNode, place: number, field: Field): void {
  elements.push({ place, field });
  elements.sort((a, b) => a.place - b.place);
}

/** The field that the step leads to, if the node has it. */
export function fieldAt(node: FieldNode | undefined, step: PathStep): Field | undefined {
  if (typeof step === 'string') return node?.members.get(step);
  return node?.elements.find(({ place }) => place === step)?.field;
}

/** Paths that somebody reads, as a tree. Names with an equal fold are the same step. */
export class WantedPaths {
  readonly #fold: (name: string) => string;
  readonly #steps = new Map<PathStep, WantedPaths>();
  #isRead = false;

  constructor(fold: (name: string) => string, paths: Iterable<readonly PathStep[]> = []) {
    this.#fold = fold;
    for (const path of paths) {
      checkLength(path);
      this.#add(path);
    }
  }

  /** True if one of the paths ends here. */
  get isRead(): boolean {
    return this.#isRead;
  }

  /** True if one of the paths goes on from here. */
  get isParent(): boolean {
    return this.#steps.size > 0;
  }

  /** The places of elements among the next steps. */
  get places(): number[] {
    return [...this.#steps.keys()].filter((step) => typeof step === 'number');
  }

  at(step: PathStep): WantedPaths | undefined {
    return this.#steps.get(typeof step === 'string' ? this.#fold(step) : step);
  }

  #add([step, ...rest]: readonly PathStep[]): void {
    if (step === undefined) {
      this.#isRead = true;
      return;
    }
    const key = typeof step === 'string' ? this.#fold(step) : step;
    let next = this.#steps.get(key);
    if (next === undefined) this.#steps.set(key, (next = new WantedPaths(this.#fold)));
    next.#add(rest);
  }
}

export function checkLength(path: readonly PathStep[]): void {
  if (path.length > MAX_PATH_STEPS) throw new RangeError(`a path has more than ${MAX_PATH_STEPS} steps`);
}

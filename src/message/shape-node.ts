import type { PathStep } from './field-path.ts';
import { fieldKinds } from './json-kinds.ts';
import type { ColumnType } from './rows.ts';

const { NULL, BOOL, INT, LONG, BIGINT, FLOAT, STRING, OBJECT, ARRAY, NESTED } = fieldKinds;

/** Deeper values are JSON: the levels of lists and structs. */
export const MAX_LEVELS = 8;

/** The values at one place inside a value. */
export interface ShapeNode {
  /** The kinds that they have had. */
  readonly kinds: number;
  /** The levels around it. */
  readonly depth: number;
  /** True if they are JSON, whatever they are. */
  readonly isOpaque: boolean;
  readonly members: readonly ShapeMember[];
  /** The place of each member. */
  readonly places: ReadonlyMap<string, number>;
  readonly items: ShapeNode | undefined;
  /** The number of nodes, this one and those below it. */
  readonly count: number;
}

export interface ShapeMember {
  readonly name: string;
  /** The name with its quotes, as it mostly appears in a payload. */
  readonly key: Uint8Array;
  readonly node: ShapeNode;
  /** The number of the last object that had it. */
  stamp: number;
}

type Fold = (name: string) => string;

export function emptyNode(depth: number): ShapeNode {
  return createNode(0, depth, [], undefined);
}

function createNode(
  kinds: number,
  depth: number,
  members: readonly ShapeMember[],
  items: ShapeNode | undefined,
): ShapeNode {
  const isTooDeep = depth >= MAX_LEVELS && (kinds & NESTED) !== 0;
  if (isTooDeep || isMixed(kinds)) {
    return { kinds, depth, isOpaque: true, members: [], places: new Map(), items: undefined, count: 1 };
  }
  const places = new Map(members.map(({ name }, place) => [name, place]));
  const count = members.reduce((sum, { node }) => sum + node.count, 1 + (items?.count ?? 0));
  return { kinds, depth, isOpaque: false, members, places, items, count };
}

/** The node after a value of these kinds was found at the end of the path. */
export function nodeWith(
  node: ShapeNode,
  [step, ...rest]: readonly PathStep[],
  kinds: number,
  fold: Fold,
): ShapeNode {
  if (node.isOpaque) return node;
  const { depth, members, items } = node;
  if (step === undefined) return createNode(node.kinds | kinds, depth, members, items);
  if (typeof step === 'number') {
    const inner = nodeWith(items ?? emptyNode(depth + 1), rest, kinds, fold);
    return createNode(node.kinds | ARRAY, depth, members, inner);
  }
  const place = node.places.get(step);
  if (place === undefined && !canBeMember(step, members, fold))
    return createNode(node.kinds | NESTED, depth, [], undefined);
  const before = place === undefined ? emptyNode(depth + 1) : members[place]!.node;
  const member = createMember(step, nodeWith(before, rest, kinds, fold));
  return createNode(
    node.kinds | OBJECT,
    depth,
    place === undefined ? [...members, member] : members.with(place, member),
    items,
  );
}

/** The node with values of only these kinds at the end of the path; the same if there is no such place. */
export function nodeWithOnly(
  node: ShapeNode,
  [step, ...rest]: readonly PathStep[],
  kinds: number,
): ShapeNode {
  const { depth, members, items, places } = node;
  if (step === undefined) {
    const [keptMembers, keptItems] = [
      (kinds & OBJECT) === 0 ? [] : members,
      (kinds & ARRAY) === 0 ? undefined : items,
    ];
    return createNode(kinds, depth, keptMembers, keptItems);
  }
  if (typeof step === 'number')
    return items === undefined
      ? node
      : createNode(node.kinds, depth, members, nodeWithOnly(items, rest, kinds));
  const place = places.get(step);
  if (place === undefined) return node;
  const member = createMember(step, nodeWithOnly(members[place]!.node, rest, kinds));
  return createNode(node.kinds, depth, members.with(place, member), items);
}

export function nodeAt(node: ShapeNode, path: readonly PathStep[]): ShapeNode | undefined {
  return path.reduce<ShapeNode | undefined>((at, step) => {
    if (typeof step === 'number') return at?.items;
    const place = at?.places.get(step);
    return place === undefined ? undefined : at?.members[place]?.node;
  }, node);
}

function createMember(name: string, node: ShapeNode): ShapeMember {
  return { name, key: Buffer.from(JSON.stringify(name)), node, stamp: 0 };
}

/** SQL tells the members of a struct apart by fewer characters than JSON does. */
function canBeMember(name: string, members: readonly ShapeMember[], fold: Fold): boolean {
  if (name === '' || name.includes('\0') || !name.isWellFormed()) return false;
  const folded = fold(name);
  return members.every((member) => fold(member.name) !== folded);
}

/** The type of the values. */
export function typeOfNode({ kinds, isOpaque, members, items }: ShapeNode): ColumnType {
  if (isOpaque) return { kind: 'json' };
  if ((kinds & ARRAY) !== 0)
    return { kind: 'list', of: items === undefined ? { kind: 'null' } : typeOfNode(items) };
  if ((kinds & OBJECT) === 0) return naturalType(kinds);
  if (members.length === 0) return { kind: 'json' };
  return { kind: 'struct', fields: members.map(({ name, node }) => ({ name, type: typeOfNode(node) })) };
}

/** The narrowest type that holds values of these kinds exactly: JSON for objects, arrays and mixtures. */
export function naturalType(kinds: number): ColumnType {
  const seen = kinds & ~NULL;
  const only = (mask: number): boolean => (seen & ~mask) === 0;
  if (seen === 0) return { kind: 'null' };
  if (only(BOOL)) return { kind: 'boolean' };
  if (only(STRING)) return { kind: 'varchar' };
  if (only(INT | LONG)) return { kind: 'bigint' };
  if (only(INT | LONG | BIGINT)) return { kind: 'hugeint' };
  // A double holds integers of up to 15 digits exactly; larger ones beside fractions keep their digits as JSON.
  return only(INT | FLOAT) ? { kind: 'double' } : { kind: 'json' };
}

function isMixed(kinds: number): boolean {
  const seen = kinds & ~NULL;
  return seen !== OBJECT && seen !== ARRAY && naturalType(kinds).kind === 'json';
}

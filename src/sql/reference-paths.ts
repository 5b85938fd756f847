import type { PathStep } from '../message/field-path.ts';
import type { Node } from './syntax-node.ts';

/**
 * A path gives a value that is computed with (`d.n`, `l[1]`), JSON (`d->'n'`), or the text of the value
 * (`d->>'n'`).
 */
export type PathForm = 'value' | 'json' | 'text';

/** Steps from a column into its values, as the query writes them. */
export interface Chain {
  /** The node of the column. */
  readonly base: Node;
  /** The steps after the names of `base`. */
  readonly steps: readonly PathStep[];
  /** The number of subscripts, dots and arrows after `base`. */
  readonly links: number;
  readonly form: PathForm;
}

/** The chain of constant steps that the node is, if it begins with a column; a column alone is one without steps. */
export function chainOf(node: Node): Chain | undefined {
  if (node['class'] === 'COLUMN_REF') return { base: node, steps: [], links: 0, form: 'value' };
  const { type, class: kind } = node;
  // A lambda in the tree is also JSON's arrow.
  const isLambda = kind === 'LAMBDA';
  const sides = isLambda ? [node['lhs'], node['expr']] : node['children'];
  if (!Array.isArray(sides) || sides.length !== 2) return undefined;
  const [left, right] = sides as [Node, Node];
  const name = isLambda ? '->' : kind === 'FUNCTION' ? node['function_name'] : undefined;
  const arrow = name === '->' || name === '->>' ? name : undefined;
  if (arrow === undefined && type !== 'STRUCT_EXTRACT' && type !== 'ARRAY_EXTRACT') return undefined;
  const before = chainOf(left);
  // The text of a value has no members.
  if (before === undefined || before.form === 'text') return undefined;
  const steps = stepsOf(constantOf(right), arrow !== undefined);
  if (steps === undefined) return undefined;
  const form = arrow === undefined ? 'value' : arrow === '->' ? 'json' : 'text';
  return { base: before.base, steps: [...before.steps, ...steps], links: before.links + 1, form };
}

function constantOf({ class: kind, value }: Node): string | number | undefined {
  const constant = kind === 'CONSTANT' ? (value as Node)['value'] : undefined;
  return typeof constant === 'string' || typeof constant === 'number' ? constant : undefined;
}

/** Elements count from 1 in SQL, and from 0 after an arrow. */
function stepsOf(constant: string | number | undefined, isArrow: boolean): PathStep[] | undefined {
  if (typeof constant === 'number') {
    const place = isArrow ? constant : constant - 1;
    return Number.isSafeInteger(place) && place >= 0 ? [place] : undefined;
  }
  if (constant === undefined) return undefined;
  if (!isArrow) return [constant];
  if (constant.startsWith('$')) return stepsOfJsonPath(constant);
  return constant.startsWith('/') ? undefined : [constant];
}

/** Matches a step of DuckDB's JSON paths: `.name`, `."a name"`, `[0]`. */
const STEP = /\.(?<name>[\w$-]+)|\."(?<quoted>[^"\\]+)"|\[(?<place>\d+)\]/y;

function stepsOfJsonPath(path: string): PathStep[] | undefined {
  const steps: PathStep[] = [];
  for (STEP.lastIndex = 1; STEP.lastIndex < path.length;) {
    const groups = STEP.exec(path)?.groups;
    if (groups === undefined) return undefined;
    const { name, quoted, place } = groups;
    steps.push(name ?? quoted ?? Number(place));
  }
  return steps.length === 0 ? undefined : steps;
}

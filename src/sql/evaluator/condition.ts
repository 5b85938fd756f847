import type { ColumnType, Values } from '../../message/rows.ts';
import type { Node } from '../syntax-node.ts';
import { compareWith, comparisons, flipped, isTrue, type Test } from './compare.ts';
import { like } from './like.ts';
import { readLiteral, type Literal } from './literal.ts';
import { and, areNull, FALSE, not, or, TRUE, UNKNOWN, unknownWhereNull } from './truth.ts';

/** A column of the table that a query reads, by its place among the values that it is given. */
export interface ColumnPlace {
  readonly index: number;
  readonly type: ColumnType;
}

/** The column that a node of the tree is: a name, or a path that is a column of its own. */
export type ColumnOf = (node: Node) => ColumnPlace | undefined;

/** Values by the places of their columns. */
export type Columns = readonly (Values | undefined)[];

/** A condition over the rows of a batch. */
export interface Condition {
  /** Writes its truth for each row. */
  (columns: Columns, length: number, truths: Uint8Array): void;
}

/** A list of more values than this is DuckDB’s, which looks each value up in a table of them. */
const MAX_LISTED = 16;

/** Reads conditions from DuckDB’s tree. */
export class ConditionReader {
  readonly #columnOf: ColumnOf;
  /** The places of the columns that the conditions read. */
  readonly columns = new Set<number>();

  constructor(columnOf: ColumnOf) {
    this.#columnOf = columnOf;
  }

  /** The condition; undefined if its result is not certain to be DuckDB’s. */
  read(node: Node): Condition | undefined {
    switch (node['type']) {
      case 'CONJUNCTION_AND':
        return this.#join(nodes(node['children']), and);
      case 'CONJUNCTION_OR':
        return this.#join(nodes(node['children']), or);
      case 'OPERATOR_NOT':
        return negated(this.#first(node));
      case 'OPERATOR_IS_NULL':
        return this.#isNull(node);
      case 'OPERATOR_IS_NOT_NULL':
        return negated(this.#isNull(node));
      case 'COMPARE_BETWEEN':
        return this.#between(node);
      case 'COMPARE_IN':
        return this.#in(node);
      case 'COMPARE_NOT_IN':
        return negated(this.#in(node));
      case 'FUNCTION':
        return this.#like(node);
      default:
        return this.#compare(node) ?? this.#itself(node);
    }
  }

  #first(node: Node): Condition | undefined {
    const [child] = nodes(node['children']);
    return child && this.read(child);
  }

  #join(children: readonly Node[], with_: typeof and): Condition | undefined {
    const conditions: Condition[] = [];
    for (const child of children) {
      const condition = this.read(child);
      if (condition === undefined) return undefined;
      conditions.push(condition);
    }
    return joined(conditions, with_);
  }

  #compare({ type, left, right }: Node): Condition | undefined {
    const comparison = comparisons.get(String(type));
    if (comparison === undefined) return undefined;
    const literal = readLiteral(right as Node);
    if (literal !== undefined) return this.#test(left as Node, comparison, literal);
    const other = readLiteral(left as Node);
    return other && this.#test(right as Node, flipped(comparison), other);
  }

  #between({ input, lower, upper }: Node): Condition | undefined {
    const [least, most] = [readLiteral(lower as Node), readLiteral(upper as Node)];
    if (least === undefined || most === undefined) return undefined;
    const from = this.#test(input as Node, comparisons.get('COMPARE_GREATERTHANOREQUALTO')!, least);
    const to = this.#test(input as Node, comparisons.get('COMPARE_LESSTHANOREQUALTO')!, most);
    return from && to && joined([from, to], and);
  }

  #in(node: Node): Condition | undefined {
    const [column, ...listed] = nodes(node['children']);
    if (column === undefined || listed.length === 0 || listed.length > MAX_LISTED) return undefined;
    const conditions: Condition[] = [];
    for (const each of listed) {
      const literal = readLiteral(each);
      const condition = literal && this.#test(column, comparisons.get('COMPARE_EQUAL')!, literal);
      if (condition === undefined) return undefined;
      conditions.push(condition);
    }
    return joined(conditions, or);
  }

  #like(node: Node): Condition | undefined {
    const name = node['function_name'];
    const [text, pattern] = nodes(node['children']);
    if ((name !== '~~' && name !== '!~~') || text === undefined || pattern === undefined) return undefined;
    const literal = readLiteral(pattern);
    if (literal?.kind !== 'text') return undefined;
    const condition = this.#of(text, ({ kind }) => (kind === 'varchar' ? like(literal.value) : undefined));
    return name === '~~' ? condition : negated(condition);
  }

  #isNull(node: Node): Condition | undefined {
    const [child] = nodes(node['children']);
    const place = child && this.#columnOf(child);
    if (place === undefined) return undefined;
    this.columns.add(place.index);
    return (columns, length, truths) => areNull(truths, columns[place.index]!.valid, length);
  }

  /** A BOOLEAN column, or a constant. */
  #itself(node: Node): Condition | undefined {
    const literal = readLiteral(node);
    if (literal?.kind === 'null') return constant(UNKNOWN);
    if (literal?.kind === 'boolean') return constant(literal.value ? TRUE : FALSE);
    return literal === undefined
      ? this.#of(node, ({ kind }) => (kind === 'boolean' ? isTrue : undefined))
      : undefined;
  }

  #test(column: Node, comparison: number, literal: Literal): Condition | undefined {
    return this.#of(column, (type) => compareWith(type, comparison, literal));
  }

  #of(node: Node, testFor: (type: ColumnType) => Test | undefined): Condition | undefined {
    const place = this.#columnOf(node);
    if (place === undefined) return undefined;
    const test = testFor(place.type);
    if (test === undefined) return undefined;
    this.columns.add(place.index);
    return (columns, length, truths) => {
      const values = columns[place.index]!;
      test(values, length, truths);
      unknownWhereNull(truths, values.valid, length);
    };
  }
}

function constant(truth: number): Condition {
  return (_, length, truths) => void truths.fill(truth, 0, length);
}

function negated(condition: Condition | undefined): Condition | undefined {
  return (
    condition &&
    ((columns, length, truths) => {
      condition(columns, length, truths);
      not(truths, length);
    })
  );
}

function joined(conditions: readonly Condition[], with_: typeof and): Condition {
  const [first, ...others] = conditions;
  if (others.length === 0) return first!;
  let scratch = new Uint8Array(0);
  return (columns, length, truths) => {
    first!(columns, length, truths);
    if (scratch.length < length) scratch = new Uint8Array(length);
    for (const other of others) {
      other(columns, length, scratch);
      with_(truths, scratch, length);
    }
  };
}

function nodes(value: unknown): readonly Node[] {
  return Array.isArray(value) ? value : [];
}

import type { Node } from '../syntax-node.ts';

/** A constant of a query, as far as JavaScript holds it exactly. */
export type Literal =
  | { readonly kind: 'null' }
  | { readonly kind: 'boolean'; readonly value: boolean }
  /** The value is `digits` / 10^`scale`; an integer has the scale 0. */
  | { readonly kind: 'decimal'; readonly digits: number; readonly scale: number }
  | { readonly kind: 'double'; readonly value: number }
  | { readonly kind: 'text'; readonly value: string };

/** The constant that a node of DuckDB’s tree is; undefined for any other node, and for a constant that is not certain. */
export function readLiteral(node: Node): Literal | undefined {
  if (node['type'] === 'OPERATOR_CAST') return readBoolean(node);
  if (node['type'] !== 'VALUE_CONSTANT') return undefined;
  const { type, is_null: isNull, value } = node['value'] as Node;
  const { id, type_info: info } = type as Node;
  if (isNull === true) return id === 'NULL' ? { kind: 'null' } : undefined;
  if (id === 'VARCHAR') return typeof value === 'string' ? { kind: 'text', value } : undefined;
  if (id === 'BOOLEAN') return typeof value === 'boolean' ? { kind: 'boolean', value } : undefined;
  if (typeof value !== 'number') return undefined;
  if (id === 'DOUBLE') return { kind: 'double', value };
  // A longer number has lost digits when the tree was parsed, or is an object.
  if (!Number.isSafeInteger(value)) return undefined;
  if (id === 'INTEGER' || id === 'BIGINT') return { kind: 'decimal', digits: value, scale: 0 };
  if (id !== 'DECIMAL') return undefined;
  const { scale } = info as Node;
  return typeof scale === 'number' && scale <= MAX_SCALE
    ? { kind: 'decimal', digits: value, scale }
    : undefined;
}

/** 10 to this power is exact in a double, and a BIGINT with so many digits behind the point fits into a DECIMAL. */
const MAX_SCALE = 15;

/** The parser writes `true` as a cast of 't'. */
function readBoolean({ child, cast_type: type, try_cast: isTried }: Node): Literal | undefined {
  const { value } = child as Node;
  if ((child as Node)['type'] !== 'VALUE_CONSTANT' || (type as Node)['id'] !== 'BOOLEAN' || isTried === true)
    return undefined;
  const text = (value as Node)['value'];
  return text === 't' || text === 'f' ? { kind: 'boolean', value: text === 't' } : undefined;
}

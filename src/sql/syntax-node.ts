/** A node of DuckDB's syntax tree: an expression if it has a `class`. */
export type Node = { readonly [key: string]: unknown };

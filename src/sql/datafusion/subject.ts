/**
 * The functions of one subject that DataFusion documents, each in the part that says how a query gets it. Lists of names
 * are separated by spaces.
 */
export interface Subject {
  readonly title: string;
  /** True if its functions make one value of many rows. */
  readonly aggregates?: boolean;
  /** DuckDB has them, and they mean the same. */
  readonly own: string;
  /** They are macros: for each list of parameters, the body. A key may be several names for the same. */
  readonly macros: Macros;
  /** DuckDB has the name, but in some case it means something else: the case, and what to write there. */
  readonly differs: Readonly<Record<string, string>>;
  /** Neither: what to write instead. */
  readonly missing: Readonly<Record<string, string>>;
}

/**
 * Macros by name, and their bodies by parameters. A body that begins with `system.main.` is DuckDB's own function: the
 * macro adds other numbers of arguments to it. Names in lambdas begin with `__`, because an argument may name a column.
 */
export type Macros = Readonly<Record<string, Overloads>>;

export type Overloads = Readonly<Record<string, string>>;

/** One body for each number of arguments from `least` to `most`. */
export function variadic(least: number, most: number, body: (names: readonly string[]) => string): Overloads {
  const overloads: Record<string, string> = {};
  for (let count = least; count <= most; count++) {
    const names = Array.from({ length: count }, (_, index) => `a${index}`);
    overloads[names.join(', ')] = body(names);
  }
  return overloads;
}

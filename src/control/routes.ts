import type { PathParameters } from '../component/listeners.ts';

/** The match of a path: its route and the values of its parameters. */
export interface Found<R> {
  readonly route: R;
  readonly parameters: PathParameters;
}

interface Pattern<R> {
  readonly path: string;
  readonly segments: readonly string[];
  /** The path without its parameters' names: two paths with the same key match the same requests. */
  readonly shape: string;
  readonly route: R;
}

const NONE: PathParameters = {};

/**
 * The paths of a listener. A path is compared exactly as sent, except for the segments `:name` of a pattern: each
 * matches one non-empty segment, percent-decoded. Exact paths come first, then the pattern whose exact part is longer,
 * from the left.
 */
export class Routes<R> {
  readonly #exact = new Map<string, R>();
  #patterns: readonly Pattern<R>[] = [];

  get size(): number {
    return this.#exact.size + this.#patterns.length;
  }

  get paths(): string[] {
    return [...this.#exact.keys(), ...this.#patterns.map(({ path }) => path)];
  }

  get all(): R[] {
    return [...this.#exact.values(), ...this.#patterns.map(({ route }) => route)];
  }

  /** The route, if there is only one path. */
  get only(): R | undefined {
    return this.size === 1 ? this.all[0] : undefined;
  }

  /** The existing path that matches the same requests as `path` would. */
  taken(path: string): string | undefined {
    if (!isPattern(path)) return this.#exact.has(path) ? path : undefined;
    return this.#patterns.find(({ shape }) => shape === shapeOf(path))?.path;
  }

  /** `path` must not be taken. */
  add(path: string, route: R): void {
    if (!isPattern(path)) return void this.#exact.set(path, route);
    const pattern = { path, segments: path.split('/'), shape: shapeOf(path), route };
    this.#patterns = [...this.#patterns, pattern].toSorted((a, b) => compare(a.segments, b.segments));
  }

  delete(path: string): void {
    this.#exact.delete(path);
    this.#patterns = this.#patterns.filter((pattern) => pattern.path !== path);
  }

  /** `malformed` if a parameter is not percent-encoded UTF-8. */
  find(path: string): Found<R> | 'malformed' | undefined {
    const exact = this.#exact.get(path);
    if (exact !== undefined) return { route: exact, parameters: NONE };
    if (this.#patterns.length === 0) return undefined;
    const segments = path.split('/');
    for (const { segments: pattern, route } of this.#patterns) {
      if (!matches(pattern, segments)) continue;
      const parameters = readParameters(pattern, segments);
      return parameters === undefined ? 'malformed' : { route, parameters };
    }
    return undefined;
  }
}

function isPattern(path: string): boolean {
  return path.includes('/:');
}

function shapeOf(path: string): string {
  return path.replaceAll(/\/:[^/]*/g, '/:');
}

function isParameter(segment: string): boolean {
  return segment.startsWith(':');
}

function matches(pattern: readonly string[], segments: readonly string[]): boolean {
  return (
    pattern.length === segments.length &&
    pattern.every((each, index) => (isParameter(each) ? segments[index] !== '' : each === segments[index]))
  );
}

/** Undefined if a parameter cannot be decoded. */
function readParameters(pattern: readonly string[], segments: readonly string[]): PathParameters | undefined {
  const values: [string, string][] = [];
  for (const [index, each] of pattern.entries()) {
    if (!isParameter(each)) continue;
    try {
      values.push([each.slice(1), decodeURIComponent(segments[index]!)]);
    } catch {
      return undefined;
    }
  }
  // Not by assignment, because a parameter may be called __proto__.
  return Object.fromEntries(values);
}

/** Where they first differ in kind, the exact one comes before the parameter. */
function compare(a: readonly string[], b: readonly string[]): number {
  for (let index = 0; index < Math.min(a.length, b.length); index++) {
    const difference = Number(isParameter(a[index]!)) - Number(isParameter(b[index]!));
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

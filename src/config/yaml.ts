import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  parseDocument,
  visit,
  type Alias,
  type Document,
  type Node,
  type Scalar,
} from 'yaml';
import { type Finding, givenTwice, Places, type SourceDocument } from './document.ts';
import { digitsOf } from './numbers.ts';
import { type Path, pathKey } from './problem.ts';

/** How often anchors may be used in all: otherwise, a few lines of aliases of aliases become gigabytes. */
const MAX_ALIASES = 1000;

/** Reads YAML 1.2 (with merge keys), with the place of each value. */
export function readYaml(text: string): SourceDocument {
  // Duplicate keys are found below, with their path; the library would report neither the path nor the first place.
  const options = {
    merge: true,
    stringKeys: true,
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: 'error',
  } as const;
  const document = parseDocument(text, options);
  const places = new Places(text);
  const errors = [...document.errors, ...document.warnings];
  const unquoted = errors.findIndex(({ pos: [at] }) => isTemplate(text, at));
  // YAML takes the braces for a map, and everything behind them may seem wrong.
  const told = unquoted < 0 ? errors : errors.slice(0, unquoted + 1);
  const findings: Finding[] = told.map((error, index) => ({
    path: [],
    offset: error.pos[0],
    message:
      error.code === 'MULTIPLE_DOCS'
        ? 'a second document begins here; expected one in a file: put all streams into one list, or each document into its own file'
        : index === unquoted
          ? 'a text with {{…}} needs quotes here, as in "{{key}}"'
          : `not valid YAML: ${plainMessage(error.message)}`,
  }));
  const broken = (): SourceDocument => ({
    value: undefined,
    places,
    numbers: new Map(),
    findings,
    broken: true,
  });

  let firstAlias: Alias | undefined;
  visit(document, {
    Alias(_key, alias) {
      firstAlias ??= alias;
      if (alias.resolve(document) === undefined) {
        const message = `no anchor "${alias.source}" before this alias; expected &${alias.source} at its value`;
        findings.push({ path: [], offset: offsetOf(alias), message });
      }
    },
  });
  if (findings.length > 0) {
    new Walk(document, places, findings, false).visit(document.contents, [], []);
    return broken();
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch {
    const message = `too many aliases; expected at most ${MAX_ALIASES} uses of anchors`;
    findings.push({ path: [], offset: offsetOf(firstAlias), message });
    return broken();
  }
  const walk = new Walk(document, places, findings, true);
  walk.visit(document.contents, [], []);
  const { numbers } = walk;
  return walk.cyclic ? broken() : { value, places, numbers, findings, broken: false };
}

/**
 * Notes the place of each part and the digits of numbers, and finds duplicate keys and aliases that contain
 * themselves.
 */
class Walk {
  cyclic = false;
  readonly numbers = new Map<string, string>();
  readonly #document: Document;
  readonly #places: Places;
  readonly #findings: Finding[];
  readonly #followAliases: boolean;
  readonly #duplicates = new Set<number>();

  constructor(document: Document, places: Places, findings: Finding[], followAliases: boolean) {
    this.#document = document;
    this.#places = places;
    this.#findings = findings;
    this.#followAliases = followAliases;
  }

  /** `around` has the collections around `node`. */
  visit(node: unknown, path: Path, around: readonly unknown[]): void {
    if (isNode(node)) this.#places.setValue(path, offsetOf(node));
    const target = this.#target(node, around);
    if (isScalar(target)) this.#visitScalar(target, path);
    else if (isMap(target)) this.#visitMap(target, path, [...around, target]);
    else if (isSeq(target)) {
      for (const [index, item] of target.items.entries()) {
        this.visit(item, [...path, index], [...around, target]);
      }
    }
  }

  #visitScalar({ value, source }: Scalar, path: Path): void {
    if (typeof value !== 'number' || source === undefined) return;
    const digits = digitsOf(source, value);
    if (digits !== undefined) this.numbers.set(pathKey(path), digits);
  }

  #visitMap(
    map: { items: readonly { key: unknown; value: unknown }[] },
    path: Path,
    around: readonly unknown[],
  ): void {
    const merges: unknown[] = [];
    const own = new Set<string>();
    for (const { key, value } of map.items) {
      if (!isScalar(key)) continue;
      if (typeof key.value === 'symbol' || (key.value === '<<' && key.type === 'PLAIN')) {
        merges.push(value);
        continue;
      }
      const name = String(key.value);
      const at = [...path, name];
      const offset = offsetOf(key);
      if (own.has(name)) {
        // An anchored map is visited at each of its uses; its mistake counts once.
        if (!this.#duplicates.has(offset)) this.#findings.push(givenTwice(this.#places, at, offset));
        this.#duplicates.add(offset);
        continue;
      }
      if (this.#places.has(at)) continue;
      own.add(name);
      this.#places.setKey(at, offset);
      this.#places.setValue(at, offset);
      if (value !== null) this.visit(value, at, around);
    }
    // A map's own fields win over merged ones, and an earlier source of a merge over a later one.
    for (const merge of merges) {
      const target = this.#target(merge, around);
      for (const source of isSeq(target) ? target.items : [target]) {
        const from = this.#target(source, around);
        if (isMap(from)) this.#visitMap(from, path, [...around, from]);
      }
    }
  }

  #target(node: unknown, around: readonly unknown[]): unknown {
    if (!isAlias(node)) return node;
    if (!this.#followAliases) return undefined;
    const target = node.resolve(this.#document);
    if (!around.includes(target)) return target;
    this.cyclic = true;
    const message = `the alias *${node.source} contains itself; expected a value that ends`;
    this.#findings.push({ path: [], offset: offsetOf(node), message });
    return undefined;
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'range' in value;
}

function offsetOf(node: unknown): number {
  return isNode(node) ? (node.range?.[0] ?? 0) : 0;
}

/** Without the piece of the file that some messages end with: it may be a secret. */
function plainMessage(message: string): string {
  return message.replace(/: ".*$/s, '').replaceAll(/\s*\n\s*/g, ' ');
}

/** Whether a `{{` begins at the offset, or just before it. */
function isTemplate(text: string, at: number): boolean {
  return text.startsWith('{{', at) || (at > 0 && text.startsWith('{{', at - 1));
}

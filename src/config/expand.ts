import type { Environment } from '../component/context.ts';
import { LONGEST_SECRET, readWholeFileSync } from '../component/whole-file.ts';
import { isSecretName } from '../component/mask.ts';
import { errorMessage } from '../errors.ts';
import type { SourceDocument } from './document.ts';
import type { NumberTexts } from './numbers.ts';
import { isPlainObject } from './plain.ts';
import { type Path, pathKey } from './problem.ts';

/** A piece of a text that a `${…}` gave. */
export interface Fill {
  readonly path: Path;
  readonly start: number;
  readonly end: number;
}

/** A `${…}` with nothing in it. */
export interface Blank {
  /** Whether it is plainly meant as a secret, wherever it stands. */
  readonly secret: boolean;
  readonly message: string;
}

/** A document with its `${…}` filled in. */
export interface Expansion {
  readonly value: unknown;
  readonly numbers: NumberTexts;
  readonly failures: readonly { readonly path: Path; readonly message: string }[];
  /** Keys of the paths whose text came, in whole or in part, from outside the file: never to be shown. */
  readonly filled: ReadonlySet<string>;
  /** Those of them that are one `${…}` and nothing else, so that they may stand for a number or a boolean. */
  readonly whole: ReadonlySet<string>;
  /** Those with a `${…}` in them that came out blank; a default that is empty is meant so. */
  readonly blank: ReadonlyMap<string, Blank>;
  /** What was filled in. */
  readonly secrets: readonly string[];
  /** What came from outside the file, and not from a default in it. */
  readonly fills: readonly Fill[];
}

/**
 * Fills in `${NAME}`, `${NAME:-default}` and `${file:/path}` in every string, after parsing, so that what is filled in
 * is text of that string and nothing else. `$${` is a literal `${`. Names of fields are left alone, and so is what
 * has been filled in.
 */
export function expand(
  { value, numbers }: Pick<SourceDocument, 'value' | 'numbers'>,
  env: Environment,
): Expansion {
  const failures: { path: Path; message: string }[] = [];
  const filled = new Set<string>();
  const whole = new Set<string>();
  const blank = new Map<string, Blank>();
  const secrets = new Set<string>();
  const fills: Fill[] = [];

  const text = (source: string, path: Path): string => {
    if (!source.includes('${')) return source;
    let result = '';
    let at = 0;
    while (at < source.length) {
      if (source.startsWith('$${', at)) {
        result += '${';
        at += 3;
      } else if (source.startsWith('${', at)) {
        const end = source.indexOf('}', at);
        if (end < 0) {
          failures.push({ path, message: 'a ${ that is not closed; expected a }, or $${ for a literal ${' });
          return source;
        }
        const reference = source.slice(at + 2, end);
        const found = lookUp(reference, env);
        if ('problem' in found) {
          failures.push({ path, message: found.problem });
          return source;
        }
        if (!found.ours) fills.push({ path, start: result.length, end: result.length + found.text.length });
        result += found.text;
        if (found.text.trim() === '' && !reference.endsWith(':-'))
          blank.set(pathKey(path), describeBlank(reference));
        secrets.add(found.text);
        filled.add(pathKey(path));
        if (at === 0 && end === source.length - 1) whole.add(pathKey(path));
        at = end + 1;
      } else {
        result += source[at];
        at++;
      }
    }
    if (filled.has(pathKey(path))) secrets.add(result);
    return result;
  };

  const walk = (node: unknown, path: Path): unknown => {
    if (typeof node === 'string') return text(node, path);
    if (Array.isArray(node)) return node.map((item, index) => walk(item, [...path, index]));
    if (!isPlainObject(node)) return node;
    // fromEntries makes own properties whatever they are called, `__proto__` too.
    return Object.fromEntries(Object.entries(node).map(([key, each]) => [key, walk(each, [...path, key])]));
  };

  return {
    value: walk(value, []),
    numbers,
    failures,
    filled,
    whole,
    blank,
    fills,
    secrets: [...secrets].filter((each) => each !== ''),
  };
}

/** `ours` says that the file itself has the text, as a default. */
function lookUp(reference: string, env: Environment): { text: string; ours?: boolean } | { problem: string } {
  if (reference.startsWith('file:')) return readSecret(reference.slice('file:'.length));
  const [name, fallback] = splitDefault(reference);
  if (!/^[A-Za-z_]\w*$/.test(name)) {
    // Not shown: it may be a piece of a password that was not meant to be filled in.
    const message =
      'a ${…} that does not name a variable; expected ${NAME}, ${NAME:-default}, ${file:/path}, or $${ for a literal ${';
    return { problem: message };
  }
  if (fallback?.includes('${') === true) {
    return { problem: `the default of \${${name}} has a \${ in it; expected plain text` };
  }
  const set = Object.hasOwn(env, name) ? env[name] : undefined;
  // As in a shell, `:-` is for a variable that is empty too.
  if (fallback !== undefined && (set === undefined || set === '')) return { text: fallback, ours: true };
  if (set !== undefined) return { text: set };
  return {
    problem: `the environment variable ${name} is not set; set it, or give a default as \${${name}:-default}`,
  };
}

function describeBlank(reference: string): Blank {
  // Files are for secrets.
  if (reference.startsWith('file:')) return { secret: true, message: `\${${reference}} is blank` };
  const [name] = splitDefault(reference);
  const message = `the environment variable ${name} is blank; set it, or write \${${name}:-} where it may be empty`;
  return { secret: isSecretName(name), message };
}

function splitDefault(reference: string): [name: string, fallback: string | undefined] {
  const at = reference.indexOf(':-');
  return at < 0 ? [reference, undefined] : [reference.slice(0, at), reference.slice(at + 2)];
}

/** The text of a file, as those that hold secrets are: one line, whose end is not part of it. */
function readSecret(path: string): { text: string; ours?: boolean } | { problem: string } {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readWholeFileSync(path, LONGEST_SECRET));
    return { text: text.replace(/\r?\n$/, '') };
  } catch (error) {
    const reason = error instanceof TypeError ? 'it is not UTF-8 text' : errorMessage(error);
    return { problem: `\${file:${path}} cannot be filled in: ${reason}` };
  }
}

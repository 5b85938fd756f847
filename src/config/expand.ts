import type { Environment } from '../component/context.ts';
import { LONGEST_SECRET, readWholeFileSync } from '../component/whole-file.ts';
import { isSecretName } from '../component/mask.ts';
import { errorMessage } from '../errors.ts';
import type { SourceDocument } from './document.ts';
import type { NumberTexts } from './numbers.ts';
import { isPlainObject } from './plain.ts';
import { type Path, pathKey } from './problem.ts';

/** A piece of a text that comes from a `${…}`. */
export interface Fill {
  readonly path: Path;
  readonly start: number;
  readonly end: number;
}

/** A `${…}` whose value is blank. */
export interface Blank {
  /** Whether it is clearly meant as a secret, in any field. */
  readonly secret: boolean;
  readonly message: string;
}

/** A document with its `${…}` filled in. */
export interface Expansion {
  readonly value: unknown;
  readonly numbers: NumberTexts;
  readonly failures: readonly { readonly path: Path; readonly message: string }[];
  /** Keys of the paths whose text comes, in whole or in part, from outside the file: never to be shown. */
  readonly filled: ReadonlySet<string>;
  /** Of these, the paths that are one `${…}` and nothing else, which may stand for a number or a boolean. */
  readonly whole: ReadonlySet<string>;
  /** Of these, the paths with a `${…}` whose value is blank; an empty default is intended. */
  readonly blank: ReadonlyMap<string, Blank>;
  /** The filled-in values. */
  readonly secrets: readonly string[];
  /** The values that come from outside the file, and not from a default in it. */
  readonly fills: readonly Fill[];
}

/**
 * Fills in `${NAME}`, `${NAME:-default}` and `${file:/path}` in every string, after parsing, so that a value becomes
 * text of that string and nothing else. `$${` is a literal `${`. Names of fields are left alone, and so are filled-in
 * values.
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
    // fromEntries makes own properties of any name, even `__proto__`.
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

/** `ours` says that the text comes from the file itself, as a default. */
function lookUp(reference: string, env: Environment): { text: string; ours?: boolean } | { problem: string } {
  if (reference.startsWith('file:')) return readSecret(reference.slice('file:'.length));
  const [name, fallback] = splitDefault(reference);
  if (!/^[A-Za-z_]\w*$/.test(name)) {
    // The reference is not shown: it may be a piece of a password that was not meant to be filled in.
    const message =
      'a ${…} that does not name a variable; expected ${NAME}, ${NAME:-default}, ${file:/path}, or $${ for a literal ${';
    return { problem: message };
  }
  if (fallback?.includes('${') === true) {
    return { problem: `the default of \${${name}} has a \${ in it; expected plain text` };
  }
  const set = Object.hasOwn(env, name) ? env[name] : undefined;
  // As in a shell, `:-` also applies to an empty variable.
  if (fallback !== undefined && (set === undefined || set === '')) return { text: fallback, ours: true };
  if (set !== undefined) return { text: set };
  return {
    problem: `the environment variable ${name} is not set; set it, or give a default as \${${name}:-default}`,
  };
}

function describeBlank(reference: string): Blank {
  // Files are meant for secrets.
  if (reference.startsWith('file:')) return { secret: true, message: `\${${reference}} is blank` };
  const [name] = splitDefault(reference);
  const message = `the environment variable ${name} is blank; set it, or write \${${name}:-} where it may be empty`;
  return { secret: isSecretName(name), message };
}

function splitDefault(reference: string): [name: string, fallback: string | undefined] {
  const at = reference.indexOf(':-');
  return at < 0 ? [reference, undefined] : [reference.slice(0, at), reference.slice(at + 2)];
}

/** The text of a file that holds a secret: one line, without its end. */
function readSecret(path: string): { text: string; ours?: boolean } | { problem: string } {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readWholeFileSync(path, LONGEST_SECRET));
    return { text: text.replace(/\r?\n$/, '') };
  } catch (error) {
    const reason = error instanceof TypeError ? 'it is not UTF-8 text' : errorMessage(error);
    return { problem: `\${file:${path}} cannot be filled in: ${reason}` };
  }
}

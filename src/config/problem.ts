import { MillraceError } from '../errors.ts';

/** The place of a value in its document, from the root: field names, and places in lists from 0. */
export type Path = readonly (string | number)[];

/** One mistake in a configuration file. Lines and columns count from 1; columns are UTF-16 code units. */
export interface Problem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** The path of the field, as `streams[0].input.url`; empty for a mistake outside fields, such as in syntax. */
  readonly path: string;
  /** The mistake, and the expected value. */
  readonly message: string;
}

/** MILLRACE_CONFIG_INVALID: every mistake of a file at once, in the order of the file. */
export class ConfigError extends MillraceError {
  override readonly name = 'ConfigError';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    const sorted = problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
    super('MILLRACE_CONFIG_INVALID', sorted.map(formatProblem).join('\n'), { fatal: true });
    this.problems = sorted;
  }
}

/** One line: `file:line:column: path: what is wrong; what was expected`. */
export function formatProblem(problem: Problem): string {
  const { file, line, column, path, message } = problem;
  return `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`;
}

export function formatPath(path: Path): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (!/^[\w$-]+$/.test(part)) text += `[${JSON.stringify(part)}]`;
    else text += text === '' ? part : `.${part}`;
  }
  return text;
}

/** A path as the key of a map or set. */
export function pathKey(path: Path): string {
  return JSON.stringify(path);
}

import type { z } from 'zod';
import { kinds, type Kind } from '../component/define.ts';
import type { Registry } from '../component/registry.ts';
import { maskUrl } from '../component/mask.ts';
import { nearest } from './nearest.ts';
import { isPlainObject, replaceAt, valueAt } from './plain.ts';
import type { Path } from './problem.ts';
import { schemaAt, shapeOf, tagsAt, unwrap } from './schema-walk.ts';
import { article, either, expectation } from './type-names.ts';

/** Marks an issue that would have zod's words; the field's author wrote any other message. */
export const NO_MESSAGE = '\0';

export type Issue = z.core.$ZodIssue;

/** Where an issue is. A file has no symbols. */
export function pathOf(issue: Issue): Path {
  return issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part));
}

/** An issue in words for the author of the file. `at` says which to point at: the field's name or its value. */
export interface Explanation {
  readonly path: Path;
  readonly at: 'key' | 'value';
  readonly message: string;
}

/** The schema and the value that an issue is about. */
export interface Subject {
  readonly schema: z.core.$ZodType;
  readonly value: unknown;
  readonly registry: Registry;
  /** Whether the value at `path` must not be shown, apart from what the schema says of it. */
  filled(path: Path): boolean;
  /** A message that an author wrote, with secret values masked. */
  mask(message: string, path: Path): string;
}

const MAX_SHOWN = 60;

export function explain(issue: Issue, subject: Subject): Explanation[] {
  const path = pathOf(issue);
  const value = valueAt(subject.value, path);
  const own = issue.message === NO_MESSAGE ? undefined : issue.message;
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      path: [...path, key],
      at: 'key',
      message: unknownField(key, path, subject),
    }));
  }
  if (issue.code === 'invalid_key') {
    const why =
      issue.issues.find((each) => each.message !== NO_MESSAGE)?.message ?? 'not a name that is allowed here';
    return [{ path, at: 'key', message: why.startsWith('not ') ? `the name is ${why}` : why }];
  }
  if (value === undefined && isPlainObject(valueAt(subject.value, path.slice(0, -1)))) {
    const message =
      own !== undefined ? subject.mask(own, path) : `is missing; expected ${expected(issue, subject)}`;
    return [{ path, at: 'key', message }];
  }
  if (own !== undefined) {
    const masked = subject.mask(own, path);
    // The message of a check on the value and not on the field.
    if (!/^(?:not|out of|too) /.test(own)) return [{ path, at: 'key', message: masked }];
    return [{ path, at: 'value', message: `${show(path, subject)}is ${masked}` }];
  }
  if (issue.code === 'invalid_union') {
    const nested = nearestOption(issue);
    if (nested !== undefined) {
      return nested.flatMap((each) => explain({ ...each, path: [...path, ...each.path] }, subject));
    }
  }
  return [{ path, at: 'value', message: wrongValue(issue, value, path, subject) }];
}

function wrongValue(issue: Issue, value: unknown, path: Path, subject: Subject): string {
  if (value === null) return `is empty; expected ${expected(issue, subject)}`;
  if (issue.code === 'too_big' || issue.code === 'too_small') return outOfRange(issue, value, path, subject);
  const shown = show(path, subject);
  if (issue.code === 'invalid_format') {
    const { format, pattern } = issue;
    const noun = format === 'regex' ? `a match of ${pattern ?? 'its pattern'}` : `a valid ${format}`;
    return `${shown}is not ${noun}; expected ${format === 'url' ? 'a URL with its scheme' : 'one'}`;
  }
  if (issue.code === 'not_multiple_of')
    return `${shown}does not fit; expected a multiple of ${issue.divisor}`;
  const kind = componentKind(path, subject);
  if (kind !== undefined && path.at(-1) === 'type') return wrongType(issue, kind, value, subject);
  const elsewhere = isTag(issue) ? ownersOf(path, subject, (root) => allows(root, path, subject)) : '';
  if (elsewhere !== '') return elsewhere;
  const isWord = (issue.code === 'invalid_value' || isTag(issue)) && typeof value === 'string';
  const meant = isWord ? suggestion(issue, value, subject) : undefined;
  const hint = meant === undefined ? '' : ` (did you mean ${meant}?)`;
  return `${shown}is ${isWord ? 'not known' : typeOf(value)}; expected ${expected(issue, subject)}${hint}`;
}

/** The `type` of a component is not a known type. */
function wrongType(issue: Issue, kind: Kind, value: unknown, subject: Subject): string {
  const path = pathOf(issue);
  const other = kinds.find((each) => subject.registry.list(each).some(({ type }) => type === value));
  const instead = other === undefined || hidden(path, subject) ? '' : ` but ${article(other)}`;
  const meant = suggestion(issue, value, subject);
  const hint = meant === undefined ? `expected ${expected(issue, subject)}` : `did you mean ${meant}?`;
  return `${show(path, subject)}is not ${article(kind)}${instead}; ${hint} (\`millrace list\` shows all)`;
}

function outOfRange(
  issue: Extract<Issue, { code: 'too_big' | 'too_small' }>,
  value: unknown,
  path: Path,
  subject: Subject,
): string {
  const limit = issue.code === 'too_big' ? issue.maximum : issue.minimum;
  const bound =
    issue.inclusive === false ? (issue.code === 'too_big' ? 'less than' : 'more than') : undefined;
  const atLimit = bound ?? (issue.code === 'too_big' ? 'at most' : 'at least');
  if (typeof value === 'number') {
    return `${show(path, subject)}is too ${issue.code === 'too_big' ? 'large' : 'small'}; expected ${atLimit} ${limit}`;
  }
  const unit = `${typeof value === 'string' ? 'character' : 'item'}${Number(limit) === 1 ? '' : 's'}`;
  const empty = value === '' || (Array.isArray(value) && value.length === 0);
  const wrong = empty ? 'is empty' : `is too ${issue.code === 'too_big' ? 'long' : 'short'}`;
  return `${wrong}; expected ${atLimit} ${limit} ${unit}`;
}

/** Whether the tag of a union has a value that no option has. */
function isTag(issue: Issue): issue is Extract<Issue, { code: 'invalid_union' }> & { discriminator: string } {
  return 'discriminator' in issue;
}

/** Whether the tag at `path` would have a valid value if the file were `root`. */
function allows(root: unknown, path: Path, { schema }: Subject): boolean {
  const parent = path.slice(0, -1);
  const tags = schemaAt(schema, root, parent).schema;
  const value = valueAt(root, path);
  return (
    tags !== undefined &&
    tagsAt(tags, valueAt(root, parent)).some(
      ({ field, options }) => field === path.at(-1) && options.some(({ values }) => values.includes(value)),
    )
  );
}

/** The file as it would be if a component around `path` had another mode. */
interface OtherMode {
  readonly root: unknown;
  readonly name: string;
  readonly current: string;
}

/** One for each component with modes, the innermost first. */
function otherModes(path: Path, { schema, value }: Subject): OtherMode[][] {
  return path.toReversed().flatMap((_, index) => {
    const at = path.slice(0, path.length - 1 - index);
    const outer = schemaAt(schema, value, at).schema;
    const owner = valueAt(value, at);
    if (outer === undefined || !isPlainObject(owner)) return [];
    return tagsAt(outer, owner).flatMap(({ field, options }) => {
      const current = options.find(({ values }) => values.includes(owner[field]));
      if (field === 'type' || current === undefined) return [];
      const others = options.filter((each) => each !== current);
      return [
        others.map(({ name }) => ({
          root: replaceAt(value, at, { ...owner, [field]: name }),
          name: `\`${field}: ${name}\``,
          current: `\`${field}: ${current.name}\``,
        })),
      ];
    });
  });
}

/** Says that only other modes have the part that `fits` looks for; an empty text otherwise. */
function ownersOf(path: Path, subject: Subject, fits: (root: unknown) => boolean): string {
  for (const modes of otherModes(path, subject)) {
    const owners = modes.filter(({ root }) => fits(root));
    if (owners.length > 0) {
      return `only for ${owners.map(({ name }) => name).join(' and ')}; this is ${owners[0]!.current}`;
    }
  }
  return '';
}

function unknownField(key: string, parent: Path, subject: Subject): string {
  const fieldsIn = (root: unknown): string[] => {
    const { schema } = schemaAt(subject.schema, root, parent);
    const shape = (schema && shapeOf(schema, valueAt(root, parent))) ?? {};
    return Object.keys(shape).filter((name) => unwrap(shape[name]!).meta.foreign !== true);
  };
  const path = [...parent, key];
  const elsewhere = ownersOf(path, subject, (root) => fieldsIn(root).includes(key));
  if (elsewhere !== '') return elsewhere;
  const given = valueAt(subject.value, parent);
  const isFree = (name: string): boolean => !isPlainObject(given) || !Object.hasOwn(given, name);
  const known = fieldsIn(subject.value);
  const meant = nearest(key, known.filter(isFree));
  if (meant !== undefined) return `unknown field; did you mean ${meant}?`;
  const roots = otherModes(path, subject).flat();
  const other = nearest(key, roots.flatMap(({ root }) => fieldsIn(root)).filter(isFree));
  if (other !== undefined) {
    const owner = ownersOf(path, subject, (root) => fieldsIn(root).includes(other));
    return `unknown field; did you mean ${other}? It is ${owner}`;
  }
  if (known.length === 0) return 'unknown field; expected none';
  return `unknown field; expected ${known.length === 1 ? known[0] : `one of ${either(known)}`}`;
}

function expected(issue: Issue, subject: Subject): string {
  const path = pathOf(issue);
  const kind = componentKind(path, subject);
  if (path.at(-1) === 'type' && kind !== undefined) {
    const types = subject.registry.list(kind).map(({ type }) => type);
    return `the type of ${article(kind)}: ${either(types)}`;
  }
  if (path.length === 0) return 'an object that has streams, or a list of streams';
  const values = alternatives(issue);
  if (values.length > 0) return either(values.map((value) => JSON.stringify(value)));
  const { schema } = schemaAt(subject.schema, subject.value, path);
  if (schema !== undefined) return expectation(schema);
  return issue.code === 'invalid_type' ? article(issue.expected) : 'another value';
}

/** The kind of component whose `type` is at `path`. */
function componentKind(path: Path, subject: Subject): Kind | undefined {
  const { schema } = schemaAt(subject.schema, subject.value, path.slice(0, -1));
  const id = schema === undefined ? undefined : unwrap(schema).meta.id;
  return kinds.find((kind) => kind === id);
}

function suggestion(issue: Issue, value: unknown, subject: Subject): string | undefined {
  if (typeof value !== 'string' || hidden(pathOf(issue), subject)) return undefined;
  return nearest(value, alternatives(issue).map(String));
}

/** The values that an issue lists as possible, if it does. */
function alternatives(issue: Issue): readonly unknown[] {
  if (issue.code === 'invalid_value') return issue.values;
  const options: readonly unknown[] = 'options' in issue && Array.isArray(issue.options) ? issue.options : [];
  // An optional tag has `undefined` among its values.
  return options.filter((each) => each !== undefined);
}

/** The issues of the option of a union that the value was meant for, if that is clear. */
function nearestOption(issue: Extract<Issue, { code: 'invalid_union' }>): Issue[] | undefined {
  const fitting = issue.errors.filter((issues) =>
    issues.every(
      (each) => each.path.length > 0 || each.code === 'unrecognized_keys' || each.message !== NO_MESSAGE,
    ),
  );
  return fitting.toSorted((a, b) => a.length - b.length)[0];
}

function hidden(path: Path, subject: Subject): boolean {
  return subject.filled(path) || schemaAt(subject.schema, subject.value, path).secret;
}

/** The value at `path` as the subject of a sentence, with a space after it; empty if it is too long to show. */
function show(path: Path, subject: Subject): string {
  if (hidden(path, subject)) return 'the value (not shown) ';
  const value = valueAt(subject.value, path);
  if (Array.isArray(value) || isPlainObject(value)) return '';
  if (typeof value === 'string') {
    // Mask only a possible URL: masking would take the port of a wrong address for a password.
    return `${JSON.stringify(cut(/[@=]|:\/\//.test(value) ? maskUrl(value) : value))} `;
  }
  return `${cut(value instanceof Date ? value.toISOString() : String(value))} `;
}

function cut(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

function typeOf(value: unknown): string {
  if (value === null) return 'empty';
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Date) return 'a date';
  if (typeof value === 'boolean') return 'a boolean';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

import { extname, resolve } from 'node:path';
import type { z } from 'zod';
import { isSecretName } from '../component/mask.ts';
import type { Registry } from '../component/registry.ts';
import { readWholeFile } from '../component/whole-file.ts';
import { declareErrors, errorMessage, MillraceError } from '../errors.ts';
import type { EnginePlan, StreamPlan } from '../runtime/plan.ts';
import { noticesOf, withoutEmptySections } from './arkflow.ts';
import { Places, type Position, type SourceDocument } from './document.ts';
import type { Environment } from '../component/context.ts';
import { expand, type Expansion } from './expand.ts';
import type { Explanation } from './explain.ts';
import { keepFilled } from './filled.ts';
import { readJson } from './json.ts';
import { isPlainObject } from './plain.ts';
import { ConfigError, formatPath, type Path, pathKey, type Problem } from './problem.ts';
import { fileSchema } from './schema.ts';
import { readToml } from './toml.ts';
import { schemaAt } from './schema-walk.ts';
import { createMask, validate } from './validate.ts';
import { readYaml } from './yaml.ts';

/** The code for a file that cannot be read. */
export const configErrors = declareErrors({
  MILLRACE_CONFIG_UNREADABLE: {
    help: 'The configuration file cannot be read. Check its path and its permissions.',
  },
});

/** The format of a file; without it, the file's name decides. */
export type ConfigFormat = 'yaml' | 'json' | 'toml';

/** The components that the file may name, and the source of values for `${…}`. */
export interface LoadOptions {
  /** The components that the file can name. */
  readonly registry: Registry;
  /** The values for `${NAME}`; default `process.env`. */
  readonly env?: Environment | undefined;
}

/** The same for a text, with its format (default YAML) and the file name for its mistakes. */
export interface ParseOptions extends LoadOptions {
  readonly file?: string;
  readonly format?: ConfigFormat;
}

const readers = { yaml: readYaml, json: readJson, toml: readToml };
const formats: Readonly<Record<string, ConfigFormat>> = {
  '.yaml': 'yaml',
  '.yml': 'yaml',
  '.json': 'json',
  '.toml': 'toml',
};

/** A mistake that a component found when it was created; its path starts at the root of an {@link EnginePlan}. */
export interface LateFinding {
  readonly path: Path;
  readonly message: string;
}

/** A file that has been read and whose text has no mistakes. */
export interface LoadedConfig {
  readonly plan: EnginePlan;
  /** The components that the plan may name: those of `LoadOptions`, and those of the file's `plugins`. */
  readonly registry: Registry;
  /** Sentences about parts of the file that mean nothing here, with their places. */
  readonly notices: readonly string[];
  /** The error for mistakes found later, with their places in the file. */
  mistakes(findings: readonly LateFinding[]): ConfigError;
}

/**
 * Reads and checks a configuration file: `.yaml`, `.yml`, `.json` or `.toml`. It also loads the modules listed under
 * `plugins`, whose code runs.
 * @throws MillraceError MILLRACE_CONFIG_UNREADABLE
 * @throws ConfigError MILLRACE_CONFIG_INVALID, with every mistake
 */
export async function loadConfig(path: string, options: LoadOptions): Promise<LoadedConfig> {
  const draft = await readDraft(path, options.env);
  return check(draft, await withPlugins(draft, options.registry));
}

/**
 * The components that a file may name, even if the rest of it is wrong.
 * @throws MillraceError, ConfigError as `loadConfig`, for the file's `plugins` alone
 */
export async function loadComponents(path: string, options: LoadOptions): Promise<Registry> {
  return await withPlugins(await readDraft(path, options.env), options.registry);
}

/**
 * Checks the text of a configuration file. `file` is the file name for its mistakes.
 * @throws ConfigError MILLRACE_CONFIG_INVALID, with every mistake
 */
export function parseConfig(text: string, { registry, ...options }: ParseOptions): EnginePlan {
  const draft = draftOf(text, options);
  if (draft.plugins.length > 0) {
    const message = 'works in a file only; a text has the components of its registry';
    draft.problems.push(draft.problem(['plugins'], message, draft.places.value(['plugins'])));
  }
  return check(draft, registry).plan;
}

async function readDraft(path: string, env: Environment | undefined): Promise<Draft> {
  const unreadable = (reason: string, cause?: unknown): MillraceError =>
    new MillraceError(configErrors.MILLRACE_CONFIG_UNREADABLE, `${path} cannot be read: ${reason}`, {
      cause,
      fatal: true,
    });
  const extension = extname(path).toLowerCase();
  const format = formats[extension];
  if (format === undefined) {
    const wrong = extension === '' ? 'its name has no extension' : `${extension} is not a format of Millrace`;
    throw unreadable(`${wrong}; expected .yaml, .yml, .json or .toml`);
  }
  let bytes: Uint8Array;
  try {
    bytes = await readWholeFile(path);
  } catch (error) {
    throw unreadable(errorMessage(error), error);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw unreadable('it is not UTF-8 text', error);
  }
  return draftOf(text, { env, file: path, format });
}

/** A text that has been read and filled in, but not yet checked against a schema. */
interface Draft {
  readonly file: string;
  readonly places: Places;
  /** For a file that is a list, with `streams` around it. */
  readonly expansion: Expansion;
  /** The path in the file for a path in the expansion. */
  readonly inFile: (path: Path) => Path;
  readonly problem: (path: Path, message: string, at: Position) => Problem;
  readonly problems: Problem[];
  /** Places that are already known to be wrong, which are not checked against the schema. */
  readonly known: readonly Path[];
  /** The entries of `plugins`, with their places in the list. */
  readonly plugins: readonly { readonly index: number; readonly name: string }[];
}

/** @throws ConfigError for a text that cannot be parsed */
function draftOf(
  text: string,
  { env = process.env, file = 'config', format = 'yaml' }: Omit<ParseOptions, 'registry'>,
): Draft {
  const source = read(text.replace(/^\uFEFF/, ''), format);
  const { places } = source;
  const problem = (path: Path, message: string, at: Position): Problem => ({
    file,
    path: formatPath(path),
    message,
    ...at,
  });
  const problems = source.findings.map(({ path, message, offset }) =>
    problem(path, message, places.position(offset)),
  );
  if (source.broken) throw new ConfigError(problems);
  const expanded = expand(source, env);
  for (const { path, message } of expanded.failures) {
    problems.push(problem(path, message, places.value(path)));
  }
  const known = [...source.findings, ...expanded.failures].map(({ path }) => path);
  const { expansion: whole, added } = wrapList(expanded);
  const expansion = { ...whole, value: withoutEmptySections(whole.value) };
  const plugins = pluginsOf(expansion.value).filter(
    ({ index }) => !known.some((each) => startsWith(['plugins', index], each)),
  );
  const inFile = (path: Path): Path => path.slice(added);
  return { file, places, expansion, inFile, problem, problems, known, plugins };
}

function pluginsOf(root: unknown): { index: number; name: string }[] {
  const list = isPlainObject(root) && Array.isArray(root['plugins']) ? root['plugins'] : [];
  return list.flatMap((name: unknown, index) =>
    typeof name === 'string' && name !== '' ? [{ index, name }] : [],
  );
}

/**
 * @throws ConfigError for modules without components: a file that names their components would seem full of mistakes
 */
async function withPlugins(draft: Draft, registry: Registry): Promise<Registry> {
  const { file, plugins, places, problem, problems } = draft;
  if (plugins.length === 0) return registry;
  const { loadPlugins } = await import('./plugins.ts');
  const loaded = await loadPlugins(file, plugins, registry);
  if (loaded.mistakes.length === 0) return loaded.registry;
  keepFilled(fileSchema(registry), draft.expansion);
  const mistakes = loaded.mistakes.map(({ index, message }) => {
    const path = ['plugins', index];
    return problem(path, message, places.value(path));
  });
  throw new ConfigError([...problems, ...mistakes]);
}

function check(draft: Draft, registry: Registry): LoadedConfig {
  const { places, expansion, inFile, problem, problems, known } = draft;
  const schema = fileSchema(registry);
  const filled = keepFilled(schema, expansion);
  const checked = validate(schema, expansion, registry);
  const explanations = [
    ...('explanations' in checked ? checked.explanations : []),
    ...blankSecrets(schema, expansion),
    ...sameIds(expansion.value),
    ...sameLogs(expansion.value),
    ...bothOutputs(expansion.value),
  ];
  for (const explanation of explanations) {
    const path = inFile(explanation.path);
    if (known.some((each) => startsWith(path, each))) continue;
    problems.push(problem(path, explanation.message, places[explanation.at](path)));
  }
  if (problems.length > 0 || !('output' in checked)) throw new ConfigError(problems);

  const streams = checked.output.streams.map(({ outputs, ...stream }, index) => ({
    ...stream,
    ...(outputs !== undefined && { output: { type: 'fan_out', outputs } }),
    id: stream.id ?? `stream-${index}`,
    ...(filled.has(index) && { filled: filled.get(index) }),
  }));
  return {
    plan: { ...checked.output, streams: streams as unknown as StreamPlan[] },
    registry,
    notices: noticesOf(expansion.value).map(({ path, message }) => {
      const { line, column } = places.key(inFile(path));
      return `${draft.file}:${line}:${column}: ${formatPath(inFile(path))}: ${message}`;
    }),
    mistakes: (findings) => {
      const mask = createMask(schema, expansion);
      return new ConfigError(
        findings.map(({ path: found, message }) => {
          const path = givenPath(expansion.value, found);
          const { said, at } = placed(message, inFile(path), places, expansion.filled.has(pathKey(path)));
          return problem(inFile(path), mask(said), at);
        }),
      );
    },
  };
}

/** A mistake within a text of the file, such as a query, with its place in the text at the end of its message. */
const INSIDE = / \(line (\d+), column (\d+) of the (\w+)\)$/;

/** The place of a mistake in the file, and its message without a place in the text if the file's says it. */
function placed(
  message: string,
  path: Path,
  places: Places,
  filled: boolean,
): { said: string; at: Position } {
  const [end, line, column, field] = INSIDE.exec(message) ?? [];
  const at =
    end !== undefined && field === path.at(-1) && !filled
      ? places.inside(path, Number(line), Number(column))
      : undefined;
  return at === undefined
    ? { said: message, at: places.value(path) }
    : { said: message.slice(0, -end!.length), at };
}

function read(text: string, format: ConfigFormat): SourceDocument {
  try {
    return readers[format](text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    // The parsers recurse for each level.
    const findings = [
      { path: [], offset: 0, message: 'nested too deeply to be read; expected a few levels' },
    ];
    return { value: undefined, places: new Places(text), numbers: new Map(), findings, broken: true };
  }
}

/** Wraps a file that is a list, which is the list of its streams. */
function wrapList(expansion: Expansion): { expansion: Expansion; added: number } {
  const { value, filled, whole, blank, numbers, fills } = expansion;
  if (!Array.isArray(value)) return { expansion, added: 0 };
  return {
    expansion: {
      ...expansion,
      value: { streams: value },
      filled: inStreams(filled),
      whole: inStreams(whole),
      fills: fills.map((fill) => ({ ...fill, path: ['streams', ...fill.path] })),
      blank: new Map([...blank].map(([key, each]) => [keyInStreams(key), each])),
      numbers: new Map([...numbers].map(([key, text]) => [keyInStreams(key), text])),
    },
    added: 1,
  };
}

function inStreams(keys: ReadonlySet<string>): Set<string> {
  return new Set([...keys].map(keyInStreams));
}

function keyInStreams(key: string): string {
  const path: Path = JSON.parse(key);
  return pathKey(['streams', ...path]);
}

/** Secrets that are missing, in whole or in part, because a variable or a file is blank. */
function blankSecrets(schema: z.core.$ZodType, { value, blank }: Expansion): Explanation[] {
  return [...blank].flatMap(([key, { secret, message }]) => {
    const path: Path = JSON.parse(key);
    const name = path.findLast((part) => typeof part === 'string') ?? '';
    if (!secret && !isSecretName(name) && !schemaAt(schema, value, path).secret) return [];
    return [{ path, at: 'value', message: `a secret is expected here, and ${message}` }];
  });
}

/** Ids that an earlier stream already has, given or by its place. */
function sameIds(root: unknown) {
  const ids = streamsOf(root).map((stream: unknown, index) => {
    const id = isPlainObject(stream) ? stream['id'] : undefined;
    return { given: id !== undefined, id: id ?? `stream-${index}` };
  });
  return ids.flatMap(({ id, given }, index) => {
    const other = ids.findIndex((each) => each.id === id);
    if (typeof id !== 'string' || other === index) return [];
    // A stream whose id comes from its place is not at fault.
    const [wrong, first] = given ? [index, other] : [other, index];
    const message = `is also the id of stream ${first} of the list; expected each stream to have its own`;
    return [{ path: ['streams', wrong, 'id'], at: 'value' as const, message }];
  });
}

/** Folders that are already the log of an earlier stream. */
function sameLogs(root: unknown) {
  const paths = streamsOf(root).map((stream: unknown) => {
    const durability = isPlainObject(stream) ? stream['durability'] : undefined;
    const { path, enabled } = isPlainObject(durability) ? durability : {};
    return typeof path === 'string' && enabled !== false ? resolve(path) : undefined;
  });
  return paths.flatMap((path, index) => {
    const other = paths.indexOf(path);
    if (path === undefined || other === index) return [];
    const message = `is also the log of stream ${other} of the list; expected each stream to have its own`;
    return [{ path: ['streams', index, 'durability', 'path'], at: 'value' as const, message }];
  });
}

/** Streams that have both `output` and `outputs`. */
function bothOutputs(root: unknown): Explanation[] {
  return streamsOf(root).flatMap((stream, index) => {
    const hasBoth =
      isPlainObject(stream) && stream['output'] !== undefined && stream['outputs'] !== undefined;
    const message = 'there is an `output` too; use one of the two';
    return hasBoth ? [{ path: ['streams', index, 'outputs'], at: 'key' as const, message }] : [];
  });
}

/** The path in the file of a part of the plan, where `outputs` have become an output of their own. */
function givenPath(root: unknown, path: Path): Path {
  const [, index, output, list, ...rest] = path;
  const stream = streamsOf(root)[Number(index)];
  const isList = isPlainObject(stream) && stream['outputs'] !== undefined;
  return isList && output === 'output' && list === 'outputs' ? ['streams', index!, 'outputs', ...rest] : path;
}

function streamsOf(root: unknown): unknown[] {
  return isPlainObject(root) && Array.isArray(root['streams']) ? root['streams'] : [];
}

function startsWith(path: Path, start: Path): boolean {
  return start.length <= path.length && start.every((part, index) => path[index] === part);
}

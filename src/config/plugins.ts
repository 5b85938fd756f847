import { stat } from 'node:fs/promises';
import { registerHooks } from 'node:module';
import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isDefinition, type AnyDefinition } from '../component/define.ts';
import type { Registry } from '../component/registry.ts';
import { errorMessage, thrownMessage } from '../errors.ts';

/** An entry of `plugins` in a file. */
interface Plugin {
  /** Its place in the list. */
  readonly index: number;
  /** A path relative to the file's folder, or a package installed there. */
  readonly name: string;
}

/** A mistake in an entry of `plugins`. */
export interface PluginMistake {
  readonly index: number;
  readonly message: string;
}

const TYPE = /^[a-z][a-z0-9]*(?:_[a-z0-9]+)*$/;

/**
 * Loads the modules that a file lists and adds their components to `registry`. Their code runs; wherever they are,
 * their imports of `millrace` get this copy of Millrace.
 */
export async function loadPlugins(
  file: string,
  plugins: readonly Plugin[],
  registry: Registry,
): Promise<{ readonly registry: Registry; readonly mistakes: readonly PluginMistake[] }> {
  const folder = resolve(dirname(file));
  const mistakes: PluginMistake[] = [];
  let extended = registry;
  for (const { index, name } of plugins) {
    const mistake = (message: string): void => void mistakes.push({ index, message });
    if (isPath(name) && !(await isFile(resolve(folder, name)))) {
      mistake('there is no such file');
      continue;
    }
    try {
      const definitions = await definitionsOf(name, folder);
      if (definitions.length === 0) {
        mistake('exports no component; expected the result of defineInput or a similar function');
      }
      for (const definition of definitions) {
        const wrong = whatIsWrong(definition, extended);
        if (wrong === undefined) extended = extended.with([definition]);
        else mistake(wrong);
      }
    } catch (error) {
      mistake(`cannot be loaded: ${thrownMessage(error)}`);
    }
  }
  return { registry: extended, mistakes };
}

async function definitionsOf(name: string, folder: string): Promise<AnyDefinition[]> {
  shareThisCopy();
  const exported = Object.values((await import(requestFor(name, folder))) as Record<string, unknown>);
  return [...new Set(exported)].filter(isDefinition);
}

function isPath(name: string): boolean {
  return /^(?:\.{0,2}[/\\]|[a-zA-Z]:[/\\])/.test(name);
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

function whatIsWrong(definition: AnyDefinition, registry: Registry): string | undefined {
  const { kind, type } = definition;
  const name = `the ${kind} ${type}`;
  if (!TYPE.test(type)) return `defines ${name}; expected a type in snake_case`;
  if (registry.list(kind).some((each) => each.type === type)) {
    return `defines ${name}, which already exists; expected a type of its own`;
  }
  try {
    registry.with([definition]).schemaOf(definition);
    return undefined;
  } catch (error) {
    return `defines ${name}, whose schema cannot be used: ${errorMessage(error)}`;
  }
}

const SCHEME = 'millrace-plugin:';

/** The argument for `import`, so that Node resolves `name` as if a module in `folder` imported it. */
function requestFor(name: string, folder: string): string {
  const importer = pathToFileURL(resolve(folder, 'millrace.js')).href;
  const request = isPath(name) ? pathToFileURL(resolve(folder, name)).href : name;
  return `${SCHEME}${JSON.stringify([request, importer])}`;
}

let shared = false;

/**
 * From now on, every import of `millrace` gets this copy: another has another zod, and errors that this one does not
 * know.
 */
function shareThisCopy(): void {
  if (shared) return;
  shared = true;
  const ending = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const entries: Readonly<Record<string, string>> = {
    millrace: new URL(`../index.${ending}`, import.meta.url).href,
    'millrace/component': new URL(`../component-api.${ending}`, import.meta.url).href,
  };
  registerHooks({
    resolve(specifier, context, next) {
      const own = entries[specifier];
      if (own !== undefined) return { url: own, shortCircuit: true };
      if (!specifier.startsWith(SCHEME)) return next(specifier, context);
      const [request, importer] = JSON.parse(specifier.slice(SCHEME.length)) as [string, string];
      return next(request, { ...context, parentURL: importer });
    },
  });
}

import { extname } from 'node:path';
import { ConfigError } from '../../src/config/problem.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { EnginePlan } from '../../src/runtime/plan.ts';
import { registry } from './config-registry.ts';
import { tempDir } from './temp-dir.ts';

/** Loads texts as files, with the components of the test registry. */
export function configFiles() {
  const dir = tempDir();
  const load = async (name: string, text: string, env: Record<string, string> = {}): Promise<EnginePlan> =>
    (await loadConfig(dir.file(name, text), { registry, env })).plan;
  /** The mistakes of a file, a line each, the file called by its extension only; empty if it has none. */
  const problems = async (
    name: string,
    text: string,
    env: Record<string, string> = {},
  ): Promise<string[]> => {
    try {
      await load(name, text, env);
      return [];
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return error.message
        .split('\n')
        .map((line) => line.replace(`${dir.path}/${name}`, extname(name).slice(1)));
    }
  };
  return { dir, load, problems };
}

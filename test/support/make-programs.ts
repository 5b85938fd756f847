import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { rolldown } from 'rolldown';
import { root, sources, type Program } from './programs.ts';

/** The library, for plugins of the programs. */
const library = {
  index: 'src/index.ts',
  'component-api': 'src/component-api.ts',
  'testing-api': 'src/testing-api.ts',
};

/** Programs that use little of the sources, and would read and run what all others share. */
const small: ReadonlySet<string> = new Set(['faultsSink', 'appender'] satisfies Program[]);

/** How long the programs of older sources stay, for runs that may still use them. Milliseconds. */
const KEPT = 3_600_000;

/**
 * Makes each program of a few files, so that its hundreds of starts need not look for and link a thousand modules. The
 * layout is that of the package: `dist/` in which the library is, and `package.json` beside it.
 * @returns the folder with the programs
 */
export async function makePrograms(cache: string): Promise<string> {
  const inputs = Object.entries({ ...sources, ...library });
  const bundles = [
    await bundleOf(inputs.filter(([name]) => !small.has(name))),
    ...(await Promise.all(inputs.filter(([name]) => small.has(name)).map((one) => bundleOf([one])))),
  ];
  const files = bundles.flat();
  const hash = createHash('sha256');
  for (const [name, code] of files) hash.update(name).update(code);
  const folder = join(cache, `programs-${hash.digest('hex').slice(0, 16)}`);
  if (!existsSync(folder)) {
    const next = `${folder}.${process.pid}`;
    for (const [name, code] of files) {
      const path = join(next, 'dist/programs', name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, code);
    }
    for (const name of Object.keys(library)) {
      writeFileSync(join(next, `dist/${name}.js`), `export * from './programs/${name}.js';\n`);
    }
    cpSync(join(root, 'package.json'), join(next, 'package.json'));
    rename(next, folder);
  }
  removeOld(cache, folder);
  return join(folder, 'dist/programs');
}

/** @returns the name and the code of each file */
async function bundleOf(
  inputs: readonly (readonly [string, string])[],
): Promise<(readonly [string, string])[]> {
  const input = Object.fromEntries(inputs.map(([name, path]) => [name, join(root, path)]));
  const bundle = await rolldown({
    input,
    platform: 'node',
    external: '@duckdb/node-bindings',
    logLevel: 'silent',
  });
  // One file of everything that several need; linking a hundred files would be a fifth of a start.
  const codeSplitting = { groups: [{ name: 'shared', minShareCount: 3 }] };
  const { output } = await bundle.generate({ format: 'esm', codeSplitting });
  await bundle.close();
  return output.flatMap((each) => (each.type === 'chunk' ? [[each.fileName, each.code] as const] : []));
}

/** Another run may have made the same. */
function rename(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    rmSync(from, { recursive: true });
    if (!existsSync(to)) throw error;
  }
}

function removeOld(cache: string, used: string): void {
  for (const name of readdirSync(cache)) {
    const path = join(cache, name);
    if (!name.startsWith('programs-') || path === used) continue;
    if (Date.now() - statSync(path).mtimeMs > KEPT) rmSync(path, { recursive: true, force: true });
  }
}

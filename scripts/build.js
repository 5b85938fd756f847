// Plain JavaScript, like bin/millrace.js: npm runs it with any Node.js that the user has.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const compiler = join(root, 'node_modules/typescript/bin/tsc');

// `npx millrace` links the clone into a folder of npx's own, for which npm runs `prepare` again: leave dist/, from
// which it runs.
if (process.env['npm_command'] === 'exec') process.exit();

// Compile beside dist/ and swap, so that neither a mistake nor an interrupt leaves a clone without it.
const next = mkdtempSync(join(root, 'dist-'));
try {
  // One checker: each of the four that are the default checks the same library again, for twice the CPU.
  const args = [compiler, '-p', 'tsconfig.build.json', '--checkers', '1', '--outDir', next];
  const { status } = spawnSync(process.execPath, args, {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) process.exitCode = status ?? 1;
  else {
    await joinDuckDB(join(next, 'sql/duckdb-api.js'));
    const old = `${next}-old`;
    if (existsSync(dist)) renameSync(dist, old);
    renameSync(next, dist);
    rmSync(old, { recursive: true, force: true });
  }
} finally {
  rmSync(next, { recursive: true, force: true });
}

/** Joins the module with the package that it imports, and adds that package's licence. */
async function joinDuckDB(file) {
  const { rolldown } = await import('rolldown').catch(() => ({}));
  // A Node that is too old for it: the module imports the package, and a start takes longer.
  if (rolldown === undefined) return;
  const bundle = await rolldown({ input: file, platform: 'node', external: '@duckdb/node-bindings' });
  const licence = readFileSync(join(root, 'node_modules/@duckdb/node-api/LICENSE'), 'utf8');
  await bundle.write({
    file,
    format: 'esm',
    banner: `/*! @duckdb/node-api\n${licence.replaceAll('*/', '')}*/`,
  });
  await bundle.close();
  rmSync(`${file}.map`);
}

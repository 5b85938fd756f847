import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { tempDir } from '../support/temp-dir.ts';

const run = promisify(execFile);
const root = new URL('../..', import.meta.url).pathname;
const dir = tempDir();
const clone = join(dir.path, 'clone');

/** Runs a command in the clone, as from a shell whose path has npm and no more than that. */
async function inClone(command: string, ...args: string[]): Promise<string> {
  const env = { PATH: process.env['PATH'], HOME: dir.path, npm_config_cache: join(dir.path, 'cache') };
  return (await run(command, args, { cwd: clone, env })).stdout;
}

beforeAll(() => {
  mkdirSync(clone);
  for (const name of ['bin', 'millrace', 'package.json', 'scripts', 'tsconfig.json', 'tsconfig.build.json'])
    cpSync(join(root, name), join(clone, name), { recursive: true });
  // A build takes seconds for all of it, and its result does not matter here.
  mkdirSync(join(clone, 'src'));
  cpSync(join(root, 'src/plural.ts'), join(clone, 'src/plural.ts'));
  symlinkSync(join(root, 'node_modules'), join(clone, 'node_modules'));
});

/** A build that prints its Node.js, and shows whether somebody has built again. */
function pretendToBuild(): void {
  rmSync(join(clone, 'dist'), { recursive: true, force: true });
  mkdirSync(join(clone, 'dist'));
  writeFileSync(
    join(clone, 'dist/main.js'),
    'export function runProcess() { console.log(process.execPath, process.argv.slice(2).join()); }',
  );
}

test('./millrace runs the build on the Node.js of the clone, from any folder', async () => {
  pretendToBuild();
  const node = join(root, 'node_modules/node/bin/node');
  const { stdout } = await run(join(clone, 'millrace'), ['run', 'a b'], {
    cwd: '/',
    env: { PATH: '/usr/bin:/bin' },
  });
  expect(stdout).toBe(`${node} run,a b\n`);
});

test('./millrace says what to do before npm ci', async () => {
  rmSync(join(clone, 'dist'), { recursive: true, force: true });
  await expect(inClone('./millrace', '--version')).rejects.toMatchObject({
    code: 1,
    stderr: `millrace is not built: run 'npm ci' in ${clone} first.\n`,
  });
});

test('npx millrace leaves dist/ to the processes that run from it', async () => {
  pretendToBuild();
  expect(await inClone('npx', 'millrace', 'list')).toContain(' list\n');
  expect(readdirSync(join(clone, 'dist'))).toEqual(['main.js']);
});

test('a build that fails leaves dist/ unchanged, and nothing beside it', async () => {
  pretendToBuild();
  const before = readdirSync(clone);
  writeFileSync(join(clone, 'src/broken.ts'), 'export const broken: number = "";\n');
  await expect(inClone('npm', 'run', 'build')).rejects.toMatchObject({
    stdout: expect.stringContaining('src/broken.ts') as string,
  });
  rmSync(join(clone, 'src/broken.ts'));
  expect(readdirSync(clone)).toEqual(before);
  expect(readdirSync(join(clone, 'dist'))).toEqual(['main.js']);
});

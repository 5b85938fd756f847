import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { withoutBlocks } from '../docs/pages.ts';
import { tempDir } from '../support/temp-dir.ts';

const run = promisify(execFile);
const root = new URL('../..', import.meta.url).pathname;
const dir = tempDir();
const app = join(dir.path, 'app');
const installed = join(app, 'node_modules/millrace');

/** The environment of a user's shell: none of what npm sets for the scripts that it runs. */
function cleanEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      // Authorities of the user's own stay: a registry may need them.
      ([name]) => name === 'NODE_EXTRA_CA_CERTS' || !/^(npm_|NODE_|INIT_CWD|VITEST)/i.test(name),
    ),
  );
}

beforeAll(async () => {
  // Packed from a copy: packing builds, and other tests must not see dist come and go.
  const copy = join(dir.path, 'copy');
  mkdirSync(copy);
  for (const name of readdirSync(root)) {
    if (['node_modules', '.git', 'dist', 'data'].includes(name) || name.endsWith('.tgz')) continue;
    cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', dir.path], { cwd: copy });
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf('['))) as { filename: string }[];
  mkdirSync(app);
  writeFileSync(join(app, 'package.json'), '{ "name": "app", "private": true, "type": "module" }');
  const tarball = join(dir.path, packed!.filename);
  await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', tarball], {
    cwd: app,
    env: cleanEnv(),
  });
}, 180_000);

test('the package has everything that users run and read, and nothing of its development', () => {
  expect(readdirSync(installed).toSorted()).toEqual([
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'SECURITY.md',
    'bench',
    'bin',
    'dist',
    'docs',
    'examples',
    'package.json',
    'src',
  ]);
  expect(readdirSync(join(installed, 'bench'))).toEqual(['README.md']);
});

test('every file that its pages and source maps name is in it', () => {
  const dangling: string[] = [];
  const see = (file: string, target: string): void => {
    if (!existsSync(join(installed, dirname(file), target))) dangling.push(`${file}: ${target}`);
  };
  for (const page of globSync('**/*.md', { cwd: installed })) {
    const text = readFileSync(join(installed, page), 'utf8');
    for (const [, target] of withoutBlocks(text).matchAll(/\]\(([^)\s#]+)[^)]*\)/g))
      if (!/^[a-z]+:/.test(target!)) see(page, target!);
  }
  const maps = globSync('dist/**/*.map', { cwd: installed });
  expect(maps.length).toBeGreaterThan(100);
  for (const map of maps) {
    const { sources } = JSON.parse(readFileSync(join(installed, map), 'utf8')) as { sources: string[] };
    for (const source of sources) see(map, source);
  }
  expect(dangling).toEqual([]);
});

test('an install resolves to the tested versions', () => {
  const manifest = (path: string) =>
    JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as {
      version: string;
      dependencies: Record<string, string>;
    };
  const { dependencies } = manifest(installed);
  for (const [name, version] of Object.entries(dependencies)) {
    const path = join('node_modules', name);
    expect([manifest(join(app, path)).version, manifest(join(root, path)).version], name).toEqual([
      version,
      version,
    ]);
  }
});

test('npx millrace runs in an empty folder', async () => {
  writeFileSync(
    join(app, 'flow.yaml'),
    'health_check: { enabled: false }\nstreams:\n  - input: { type: memory, messages: [\'{"n": 20}\', \'{"n": 22}\'], codec: { type: json } }\n    buffer: { type: memory, capacity: 2, timeout: 1h }\n    pipeline: { processors: [{ type: sql, query: "SELECT sum(n) AS n FROM flow" }] }\n',
  );
  const { stdout } = await run('npx', ['millrace', 'run', 'flow.yaml'], { cwd: app });
  expect(stdout).toBe('{"n":42}\n');
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  expect((await run('npx', ['millrace', '--version'], { cwd: app })).stdout.trim()).toBe(version);
});

test('the library runs a file and a component of one’s own', async () => {
  writeFileSync(
    join(app, 'own.js'),
    `import { Engine, Registry, components, createLogger, defineOutput, parseConfig, z } from 'millrace';
     const seen = [];
     const keep = defineOutput({
       type: 'keep', summary: 'Keeps.', status: 'beta', schema: z.strictObject({}), examples: [],
       create: () => ({
         connect: async () => {}, close: async () => {},
         write: async (batch) => { for (const payload of batch.payloads) seen.push(payload.toString()); },
       }),
     });
     const registry = new Registry([...components, keep]);
     const plan = parseConfig('health_check: { enabled: false }\\nlogging: { level: silent }\\nstreams: [{ input: { type: memory, messages: [a, b] }, output: { type: keep } }]', { registry });
     const outcome = await new Engine(plan, { registry, logger: createLogger(plan.logging) }).run();
     console.log(JSON.stringify({ seen, outcome }));`,
  );
  const { stdout } = await run(process.execPath, ['own.js'], { cwd: app });
  expect(JSON.parse(stdout)).toEqual({ seen: ['a', 'b'], outcome: { failed: [], left: [] } });
});

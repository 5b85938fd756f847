import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { program } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import { blocks, root } from './pages.ts';

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly exports: Readonly<Record<string, { readonly default: string } | undefined>>;
};
const dir = tempDir();
symlinkSync(join(root, 'node_modules'), join(dir.path, 'node_modules'));
// Compiled against the sources, since the types of `dist/` may be older; run with the programs made of them.
const compiled = join(dir.path, 'compiled');
const ran = join(dir.path, 'ran');
mkdirSync(compiled);
mkdirSync(join(ran, 'node_modules'), { recursive: true });
symlinkSync(join(dirname(program('millrace')), '../..'), join(ran, 'node_modules/millrace'));
writeFileSync(
  join(compiled, 'tsconfig.json'),
  JSON.stringify({ extends: join(root, 'tsconfig.json'), include: [join(compiled, '*.ts')] }),
);
for (const folder of [compiled, ran]) {
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
}
for (const page of ['README.md', 'docs/writing-a-component.md']) {
  for (const { info, text } of blocks(page)) {
    const name = /^(?:ts|yaml) file=([\w.-]+)$/.exec(info)?.[1];
    if (name === undefined) continue;
    writeFileSync(join(ran, name), text);
    const sourced = text.replaceAll(/'(millrace[\w/]*)'/g, (_, id: string) => `'${source(id)}'`);
    writeFileSync(join(compiled, name), sourced);
  }
}

/** The module that the package exports under the name: its source, since `dist/` may be older. */
function source(name: string): string {
  const exported = manifest.exports[name.replace(/^millrace/, '.')]?.default;
  if (exported === undefined) throw new Error(`the package does not export ${name}`);
  return join(root, exported.replace(/^\.\/dist\/(.*)\.js$/, 'src/$1.ts'));
}

/** Runs a script of Node in the folder of the code that runs. */
function node(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: ran,
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined },
  });
  return { status, stdout, stderr };
}

test('the code in the pages compiles', () => {
  // One checker takes half the CPU of the four that are the default.
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const result = node(compiler, '--project', compiled, '--checkers', '1');
  expect(result).toMatchObject({ status: 0, stdout: '' });
});

test('the program that runs a component of one’s own works as its page says', () => {
  expect(node('main.ts')).toMatchObject({ status: 0, stdout: 'one\nthree\nfive\n' });
});

test('the file that lists it does the same on the command line', () => {
  expect(node(program('millrace'), 'run', 'streams.yaml')).toMatchObject({
    status: 0,
    stdout: 'one\nthree\nfive\n',
  });
});

test('the output of one’s own writes to its server', () => {
  expect(node('tcp-main.ts')).toMatchObject({ status: 0, stdout: 'one\ntwo\nthree\n' });
});

test('the component’s test passes, and so does the conformance kit for it and for the output', () => {
  const result = node(join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--root', ran);
  expect(result.stdout).toMatch(/✓ sample\.test\.ts .*2 tests/);
  expect(result.stdout).toMatch(/✓ sample\.conformance\.test\.ts .*1\d tests/);
  expect(result.stdout).toMatch(/✓ tcp-lines\.conformance\.test\.ts .*1\d tests/);
  expect(result.status).toBe(0);
});

import { spawnSync } from 'node:child_process';
import { readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sources } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import { blocks, root } from './pages.ts';

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly exports: Readonly<Record<string, { readonly default: string } | undefined>>;
};
const dir = tempDir();
symlinkSync(join(root, 'node_modules'), join(dir.path, 'node_modules'));
dir.file(
  'tsconfig.json',
  JSON.stringify({ extends: join(root, 'tsconfig.json'), include: [join(dir.path, '*.ts')] }),
);
dir.file('package.json', JSON.stringify({ type: 'module' }));
for (const page of ['README.md', 'docs/writing-a-component.md']) {
  for (const { info, text } of blocks(page)) {
    const name = /^(?:ts|yaml) file=([\w.-]+)$/.exec(info)?.[1];
    if (name !== undefined)
      dir.file(
        name,
        text.replaceAll(/'(millrace[\w/]*)'/g, (_, id: string) => `'${source(id)}'`),
      );
  }
}

/** The module that the package exports under the name: its source, since `dist/` may be older. */
function source(name: string): string {
  const exported = manifest.exports[name.replace(/^millrace/, '.')]?.default;
  if (exported === undefined) throw new Error(`the package does not export ${name}`);
  return join(root, exported.replace(/^\.\/dist\/(.*)\.js$/, 'src/$1.ts'));
}

/** Runs a script of Node in the folder of the code. */
function node(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: dir.path,
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined },
  });
  return { status, stdout, stderr };
}

test('the code in the pages compiles', () => {
  const result = node(join(root, 'node_modules/typescript/bin/tsc'), '--project', dir.path);
  expect(result).toMatchObject({ status: 0, stdout: '' });
});

test('the program that runs a component of one’s own works as its page says', () => {
  expect(node('main.ts')).toMatchObject({ status: 0, stdout: 'one\nthree\nfive\n' });
});

test('the file that lists it does the same on the command line', () => {
  expect(node(join(root, sources.millrace), 'run', 'streams.yaml')).toMatchObject({
    status: 0,
    stdout: 'one\nthree\nfive\n',
  });
});

test('the output of one’s own writes to its server', () => {
  expect(node('tcp-main.ts')).toMatchObject({ status: 0, stdout: 'one\ntwo\nthree\n' });
});

test('the component’s test passes, and so does the conformance kit for it and for the output', () => {
  const result = node(join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--root', dir.path);
  expect(result.stdout).toMatch(/✓ sample\.test\.ts .*2 tests/);
  expect(result.stdout).toMatch(/✓ sample\.conformance\.test\.ts .*1\d tests/);
  expect(result.stdout).toMatch(/✓ tcp-lines\.conformance\.test\.ts .*1\d tests/);
  expect(result.status).toBe(0);
});

import { spawnSync } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sources } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import { blocks, root } from './pages.ts';

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
    // The library as its source, since `dist/` may be older.
    if (name !== undefined) dir.file(name, text.replaceAll("'millrace'", `'${join(root, 'src/index.ts')}'`));
  }
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

test('the component’s test passes', () => {
  const result = node(join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--root', dir.path);
  expect(result.stdout).toMatch(/✓ sample\.test\.ts .*2 tests/);
  expect(result.status).toBe(0);
});

import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { apartFiles } from '../support/shared-imports.ts';

const root = join(import.meta.dirname, '../..');

test('only setup.ts of test/support registers hooks: a module would do so for the first file that imports it, where files share their imports', () => {
  const registers = globSync('test/support/**/*.ts', { cwd: root }).filter((file) =>
    /\b(?:before|after)(?:Each|All)\(/.test(readFileSync(join(root, file), 'utf8')),
  );
  expect(registers).toEqual(['test/support/setup.ts']);
});

test('each entry of the files that stay apart is a file', () => {
  for (const pattern of apartFiles) expect(globSync(pattern, { cwd: root }), pattern).not.toEqual([]);
});

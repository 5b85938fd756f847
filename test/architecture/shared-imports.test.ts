import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sharedFiles } from '../support/shared-imports.ts';

const root = join(import.meta.dirname, '../..');

test('only setup.ts of test/support registers hooks: a module would do so for the first file that imports it, where files share their imports', () => {
  expect(globSync(sharedFiles, { cwd: root }).length).toBeGreaterThan(40);
  const registers = globSync('test/support/**/*.ts', { cwd: root }).filter((file) =>
    /\b(?:before|after)(?:Each|All)\(/.test(readFileSync(join(root, file), 'utf8')),
  );
  expect(registers).toEqual(['test/support/setup.ts']);
});

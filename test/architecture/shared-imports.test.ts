import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { sharedFiles } from '../support/shared-imports.ts';

const root = join(import.meta.dirname, '../..');

/** A file and all that it imports from `test/`, directly or not. */
function closure(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const text = readFileSync(join(root, file), 'utf8');
  for (const [, target] of text.matchAll(/(?:from|import\() ?'(\.[^']+)'/g)) {
    const imported = join(dirname(file), target!);
    if (imported.startsWith('test/')) closure(imported, seen);
  }
  return seen;
}

test('files that share their imports import no module that cleans up after each test: it would do so for the first of them', () => {
  const files = globSync(sharedFiles, { cwd: root });
  expect(files.length).toBeGreaterThan(40);
  const cleansUp = (file: string): boolean =>
    file.startsWith('test/support/') &&
    /^(?:before|after)(?:Each|All)\(/m.test(readFileSync(join(root, file), 'utf8'));
  const mistakes = files.flatMap((file) =>
    [...closure(file)].filter(cleansUp).map((support) => `${file}: ${support}; add it to \`apart\``),
  );
  expect(mistakes).toEqual([]);
});

import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { generatePages, pageOf, stalePages } from '../../scripts/docs.ts';
import { components } from '../../src/components/index.ts';
import { errorCodes } from '../../src/cli/error-codes.ts';
import { readPage, root } from './pages.ts';

test('generated pages match the source; `npm run docs` writes them', async () => {
  const generated = await generatePages();
  for (const [page, text] of generated) expect(readPage(page), page).toBe(text);
  expect(stalePages(generated)).toEqual([]);
});

test('every component has a page, and is in the README and in the index of the reference', () => {
  for (const definition of components) {
    const page = pageOf(definition);
    expect(readPage(page)).toContain(`# \`${definition.type}\` ${definition.kind}\n`);
    expect(readPage('README.md')).toContain(`](${page})`);
    expect(readPage('docs/reference/README.md')).toContain(`](${page.replace('docs/reference/', '')})`);
  }
});

test('every error code that the source uses is described, and every one described is used', () => {
  const used = new Set<string>();
  const declared = new Set<string>();
  for (const file of globSync('src/**/*.ts', { cwd: root })) {
    const text = readFileSync(join(root, file), 'utf8');
    for (const [, code] of text.matchAll(/^  (MILLRACE_[A-Z0-9_]+): \{$/gm)) declared.add(code!);
    if (file === join('src', 'errors.ts')) continue;
    for (const [code] of text.matchAll(/\bMILLRACE_[A-Z0-9_]+\b(?!: \{)/g)) used.add(code);
  }
  // Its own classes throw these.
  for (const [, code] of readFileSync(join(root, 'src/errors.ts'), 'utf8').matchAll(/super\('(\w+)'/g))
    used.add(code!);
  const described = new Set<string>(Object.keys(errorCodes));
  // For errors that have no code of their own; the introduction of the page on errors says so.
  described.add('MILLRACE_UNEXPECTED');
  expect([...used].toSorted()).toEqual([...described].toSorted());
  expect([...declared].toSorted()).toEqual(Object.keys(errorCodes).toSorted());
});

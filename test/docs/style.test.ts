import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { pages, readPage, root, withoutBlocks } from './pages.ts';

/** The prose of a page: no code, no headings, no part that another test generates. */
function prose(page: string): string {
  return withoutBlocks(readPage(page))
    .replaceAll(/<!-- generated:[\w-]+ -->.*?<!-- \/generated -->/gs, '')
    .replaceAll(/`[^`\n]*`/g, '`x`')
    .replaceAll(/^#.*$/gm, '');
}

test('no sentence begins with a bare “what” or “who”, as CONTRIBUTING says', () => {
  const found = [...pages(), 'CHANGELOG.md'].flatMap((page) =>
    // A sentence, an entry of a list or a cell of a table; a question may begin so.
    Array.from(
      prose(page).matchAll(/(?:^|[.:;] |[-|] |\*\*)((?:What|Who|Whoever) [^.?|\n]{3,}(?:[.|\n]|$))/gm),
      ([, sentence]) => `${page}: ${sentence!.trim()}`,
    ),
  );
  expect(found).toEqual([]);
});

/** A sentence of a comment, or of a text that users read. */
const SENTENCE =
  /(?:\/\*\*? ?|\* |\/\/ |[.:;] |@returns |@throws |(?:describe\(|summary: |description: |help: |told: )\s*['"`])((?:What|Who|Whoever) [^.?\n]{3,}(?:[.\n]|$))/g;

/** The name of a test, or of a group of tests. */
const TEST_NAME =
  /\b(?:test|describe)(?:\.\w+(?:\([^)]*\))?)*\(\s*['"`]((?:what|who|whoever) [^'"`\n]{3,})/gi;

test.each(['src', 'scripts', 'faults', 'bench', 'test'])(
  'nor does one in a comment, the description of a field or the name of a test in %s',
  (folder) => {
    const files = globSync(`${folder}/**/*.ts`, { cwd: root, exclude: ['test/sql/**'] });
    const found = files.flatMap((file) => {
      const text = readFileSync(join(root, file), 'utf8');
      const matches = [...text.matchAll(SENTENCE), ...text.matchAll(TEST_NAME)];
      return matches.map(([, sentence]) => `${file}: ${sentence!.trim()}`);
    });
    expect(files).not.toEqual([]);
    expect(found).toEqual([]);
  },
);

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

test.each(['src', 'scripts', 'faults', 'bench'])(
  'nor does one in a comment or a description of a field in %s',
  (folder) => {
    const files = globSync(`${folder}/**/*.ts`, { cwd: root });
    const found = files.flatMap((file) =>
      Array.from(
        readFileSync(join(root, file), 'utf8').matchAll(
          /(?:\/\*\*? ?|\* |\/\/ |[.:;] |@returns |@throws |(?:describe\(|summary: |description: |help: |told: )\s*['"`])((?:What|Who|Whoever) [^.?\n]{3,}(?:[.\n]|$))/g,
        ),
        ([, sentence]) => `${file}: ${sentence!.trim()}`,
      ),
    );
    expect(files).not.toEqual([]);
    expect(found).toEqual([]);
  },
);

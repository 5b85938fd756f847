import { expect, test } from 'vitest';
import { pages, readPage, withoutBlocks } from './pages.ts';

/** The prose of a page that people write: no code, no headings, no generated part. */
function prose(page: string): string {
  return withoutBlocks(readPage(page))
    .replaceAll(/<!-- generated:[\w-]+ -->.*?<!-- \/generated -->/gs, '')
    .replaceAll(/`[^`\n]*`/g, '`x`')
    .replaceAll(/^#.*$/gm, '');
}

test('no sentence begins with a bare “what” or “who”, as CONTRIBUTING says', () => {
  const found = [...pages().filter((page) => !page.startsWith('docs/reference/')), 'CHANGELOG.md'].flatMap(
    (page) =>
      // A sentence, an entry of a list or a cell of a table; a question may begin so.
      Array.from(
        prose(page).matchAll(/(?:^|[.:;] |[-|] |\*\*)((?:What|Who|Whoever) [^.?|\n]{3,}(?:[.|\n]|$))/gm),
        ([, sentence]) => `${page}: ${sentence!.trim()}`,
      ),
  );
  expect(found).toEqual([]);
});

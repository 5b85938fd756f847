import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';

/** The folder of the recipes of docs/cookbook.md. */
export const cookbook = new URL('../../examples/cookbook', import.meta.url).pathname;

/**
 * The text of a recipe as it stands, but for `edits`, its port (a free one, so that several run at once) and its data, in
 * a folder of `parent` that is the second of the pair.
 */
export function readRecipe(
  name: string,
  parent: string,
  edits: Readonly<Record<string, string>> = {},
): [text: string, data: string] {
  const data = join(parent, name.replaceAll('/', '-').replace('.yaml', ''));
  mkdirSync(data, { recursive: true });
  let text = readFileSync(join(cookbook, name), 'utf8').replaceAll('./data', data);
  for (const [from, to] of Object.entries(edits)) {
    expect(text).toContain(from);
    text = text.replaceAll(from, to);
  }
  return [text.replaceAll('port: 8080', 'port: 0'), data];
}

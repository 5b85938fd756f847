import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = new URL('../..', import.meta.url).pathname;

/** A fenced block of code in a page. */
export interface Block {
  readonly page: string;
  /** Of its opening fence, from 1. */
  readonly line: number;
  /** `yaml`, `yaml fragment`, `ts file=main.ts`. */
  readonly info: string;
  readonly text: string;
}

/** Every page for readers, by its path from the root of the repository. */
export function pages(): string[] {
  return [
    'README.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    ...globSync('docs/**/*.md', { cwd: root }),
  ].toSorted();
}

export function readPage(page: string): string {
  return readFileSync(join(root, page), 'utf8');
}

const FENCE = /^```(?<info>[^\n`]*)\n(?<text>.*?)^```$/gms;

export function blocks(page: string): Block[] {
  const text = readPage(page);
  return Array.from(text.matchAll(FENCE), (match) => ({
    page,
    line: text.slice(0, match.index).split('\n').length,
    info: match.groups!['info']!.trim(),
    text: match.groups!['text']!,
  }));
}

export function withoutBlocks(text: string): string {
  return text.replaceAll(FENCE, '');
}

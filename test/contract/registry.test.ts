import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { components } from '../../src/components/index.ts';
import { subjects } from './subjects.ts';

/** The connectors that the kit tries beside their servers, as `kind type`. */
function connectors(): string[] {
  const files = globSync('../connectors/*.test.ts', { cwd: import.meta.dirname });
  return files.flatMap((file) => {
    const text = readFileSync(`${import.meta.dirname}/${file}`, 'utf8');
    return Array.from(text.matchAll(/\brunKit\('(\w+)', '(\w+)'/g), ([, kind, type]) => `${kind} ${type}`);
  });
}

test('the kit runs every component that comes with Millrace', () => {
  const key = ({ kind, type }: { kind: string; type: string }): string => `${kind} ${type}`;
  const run = new Set([...subjects.map(({ definition }) => key(definition)), ...connectors()]);
  expect(components.map(key).filter((each) => !run.has(each))).toEqual([]);
});

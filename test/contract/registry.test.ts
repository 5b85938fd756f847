import { expect, test } from 'vitest';
import { components } from '../../src/components/index.ts';
import { subjects } from './subjects.ts';

test('the kit runs every component that comes with Millrace', () => {
  const key = ({ kind, type }: { kind: string; type: string }): string => `${kind} ${type}`;
  const run = new Set(subjects.map(({ definition }) => key(definition)));
  expect(components.map(key).filter((each) => !run.has(each))).toEqual([]);
});

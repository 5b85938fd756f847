import { expect, test } from 'vitest';
import { components } from '../../src/components/index.ts';
import { readPage } from './pages.ts';

/** Outputs that have no sink of their own. */
const WITHOUT = new Set(['drop', 'fan_out', 'switch', 'fallback']);

test('the page on delivery says of each output when it confirms a message', () => {
  const [, section = ''] = /^## Outputs and inputs\n(.*?)^## /ms.exec(readPage('docs/delivery.md')) ?? [];
  const outputs = components.filter(({ kind, type }) => kind === 'output' && !WITHOUT.has(type));
  expect(outputs.map(({ type }) => `outputs/${type}.md`).filter((page) => !section.includes(page))).toEqual(
    [],
  );
});

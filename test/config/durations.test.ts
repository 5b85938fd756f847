import { expect, test } from 'vitest';
import { cli } from '../support/cli.ts';
import { configMistakes } from '../support/engine.ts';

const mistakes = (fields: string): string[] =>
  configMistakes(`[{ input: { type: websocket, url: "ws://h/", ${fields} } }]`);

test.each([
  ['timeout: 30000', 'timeout: 30000', '8.3 hours; expected 30000ms, or 30000s where that is meant'],
  ['ping_interval: 5000', 'ping_interval: 5000', '1.4 hours; expected 5000ms, or 5000s where that is meant'],
  ["timeout: '1500'", 'timeout: "1500"', '25 minutes; expected 1500ms, or 1500s where that is meant'],
  ['reconnect: { max: 60000 }', 'reconnect.max: 60000', '17 hours; expected 60000ms, or 60000s'],
])('%s is rather milliseconds than seconds', (field, shown, said) => {
  expect(mistakes(field)).toEqual([
    expect.stringContaining(
      `[0].input.${shown} is too large for a number without a unit, which is seconds: ${said}`,
    ),
  ]);
});

test('so is a duration in an option of the command line', async () => {
  const { code, stderr } = await cli(['tail', '--timeout', '30000', 'localhost:1/']);
  expect(code).toBe(2);
  expect(stderr).toContain('too large for a number without a unit, which is seconds: 8.3 hours');
});

test('a number with a unit, or one that is plausible without, is taken as it is', () => {
  for (const value of ['5', '999', '30000ms', '30000s', '1h', '0.5'])
    expect([value, mistakes(`timeout: ${value}`)]).toEqual([value, []]);
  expect(
    mistakes('query: { since: "{{cursor:-}}" }, resume: { cursor: seq, path: /tmp/x, rewind: 5000 }'),
  ).toEqual([]);
});

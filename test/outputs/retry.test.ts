import { expect, test } from 'vitest';
import { NotConnectedError } from '../../src/errors.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { engineFor } from '../runtime/harness.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';
import { lettersOf, Sink, Source } from './support.ts';

const dir = tempDir();

/** A stream to an output `one` with these fields. */
function stream(fields: string) {
  const source = new Source();
  const [one, letters, last] = [new Sink('one'), new Sink('letters'), new Sink('last')];
  const engine = engineFor(
    `streams: [{ input: { type: source }, output: { type: one, ${fields} }, error_output: { type: last } }]`,
    [source.definition, one.definition, letters.definition, last.definition],
  );
  const ended = engine.run();
  const end = async (): Promise<void> => {
    source.end();
    await ended;
  };
  return { source, one, letters, last, engine, end };
}

test('a write that does not end is cut off, and its messages are dead letters of the stream', async () => {
  const { source, one, last, end } = stream('retry: { max_elapsed: 20ms }');
  one.hold();
  source.give(['a', 'b']);
  await until('the dead letters', () => last.texts.length === 2);
  expect(one.aborted).toBe(1);
  one.release();
  source.give(['c']);
  await end();
  expect(one.texts).toEqual(['c']);
  expect(lettersOf(last)[0]).toMatchObject({
    payload: 'a',
    code: 'MILLRACE_OUTPUT_GAVE_UP',
    message: expect.stringMatching(/^gave up after [\d.]+ s: no answer$/) as string,
  });
});

test('attempts to connect count for every message that waits', async () => {
  const { source, one, last, engine, end } = stream('retry: { max_attempts: 3 }');
  await until('it to be connected', () => engine.health()[0]!.ready);
  one.lose(new NotConnectedError('nobody is there'));
  for (const text of ['a', 'b', 'c']) source.give([text]);
  await until('the dead letters', () => last.texts.length === 3);
  expect(lettersOf(last).every(({ message }) => message.endsWith('nobody is there'))).toBe(true);
  one.back();
  source.give(['d']);
  await end();
  expect(one.texts).toEqual(['d']);
  // Each was given up at its own limit, and settled.
  expect(source.settled.map(({ rejected, error }) => [rejected, error])).toEqual(
    [1, 1, 1, 0].map((rejected) => [rejected, undefined]),
  );
});

test('an error_output may have one of its own, and what the last gives up is logged', async () => {
  const letter =
    'error_output: { type: letters, retry: { max_attempts: 1 }, error_output: { type: last, retry: { max_attempts: 1 } } }';
  const { source, one, letters, last, end } = stream(`retry: { max_attempts: 1 }, ${letter}`);
  one.failure = new Error('no');
  source.give(['a']);
  await until('the first letter', () => letters.texts.length === 1);
  letters.failure = new Error('no');
  source.give(['b']);
  last.hold();
  await until('the letter of a letter', () => last.attempts === 1);
  expect(source.settled).toHaveLength(1);
  last.release();
  await until('the receipt', () => source.settled.length === 2);
  expect(source.settled).toHaveLength(2);
  last.failure = new Error('no');
  source.give(['c']);
  await end();
  expect(lettersOf(letters).map(({ payload }) => payload)).toEqual(['a']);
  expect(lettersOf(last).map(({ payload }) => payload)).toEqual(['b']);
  expect(source.settled).toHaveLength(3);
  expect(source.settled.every(({ error, rejected }) => error === undefined && rejected === 1)).toBe(true);
});

test('an output that gives up pauses all the same before the next batch', async () => {
  const { source, one, last, engine, end } = stream('retry: { max_attempts: 1, initial: 1h, max: 1h }');
  one.failure = new Error('no');
  source.give(['a']);
  source.give(['b']);
  await until('the dead letter', () => last.texts.length === 1);
  await until('the reason', () =>
    engine.health()[0]!.reasons.some((reason) => reason.includes('cannot write')),
  );
  expect(one.attempts).toBe(1);
  engine.abort();
  await end();
});

test('after a restart each output gets again what was not confirmed by all, under the same ids', async () => {
  const path = `${dir.path}/log`;
  const begin = (source: Source, one: Sink, two: Sink): Engine =>
    engineFor(
      `streams: [{ id: s, input: { type: source }, outputs: [{ type: one }, { type: two }], durability: { path: "${path}" } }]`,
      [source.definition, one.definition, two.definition],
    );
  const sinks = (): [Sink, Sink] => [
    new Sink('one', { identified: true }),
    new Sink('two', { identified: true }),
  ];
  const source = new Source();
  const before = sinks();
  const first = begin(source, ...before);
  const aborted = first.run();
  source.give(['a', 'b']);
  await until('the first batch to be everywhere', () => before[1].texts.length === 2);
  before[1].hold();
  source.give(['c']);
  source.give(['d']);
  await until('one output to have all', () => before[0].texts.length === 4);
  first.abort();
  await aborted.catch(() => {});

  const after = sinks();
  const again = new Source();
  const second = begin(again, ...after);
  again.end();
  await second.run();
  expect(after.map(({ texts }) => texts.slice(-2))).toEqual([
    ['c', 'd'],
    ['c', 'd'],
  ]);
  expect(after[0].ids.slice(-2)).toEqual(before[0].ids.slice(-2));
});

import { expect, test } from 'vitest';
import { NotConnectedError } from '../../src/errors.ts';
import { engineFor } from '../runtime/harness.ts';
import { until } from '../support/until.ts';
import { Sink, Source } from './support.ts';

/** A stream with a `fallback` of these fields from the output `one` to `two`. */
function fallback(fields: string) {
  const source = new Source();
  const [one, two] = [new Sink('one'), new Sink('two')];
  const engine = engineFor(
    `streams: [{ id: s, input: { type: source }, output: { type: fallback, outputs: [{ type: one }, { type: two }], ${fields} } }]`,
    [source.definition, one.definition, two.definition],
  );
  const ended = engine.run();
  return {
    source,
    one,
    two,
    engine,
    /** Gives a message, and resolves when it is confirmed. */
    through: async (text: string): Promise<void> => {
      const before = source.settled.length;
      source.give([text]);
      await until(`${text} to be confirmed`, () => source.settled.length > before);
    },
    end: async (): Promise<void> => {
      source.end();
      await ended;
    },
  };
}

test('after so many failed attempts the next output takes over, and later the first again', async () => {
  const { one, two, engine, through, end } = fallback('max_attempts: 2, back_after: 1ms');
  await through('a');
  one.failure = new Error('it is broken');
  await through('b');
  // A batch at a time finds out whether it works again.
  await until('it to be tried again', async () => {
    await through('c');
    return one.attempts > 3;
  });
  expect(engine.health()[0]).toMatchObject({ ready: true });
  one.failure = undefined;
  await until('it to be in use again', async () => {
    await through('d');
    return one.texts.length > 1;
  });
  const before = two.texts.length;
  await through('e');
  await end();
  expect(two.texts).toHaveLength(before);
  expect(one.texts.at(-1)).toBe('e');
  expect(two.texts.slice(0, 2)).toEqual(['b', 'c']);
});

test('a write that does not end is cut off after the time, and the next output has the message', async () => {
  const { one, two, through, end } = fallback('after: 20ms, back_after: 1h');
  one.hold();
  await through('a');
  expect([one.aborted, two.texts]).toEqual([1, ['a']]);
  // It is left alone.
  await through('b');
  expect([one.attempts, two.texts]).toEqual([1, ['a', 'b']]);
  await end();
});

test('while the first is not connected, messages go to the next, and readiness is that of the one in use', async () => {
  const { one, two, engine, through, end } = fallback('after: 20ms, back_after: 1ms');
  await through('a');
  one.lose(new NotConnectedError('nobody is there'));
  await until('a reason', () => !engine.health()[0]!.ready);
  expect(engine.health()[0]!.reasons[0]).toMatch(/^output fallback\.one is not connected: nobody is there/);
  await through('b');
  expect(engine.health()[0]).toMatchObject({ ready: true });
  one.back();
  await until('the first to be in use again', async () => {
    await through('c');
    return one.texts.length > 1;
  });
  await end();
  expect([one.texts[0], two.texts[0]]).toEqual(['a', 'b']);
});

test('while both fail, messages wait, and go on when one works', async () => {
  const { source, one, two, engine, end } = fallback('max_attempts: 1, back_after: 1ms');
  one.failure = new Error('it is broken');
  two.failure = one.failure;
  source.give(['a', 'b']);
  await until('both to be tried more than once', () => one.attempts > 1 && two.attempts > 1);
  expect(engine.health()[0]).toMatchObject({ ready: false });
  two.failure = undefined;
  await until('the receipt', () => source.settled.length === 1);
  expect([one.texts, two.texts]).toEqual([[], ['a', 'b']]);
  await end();
});

test('only messages that an output has not taken go to the next', async () => {
  const source = new Source();
  const two = new Sink('two');
  const taken: string[] = [];
  const one = new Sink('one', {
    order: 'none',
    write: (batch) => {
      taken.push(...batch.payloads.map(String).filter((text) => text !== 'b'));
      return Promise.resolve({
        retry: batch.payloads.flatMap((payload, index) => (String(payload) === 'b' ? [index] : [])),
      });
    },
  });
  const engine = engineFor(
    'streams: [{ input: { type: source }, output: { type: fallback, max_attempts: 1, outputs: [{ type: one }, { type: two }] } }]',
    [source.definition, one.definition, two.definition],
  );
  source.give(['a', 'b', 'c']);
  source.end();
  await engine.run();
  expect([taken, two.texts]).toEqual([['a', 'c'], ['b']]);
});

import { expect, test } from 'vitest';
import { engineFor, metric } from '../runtime/harness.ts';
import { until } from '../support/until.ts';
import { lettersOf, Sink, Source } from './support.ts';

/** A stream with a `switch` of these fields, and the outputs `one`, `two` and `rest`. */
async function switched(fields: string) {
  const source = new Source();
  const [one, two, rest, errors] = ['one', 'two', 'rest', 'errors'].map(
    (type) => new Sink(type, { identified: true }),
  );
  const engine = engineFor(
    `streams:
  - id: s
    input: { type: source, codec: { type: json } }
    output:
      type: switch
${fields}
    error_output: { type: errors }`,
    [source.definition, ...[one!, two!, rest!, errors!].map(({ definition }) => definition)],
  );
  const problems = await engine.prepare();
  return {
    source,
    one: one!,
    two: two!,
    rest: rest!,
    errors: errors!,
    engine,
    problems,
    /** Runs until all is written. */
    end: async (): Promise<void> => {
      source.end();
      await engine.run();
    },
  };
}

const trade = (kind: string, price: number): string => JSON.stringify({ kind, price });

test('a message goes to the first case that it matches, in order, and to the default if there is none', async () => {
  const { source, one, two, rest, end } = await switched(`
      cases:
        - when: price > 10 -- dear
          output: { type: one }
        - when: kind = 'b'
          output: { type: two }
      default: { type: rest }`);
  const messages = [
    trade('a', 1),
    trade('a', 11),
    trade('b', 12),
    trade('b', 2),
    '{"price":"?"}',
    '[1]',
    trade('a', 13),
  ];
  source.give(messages.slice(0, 3));
  source.give(messages.slice(3));
  await end();
  expect(one.texts).toEqual([messages[1], messages[2], messages[6]]);
  expect(two.texts).toEqual([messages[3]]);
  expect(rest.texts).toEqual([messages[0], messages[5]]);
  expect(source.settled.map(({ error }) => error)).toEqual([undefined, undefined]);
});

test('with `continue`, a message goes to later cases as well, and is another message to each', async () => {
  const { source, one, two, end } = await switched(`
      cases:
        - { when: price > 10, continue: true, output: { type: one } }
        - { when: "kind = 'b'", output: { type: two } }
        - { when: "true", output: { type: one, name: again } }`);
  source.give([trade('b', 11), trade('a', 12), trade('b', 1)]);
  await end();
  expect(one.texts.toSorted()).toEqual([trade('a', 12), trade('a', 12), trade('b', 11)].toSorted());
  expect(two.texts).toEqual([trade('b', 11), trade('b', 1)]);
  expect(new Set([...one.ids, ...two.ids]).size).toBe(5);
});

test('metadata is matched without SQL: one value or one of several, of a list any', async () => {
  const { source, one, two, rest, end } = await switched(`
      cases:
        - { match: { param.room: [lobby, help], subject: kim }, output: { type: one } }
        - { match: { roles: admin }, output: { type: two } }
      default: { type: rest }`);
  source.give(['1'], { 'param.room': 'help', subject: 'kim' });
  source.give(['2'], { 'param.room': 'help', subject: 'lee' });
  source.give(['3'], { roles: ['user', 'admin'] });
  source.give(['4'], { roles: 'adm' });
  await end();
  expect([one.texts, two.texts, rest.texts]).toEqual([['1'], ['3'], ['2', '4']]);
});

test('conditions see metadata, and a case can have either', async () => {
  const { source, one, two, end } = await switched(`
      cases:
        - { match: { __meta_source: test, device: a }, output: { type: one } }
        - { when: "__meta_ext['device'] = 'b'", output: { type: two } }`);
  source.give(['1'], { device: 'a' });
  source.give(['2'], { device: 'b' });
  await end();
  expect([one.texts, two.texts]).toEqual([['1'], ['2']]);
});

test('messages of no case are dropped on purpose and counted, or rejected', async () => {
  const dropping = await switched('      cases: [{ when: price > 10, output: { type: one } }]');
  dropping.source.give([trade('a', 1), trade('a', 11), trade('a', 2)]);
  dropping.source.end();
  const { engine } = dropping;
  const ended = engine.run();
  await until('the receipt', () => dropping.source.settled.length === 1);
  await ended;
  expect(dropping.source.settled[0]).toMatchObject({ error: undefined, rejected: 0 });
  expect(dropping.one.texts).toEqual([trade('a', 11)]);

  const rejecting = await switched(`
      unmatched: reject
      cases: [{ when: price > 10, output: { type: one } }]`);
  rejecting.source.give([trade('a', 1), trade('a', 11)]);
  await rejecting.end();
  expect(rejecting.source.settled[0]).toMatchObject({ error: undefined, rejected: 1 });
  expect(lettersOf(rejecting.errors)).toMatchObject([
    { payload: trade('a', 1), code: 'MILLRACE_SWITCH_UNMATCHED' },
  ]);
});

test('messages that are dropped are counted', async () => {
  const { source, engine } = await switched('      cases: [{ match: { a: b }, output: { type: one } }]');
  const ended = engine.run();
  source.give(['1', '2']);
  await until(
    'the count',
    async () =>
      (await metric(
        engine,
        'millrace_messages_dropped_total',
        'stream="s",stage="output",reason="no_match"',
      )) === 2,
  );
  source.end();
  await ended;
});

test('a message on which a condition fails is rejected alone, and its neighbours are routed', async () => {
  const { source, one, rest, errors, end } = await switched(`
      cases: [{ when: "CAST(price AS INTEGER) > 10", output: { type: one } }]
      default: { type: rest }`);
  source.give([trade('a', 11), '{"price":"much"}', trade('a', 1)]);
  await end();
  expect([one.texts, rest.texts]).toEqual([[trade('a', 11)], [trade('a', 1)]]);
  expect(lettersOf(errors).map(({ payload }) => payload)).toEqual(['{"price":"much"}']);
});

test('an output that stands holds only its own messages, as far as its queue goes', async () => {
  const { source, one, rest, end } = await switched(`
      cases: [{ match: { to: one }, output: { type: one, queue: { max_messages: 2 } } }]
      default: { type: rest }`);
  one.hold();
  for (const text of ['1', '2', '3']) source.give([text], { to: 'one' });
  for (const text of ['4', '5']) source.give([text], { to: 'rest' });
  const ended = end();
  await until('the others', () => rest.texts.length === 2);
  expect(source.settled.map(({ texts }) => texts[0])).toEqual(['4', '5']);
  one.release();
  await ended;
  expect(one.texts).toEqual(['1', '2', '3']);
});

test('a wrong condition is a mistake at its place, and so is one that is not about one message', async () => {
  const wrong = await switched(`
      cases:
        - { when: price > 10, output: { type: one } }
        - { when: price >, output: { type: two } }`);
  expect(wrong.problems).toMatchObject([{ path: ['streams', 0, 'output', 'cases', 1, 'when'] }]);
  await wrong.engine.close();
  const aggregate = await switched('      cases: [{ when: sum(price) > 10, output: { type: one } }]');
  expect(aggregate.problems).toMatchObject([{ path: ['streams', 0, 'output', 'cases', 0, 'when'] }]);
  await aggregate.engine.close();
});

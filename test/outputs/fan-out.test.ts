import { expect, test } from 'vitest';
import { NotConnectedError } from '../../src/errors.ts';
import { registry } from '../../src/components/index.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { ConfigError } from '../../src/config/problem.ts';
import { Engine } from '../../src/runtime/engine.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { engineFor, metric } from '../runtime/harness.ts';
import { startEngine } from '../support/engine.ts';
import { tempDir } from '../support/temp-dir.ts';
import { standstill, until } from '../support/until.ts';
import { lettersOf, Sink, Source } from './support.ts';

const dir = tempDir();

/** A stream from a source to outputs `one` and `two`, with these fields. */
function twoOutputs(
  one: string,
  two: string,
  more = '',
  options: ConstructorParameters<typeof Sink>[1] = {},
) {
  const source = new Source();
  const [first, second, errors] = [new Sink('one', options), new Sink('two', options), new Sink('errors')];
  const engine = engineFor(
    `streams:
  - id: s
    input: { type: source }
    outputs:
      - { type: one${one} }
      - { type: two${two} }
    ${more}`,
    [source.definition, first.definition, second.definition, errors.definition],
  );
  return { source, first, second, errors, engine, ended: engine.run() };
}

const dropped = (engine: Engine): Promise<number> =>
  metric(engine, 'millrace_messages_dropped_total', 'stream="s",stage="output",reason="queue_full"');

const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => String(from + index));

test('every output gets every message in order, and a message is confirmed when all have it', async () => {
  const { source, first, second, ended } = twoOutputs('', '');
  second.hold();
  source.give(['a', 'b']);
  source.give(['c']);
  await until('the first output to have all', () => first.texts.length === 3);
  expect(source.settled).toEqual([]);
  second.release();
  await until('both to be confirmed', () => source.settled.length === 2);
  source.end();
  await ended;
  expect([first.texts, second.texts]).toEqual([
    ['a', 'b', 'c'],
    ['a', 'b', 'c'],
  ]);
  expect(source.settled.map(({ error }) => error)).toEqual([undefined, undefined]);
  expect([first.closed, second.closed]).toEqual([1, 1]);
});

test('a slow output holds the others back when its queue is full, and not before', async () => {
  const { source, first, second, ended } = twoOutputs('', ', queue: { max_messages: 3 }');
  second.hold();
  for (const number of numbers(0, 20)) source.give([number]);
  // One is being written, and three wait.
  expect(await standstill('what the first output has', () => first.texts.length || undefined)).toBe(4);
  second.release();
  source.end();
  await ended;
  expect(first.texts).toEqual(numbers(0, 20));
  expect(second.texts).toEqual(numbers(0, 20));
});

test.each([
  ['drop_newest', [0, 1, 2, 3, 4]],
  ['drop_oldest', [0, 16, 17, 18, 19]],
])(
  'with on_full: %s, a slow output holds nobody back, and messages are dropped and counted',
  async (policy, kept) => {
    const { source, first, second, engine, ended } = twoOutputs(
      '',
      `, queue: { max_messages: 4, on_full: ${policy} }`,
    );
    second.hold();
    source.give(['0']);
    await until('its write to begin', () => second.attempts === 1);
    // In batches that are not of the queue's size.
    for (const [from, to] of [
      [1, 4],
      [4, 7],
      [7, 20],
    ] as const)
      source.give(numbers(from, to));
    await until('the other output to have all', () => first.texts.length === 20);
    await until('what was dropped to be counted', async () => (await dropped(engine)) === 15);
    second.release();
    await until('everything to be confirmed', () => source.settled.length === 4);
    source.end();
    await ended;
    expect(second.texts).toEqual(kept.map(String));
    expect(source.settled.every(({ error, rejected }) => error === undefined && rejected === 0)).toBe(true);
  },
);

test('a queue that drops lets a stream with one output go on', async () => {
  const source = new Source();
  const only = new Sink('one');
  const engine = engineFor(
    `streams: [{ id: s, input: { type: source }, output: { type: one, queue: { max_messages: 2, on_full: drop_oldest } } }]`,
    [source.definition, only.definition],
  );
  const ended = engine.run();
  only.hold();
  for (const number of numbers(0, 10)) source.give([number]);
  await until('all to be read', () => source.read === 10);
  await until('what was dropped to be counted', async () => (await dropped(engine)) === 7);
  only.release();
  source.end();
  await ended;
  expect(only.texts).toEqual(['0', '8', '9']);
});

test('bytes bound a queue as well', async () => {
  const { source, first, second, ended } = twoOutputs('', ', queue: { max_bytes: 10 }');
  second.hold();
  for (let index = 0; index < 8; index++) source.give(['12345']);
  expect(await standstill('what the first output has', () => first.texts.length || undefined)).toBe(3);
  second.release();
  source.end();
  await ended;
  expect(second.texts).toHaveLength(8);
});

test('an output that gives messages up sends them to its own error_output, and the others are not affected', async () => {
  const { source, first, second, errors, ended } = twoOutputs(
    '',
    ', retry: { max_attempts: 2, initial: 1ms, max: 1ms }, error_output: { type: errors }',
  );
  second.failure = new Error('it does not want them');
  source.give(['a', 'b']);
  await until('the dead letters', () => errors.texts.length === 2);
  await until('the receipt', () => source.settled.length === 1);
  second.failure = undefined;
  source.give(['c']);
  source.end();
  await ended;
  expect(first.texts).toEqual(['a', 'b', 'c']);
  expect(second.texts).toEqual(['c']);
  expect(lettersOf(errors)).toEqual(
    ['a', 'b'].map((payload) => ({
      payload,
      code: 'MILLRACE_OUTPUT_GAVE_UP',
      message: expect.stringMatching(
        /^gave up after 2 failed attempts in [\d.]+ s: it does not want them$/,
      ) as string,
    })),
  );
  expect(source.settled[0]).toMatchObject({ error: undefined, rejected: 2 });
});

test('readiness names each output that stands, and why', async () => {
  const { source, first, second, engine, ended } = twoOutputs(', name: orders', '');
  await until('both to be connected', () => engine.health()[0]!.ready);
  second.lose(new NotConnectedError('nobody is there'));
  await until('a reason', () => !engine.health()[0]!.ready);
  expect(engine.health()[0]!.reasons).toEqual([
    expect.stringMatching(/^output fan_out\.two is not connected: nobody is there \(since /),
  ]);
  first.lose(new NotConnectedError('nor there'));
  await until('both', () =>
    engine.health()[0]!.reasons[0]!.includes('fan_out.orders is not connected: nor there'),
  );
  first.back();
  second.back();
  await until('both to be connected again', () => engine.health()[0]!.ready);
  source.end();
  await ended;
});

test('a log line names the output that fails to connect', async () => {
  const run = await startEngine(`
streams:
  - input: { type: memory, messages: ['1'] }
    outputs:
      - { type: collect }
      - { type: websocket, name: desk, url: 'ws://127.0.0.1:1' }
`);
  await run.logged(/^output fan_out\.desk failed to connect: .*ECONNREFUSED/);
});

test('files are opened again in every output', async () => {
  const { source, first, second, errors, engine, ended } = twoOutputs('', ', error_output: { type: errors }');
  await until('both to be connected', () => engine.health()[0]!.ready);
  engine.reopen();
  expect([first.reopened, second.reopened, errors.reopened]).toEqual([1, 1, 1]);
  source.end();
  await ended;
});

test('two outputs to one sink do not take each other’s messages for repeats', async () => {
  const { source, first, second, ended } = twoOutputs('', '', '', { identified: true });
  source.give(['a', 'b']);
  source.end();
  await ended;
  expect(new Set([...first.ids, ...second.ids]).size).toBe(4);
});

test('a stream has output or outputs, and a mistake in one of them has its place', async () => {
  const load = async (outputs: string) => {
    const text = `streams:\n  - input: { type: memory, messages: [a] }\n${outputs}`;
    return await loadConfig(dir.file('stream.yaml', text), { registry });
  };
  const mistakes = async (outputs: string): Promise<string[]> => {
    const error = await load(outputs).then(
      () => undefined,
      (reason: unknown) => reason as ConfigError,
    );
    return error!.problems.map(({ path, message, line }) => `${line} ${path}: ${message}`);
  };
  expect(await mistakes('    output: { type: drop }\n    outputs: [{ type: drop }]')).toEqual([
    '4 streams[0].outputs: there is an `output` too; use one of the two',
  ]);
  expect(await mistakes('    outputs:\n      - { type: drop }\n      - { type: file }')).toEqual([
    '5 streams[0].outputs[1].path: is missing; expected a string',
  ]);
  const loaded = await load(
    '    outputs:\n      - type: drop\n      - type: drop\n        error_output: { type: websocket, mode: server, path: /none }',
  );
  const engine = new Engine(loaded.plan, {
    registry,
    logger: createLogger({ level: 'silent', format: 'plain' }),
  });
  const found = loaded.mistakes(await engine.prepare());
  await engine.close();
  expect(found.problems).toMatchObject([{ line: 6, path: 'streams[0].outputs[1].error_output.path' }]);
});

import { setTimeout } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { AnyDefinition } from '../../src/component/define.ts';
import { Batch } from '../../src/message/batch.ts';
import { noReceipt } from '../../src/message/receipt.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { until } from '../support/until.ts';
import { engineFor, metric, testInput, testOutput, testProcessor } from './harness.ts';

const ISO = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`;
const since = (text: string): RegExp => new RegExp(String.raw`^${text} \(since ${ISO}\)$`);

let running: { engine: Engine; end: Promise<unknown> } | undefined;
let release: (() => void) | undefined;
afterEach(async () => {
  release?.();
  running?.engine.abort();
  await running?.end;
  running = undefined;
});

function start(streams: string, own: readonly AnyDefinition[] = []): Engine {
  const engine = engineFor(`streams: [{ id: s, ${streams} }]`, own);
  running = { engine, end: engine.run() };
  return engine;
}

const reasons = (engine: Engine): readonly string[] => engine.health()[0]!.reasons;
/** Resolves once it is not just starting. */
const told = (engine: Engine): Promise<readonly string[]> =>
  until('a reason', () => {
    const all = reasons(engine);
    return all.some((reason) => reason.includes('since')) && all;
  });
const ready = (engine: Engine): Promise<true> =>
  until('the stream to be ready', () => engine.health()[0]!.ready);
const endless = 'input: { type: generate, context: tick, interval: 5ms }';

test('a file output that cannot write is a reason, with the time since when', async () => {
  const engine = start(`${endless}, output: { type: file, path: /dev/full }`);
  const [reason] = await told(engine);
  expect(reason).toMatch(
    since('output file cannot write: cannot write /dev/full: ENOSPC: no space left on device, write'),
  );
  expect(await metric(engine, 'millrace_stream_ready', 'stream="s"')).toBe(0);
  // The time is that of the first failure, however often it is tried again.
  const failures = (): Promise<number> =>
    metric(engine, 'millrace_errors_total', 'stream="s",stage="output",code="MILLRACE_FILE_UNAVAILABLE"');
  const before = await failures();
  await until('another failure', async () => (await failures()) > before);
  expect(reasons(engine)).toEqual([reason]);
});

test('an error_output that cannot write is a reason', async () => {
  const broken = 'codec: { type: json }, context: "{"';
  const engine = start(
    `input: { type: generate, interval: 5ms, ${broken} }, output: { type: drop }, error_output: { type: file, path: /dev/full }`,
  );
  await told(engine);
  expect(reasons(engine)).toEqual([
    expect.stringMatching(since('error_output file cannot write: .*ENOSPC.*')),
  ]);
});

test('the reason of a write goes when one succeeds, and not with a mere connection', async () => {
  let down = true;
  let connects = 0;
  const output = testOutput('flaky', {
    connect: () => Promise.resolve(void connects++),
    write: () => (down ? Promise.reject(new Error('it is down')) : Promise.resolve()),
  });
  const engine = start(`${endless}, output: { type: flaky }`, [output]);
  await told(engine);
  expect(reasons(engine)).toEqual([expect.stringMatching(since('output flaky cannot write: it is down'))]);
  down = false;
  await ready(engine);
  expect(await metric(engine, 'millrace_stream_ready', 'stream="s"')).toBe(1);
  expect(connects).toBe(1);
});

test('a connected input whose reads fail is a reason until it reads again', async () => {
  let down = true;
  const input = testInput('flaky', {
    read: async (signal) => {
      if (down) throw new Error('the disk is gone');
      await setTimeout(5, undefined, { signal });
      return { batch: new Batch([Buffer.from('x')]), receipt: noReceipt };
    },
  });
  const engine = start('input: { type: flaky }, output: { type: drop }', [input]);
  await told(engine);
  expect(reasons(engine)).toEqual([
    expect.stringMatching(since('input flaky cannot read: the disk is gone')),
  ]);
  down = false;
  await ready(engine);
});

test('a batch that a processor or an output does not finish is a reason', async () => {
  const held = Promise.withResolvers<void>();
  release = held.resolve;
  const forever = async (): Promise<never> => {
    await held.promise;
    throw new Error('released');
  };
  const slow = start(`${endless}, pipeline: { processors: [{ type: slow }] }, output: { type: drop }`, [
    testProcessor('slow', { process: forever }),
  ]);
  const stuck = engineFor(`streams: [{ id: t, ${endless}, output: { type: stuck } }]`, [
    testOutput('stuck', { write: forever }),
  ]);
  const end = stuck.run();
  await Promise.all([told(slow), told(stuck)]);
  expect(reasons(slow)).toEqual([expect.stringMatching(since('processor slow has not finished a batch'))]);
  expect(reasons(stuck)).toEqual([
    expect.stringMatching(since('output stuck has not confirmed what it was given')),
  ]);
  stuck.abort();
  held.resolve();
  await end;
});

test('a reason that a component gives is one of the stream', async () => {
  const engine = start(`${endless}, pipeline: { processors: [{ type: busy }] }, output: { type: full }`, [
    testProcessor('busy', { process: (batch) => [batch], notReady: () => 'it is busy' }),
    testOutput('full', { write: () => Promise.resolve(), notReady: () => 'it is full' }),
  ]);
  await until('both', () => reasons(engine).length === 2 && reasons(engine)[0] === 'it is busy');
  expect(reasons(engine)).toEqual(['it is busy', 'it is full']);
});

test('the state of a stream is a metric from the start, and why it has failed is a reason', async () => {
  const states = ['starting', 'running', 'draining', 'ended', 'failed'];
  const engine = engineFor(
    'streams: [{ id: s, input: { type: memory, messages: [x] }, output: { type: file, path: / } }]',
  );
  const state = async (): Promise<string[]> => {
    const values = await Promise.all(
      states.map((each) => metric(engine, 'millrace_stream_state', `stream="s",state="${each}"`)),
    );
    return states.filter((_, index) => values[index] === 1);
  };
  expect(await state()).toEqual(['starting']);
  expect((await engine.run()).failed).toEqual(['s']);
  expect(await state()).toEqual(['failed']);
  expect(engine.health()[0]).toMatchObject({
    state: 'failed',
    ready: false,
    reasons: [expect.stringMatching(since('the stream has failed: cannot open /: .*'))],
  });
});

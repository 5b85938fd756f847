import { statSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { z } from 'zod';
import type { ComponentConfig, Context, State } from '../../src/component/context.ts';
import type { Output } from '../../src/component/contracts.ts';
import { defineOutput, defineProcessor, type AnyDefinition } from '../../src/component/define.ts';
import { Registry } from '../../src/component/registry.ts';
import { components } from '../../src/components/index.ts';
import { parseConfig } from '../../src/config/load.ts';
import { MillraceError, NotConnectedError } from '../../src/errors.ts';
import { Engine } from '../../src/runtime/engine.ts';
import { maskSecrets } from '../../src/telemetry/secrets.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';
import { engineFor, planFor, testOutput, textsOf } from './harness.ts';

const dir = tempDir();
const meta = { summary: 'For tests.', status: 'stable', examples: [] } as const;
const messages = (...texts: string[]): string =>
  `input: { type: memory, messages: ${JSON.stringify(texts)} }`;

/** A processor that passes everything on, and does something with its context first. */
function using(act: (context: Context, texts: readonly string[]) => void, type = 'using'): AnyDefinition {
  return defineProcessor({
    ...meta,
    type,
    schema: z.strictObject({}),
    create: (_, context) => ({
      process: (batch) => {
        act(context, textsOf(batch));
        return [batch];
      },
    }),
  });
}

const lines = async (engine: Engine, name: string): Promise<string[]> => {
  const text = await engine.metrics.registry.metrics();
  return text.split('\n').filter((line) => line.startsWith(name));
};

test('a component has counters, gauges and histograms of its own, which name its stream and its place', async () => {
  const own = using(({ metrics }, texts) => {
    const seen = metrics.counter({ name: 'seen_total', help: 'Messages seen.', labels: ['first'] });
    seen.add(texts.length, { first: texts[0]! });
    metrics.counter({ name: 'never_total', help: 'Never.' });
    metrics.gauge({ name: 'size_messages', help: 'The last batch.' }).set(texts.length);
    metrics.histogram({ name: 'batch_messages', help: 'Batches.', buckets: [1, 10] }).observe(texts.length);
  });
  const engine = engineFor(
    `streams: [{ id: s, ${messages('a', 'b')}, pipeline: { processors: [{ type: using }, { type: using }] }, output: { type: drop } }]`,
    [own],
  );
  await engine.run();
  const of = 'stream="s",stage="processor"';
  expect(await lines(engine, 'millrace_using_')).toEqual([
    `millrace_using_seen_total{${of},component="using",first="a"} 2`,
    `millrace_using_seen_total{${of},component="using-2",first="a"} 2`,
    `millrace_using_never_total{${of},component="using"} 0`,
    `millrace_using_never_total{${of},component="using-2"} 0`,
    `millrace_using_size_messages{${of},component="using"} 2`,
    `millrace_using_size_messages{${of},component="using-2"} 2`,
    ...['using', 'using-2'].flatMap((component) => [
      `millrace_using_batch_messages_bucket{le="1",${of},component="${component}"} 0`,
      `millrace_using_batch_messages_bucket{le="10",${of},component="${component}"} 1`,
      `millrace_using_batch_messages_bucket{le="+Inf",${of},component="${component}"} 1`,
      `millrace_using_batch_messages_sum{${of},component="${component}"} 2`,
      `millrace_using_batch_messages_count{${of},component="${component}"} 1`,
    ]),
  ]);
});

test('label values that a peer chooses cannot fill the memory: beyond a hundred they count as other', async () => {
  const own = using(({ metrics }) => {
    const counter = metrics.counter({ name: 'rooms_total', help: 'Rooms.', labels: ['room'] });
    for (let room = 0; room < 1_000; room++) counter.add(1, { room: String(room) });
  });
  const engine = engineFor(
    `streams: [{ ${messages('a')}, pipeline: { processors: [{ type: using }] }, output: { type: drop } }]`,
    [own],
  );
  await engine.run();
  const rooms = await lines(engine, 'millrace_using_rooms_total{');
  expect(rooms).toHaveLength(101);
  expect(rooms.at(-1)).toMatch(/room="other"\} 900$/);
});

test.each([
  [
    'a counter without _total',
    (c: Context) => c.metrics.counter({ name: 'seen', help: 'x' }),
    'ends in _total',
  ],
  ['a gauge with _total', (c: Context) => c.metrics.gauge({ name: 'x_total', help: 'x' }), 'ends in _total'],
  ['a name that is none', (c: Context) => c.metrics.gauge({ name: 'Größe', help: 'x' }), 'in snake_case'],
  [
    'a label that is ours',
    (c: Context) => c.metrics.counter({ name: 'x_total', help: 'x', labels: ['stream'] }),
    'stream cannot be a label',
  ],
  [
    'a metric that is another one already',
    (c: Context) => {
      c.metrics.gauge({ name: 'x', help: 'x' });
      c.metrics.gauge({ name: 'x', help: 'another' });
    },
    'there is another metric of this name',
  ],
])('%s is refused', async (_, act, message) => {
  let thrown: unknown;
  const own = using((context) => {
    try {
      act(context);
    } catch (error) {
      thrown = error;
    }
  });
  await engineFor(
    `streams: [{ ${messages('a')}, pipeline: { processors: [{ type: using }] }, output: { type: drop } }]`,
    [own],
  ).run();
  expect(String(thrown)).toContain(message);
});

test('a secret that a component learns is masked from then on; for each component, the newest sixteen are', async () => {
  const logged: string[] = [];
  const own = using(({ secrets, logger }) => {
    for (let token = 0; token < 20; token++) secrets.add(`token-number-${token}-of-many`);
    logged.push(secrets.mask('x token-number-19-of-many'), secrets.mask('x token-number-0-of-many'));
    logger.warn({ stage: 'processor' }, 'told');
  });
  const engine = engineFor(
    `streams: [{ ${messages('a')}, pipeline: { processors: [{ type: using }] }, output: { type: drop } }]`,
    [own],
  );
  await engine.run();
  expect(logged).toEqual(['x ***', 'x token-number-0-of-many']);
});

/** An output over several others: each gets every message. */
const fanOut = defineOutput({
  ...meta,
  type: 'to_all',
  schema: (schemas) => z.strictObject({ outputs: z.array(schemas.output) }),
  create({ outputs }, context): Output {
    const parts = (outputs as ComponentConfig[]).map((config) => context.open('output', config));
    return {
      prepare: async () => {
        for (const part of parts) await part.prepare();
      },
      connect: (signal) => {
        for (const part of parts) part.start(signal);
        return Promise.resolve();
      },
      write: async (batch, call) => {
        await Promise.all(parts.map((part) => part.write(batch, call)));
      },
      notReady: () => parts.map((part) => part.notReady()).find((reason) => reason !== undefined),
      close: async (signal) => {
        await Promise.all(parts.map((part) => part.close(signal)));
      },
    };
  },
});

test('an output opens others, each with its own codec, reconnects and refusals', async () => {
  const written: Record<string, string[]> = { steady: [], shaky: [], dead: [] };
  let attempts = 0;
  let writes = 0;
  const steady = testOutput('steady', {
    write: (batch) => {
      written['steady']!.push(...textsOf(batch));
      return Promise.resolve();
    },
  });
  const shaky = testOutput('shaky', {
    backoff: { initial: 1, max: 1, attempts: Infinity },
    connect: () => (attempts++ === 0 ? Promise.reject(new Error('not yet')) : Promise.resolve()),
    write: (batch) => {
      if (writes++ === 0) return Promise.reject(new NotConnectedError('gone'));
      const texts = textsOf(batch);
      const bad = texts.indexOf('{"__value__":"bad"}');
      written['shaky']!.push(...texts.filter((_, index) => index !== bad));
      if (bad < 0) return Promise.resolve();
      const error = new MillraceError('MILLRACE_OUTPUT_REFUSED', 'too bad');
      return Promise.resolve({ refused: [{ index: bad, error }] });
    },
  });
  const dead = testOutput('dead', {
    write: (batch) => {
      written['dead']!.push(...textsOf(batch));
      return Promise.resolve();
    },
  });
  const engine = engineFor(
    `streams:
      - id: s
        ${messages('good', 'bad')}
        output:
          type: to_all
          outputs: [{ type: steady }, { type: shaky, codec: { type: json } }]
        error_output: { type: dead }`,
    [fanOut, steady, shaky, dead],
  );
  expect(await engine.prepare()).toEqual([]);
  expect(await engine.run()).toEqual({ failed: [], left: [] });
  expect(written['steady']).toEqual(['good', 'bad']);
  expect(written['shaky']).toEqual(['{"__value__":"good"}']);
  expect(written['dead']!.map((letter): unknown => JSON.parse(letter))).toMatchObject([
    { payload: 'bad', error: { code: 'MILLRACE_OUTPUT_REFUSED', stage: 'output', message: 'too bad' } },
  ]);
  expect(attempts).toBe(3);
});

test('a processor opens a codec', async () => {
  const checked = defineProcessor({
    ...meta,
    type: 'checked',
    schema: (schemas) => z.strictObject({ as: schemas.codec }),
    create({ as }, context) {
      const codec = context.open('codec', as as ComponentConfig);
      return { process: async (batch, { reject }) => [await codec.decode(batch, reject)] };
    },
  });
  const written: string[] = [];
  const kept = testOutput('kept', {
    write: (batch) => {
      written.push(...textsOf(batch));
      return Promise.resolve();
    },
  });
  const engine = engineFor(
    `streams: [{ ${messages('1', '{')}, pipeline: { processors: [{ type: checked, as: { type: json } }] }, output: { type: kept } }]`,
    [checked, kept],
  );
  await engine.run();
  expect(written).toEqual(['1']);
});

test('a line that a component logs names its stream and stage', async () => {
  const logged: Record<string, unknown>[] = [];
  const registry = new Registry([...components, using(({ logger }) => logger.info({ room: 7 }, 'hello'))]);
  const plan = parseConfig(
    `{ health_check: { enabled: false }, streams: [{ id: s, ${messages('a')}, pipeline: { processors: [{ type: using }] }, output: { type: drop } }] }`,
    { registry, env: {} },
  );
  const logger = pino(
    { base: null },
    { write: (line: string) => void logged.push(JSON.parse(line) as never) },
  );
  await new Engine(plan, { registry, logger, env: {} }).run();
  expect(logged.find(({ msg }) => msg === 'hello')).toMatchObject({
    stream: 's',
    stage: 'processor',
    room: 7,
  });
});

test('values that a component keeps beside the log are there at the next start, each component’s own; without a log it keeps none', async () => {
  const states = new Map<string, State | undefined>();
  const seen: string[] = [];
  const own = defineProcessor({
    ...meta,
    type: 'keeps',
    schema: z.strictObject({ name: z.string() }),
    create({ name }, { state }) {
      states.set(name, state);
      return {
        ordered: true,
        process: async (batch) => {
          const before = await state?.read('total');
          seen.push(`${name} ${before?.toString() ?? 'nothing'}`);
          await state?.write('total', String(Number(before ?? 0) + batch.length));
          return [batch];
        },
      };
    },
  });
  const run = (more: string) =>
    engineFor(
      `streams: [{ ${messages('1', '2')}, pipeline: { processors: [{ type: keeps, name: a }, { type: keeps, name: b }] }, output: { type: drop }, ${more} }]`,
      [own],
    ).run();
  const path = join(dir.path, 'log');
  await run(`durability: { path: ${path} }`);
  await run(`durability: { path: ${path} }`);
  expect(seen).toEqual(['a nothing', 'b nothing', 'a 2', 'b 2']);
  const first = states.get('a');
  expect(await first!.folder()).toBe(join(path, 'state', 'processor.keeps'));
  expect(statSync(join(path, 'state', 'processor.keeps', 'total')).mode & 0o777).toBe(0o600);
  await first!.remove('total');
  expect(await first!.read('total')).toBeUndefined();
  await expect(first!.write('../total', 'x')).rejects.toThrow('expected a name of letters');

  await run('id: s');
  expect([...states.values()]).toEqual([undefined, undefined]);
});

/** A processor around another, to which it passes everything. */
const around = defineProcessor({
  ...meta,
  type: 'around',
  schema: (schemas) => z.strictObject({ inner: schemas.processor }),
  create({ inner }, context) {
    const part = context.open('processor', inner as ComponentConfig);
    return {
      prepare: () => part.prepare(),
      connect: (signal) => {
        part.start(signal);
        return Promise.resolve();
      },
      process: (batch, { keep }) => part.process({ batch, receipt: keep() }),
      get flushAt() {
        return part.flushAt;
      },
      flush: () => part.flush(performance.now()),
      notReady: () => part.notReady(),
      close: (signal) => part.close(signal),
    };
  },
});

test('a processor opens another: rejections, errors and waits of the inner one are handled as if it stood alone', async () => {
  let away = true;
  const inner = defineProcessor({
    ...meta,
    type: 'inner',
    schema: z.strictObject({}),
    create: () => ({
      backoff: { initial: 1, max: 1, attempts: Infinity },
      connect: () => Promise.resolve(),
      process: (batch, { reject }) => {
        if (away) {
          away = false;
          throw new NotConnectedError('not there yet');
        }
        const texts = textsOf(batch);
        const bad = texts.indexOf('bad');
        if (bad >= 0)
          reject({ index: bad, error: new MillraceError('MILLRACE_PROCESSOR_FAILED', 'no good') });
        return [batch.without(bad < 0 ? [] : [bad])];
      },
    }),
  });
  const kept: Record<string, string[]> = { out: [], dead: [] };
  const into = (name: string) =>
    testOutput(name, {
      write: (batch) => {
        kept[name]!.push(...textsOf(batch));
        return Promise.resolve();
      },
    });
  const engine = engineFor(
    `streams:
      - id: s
        ${messages('a', 'bad', 'b')}
        pipeline: { processors: [{ type: around, inner: { type: inner } }] }
        output: { type: out }
        error_output: { type: dead }`,
    [around, inner, into('out'), into('dead')],
  );
  expect(await engine.prepare()).toEqual([]);
  expect(await engine.run()).toEqual({ failed: [], left: [] });
  expect(kept['out']).toEqual(['a', 'b']);
  expect(kept['dead']!.map((letter): unknown => JSON.parse(letter))).toMatchObject([
    { payload: 'bad', error: { code: 'MILLRACE_PROCESSOR_FAILED', stage: 'processor', message: 'no good' } },
  ]);
});

test('a mistake that only an inner processor can see has its place in the file', async () => {
  const engine = engineFor(
    `streams: [{ ${messages('a')}, pipeline: { processors: [{ type: around, inner: { type: sql, query: SELECT 1 + FROM flow } }] }, output: { type: drop } }]`,
    [around],
  );
  const [problem] = await engine.prepare();
  await engine.close();
  expect(problem!.path).toEqual(['streams', 0, 'pipeline', 'processors', 0, 'query']);
  expect(problem!.message).toMatch(/syntax error/i);
});

test('the metrics and secrets of a stream’s components go with it', async () => {
  const own = using(({ metrics, secrets, stream }) => {
    metrics.counter({ name: 'gone_total', help: 'x', labels: ['k'] }).add(1, { k: 'v' });
    metrics.histogram({ name: 'gone_seconds', help: 'x', buckets: [1] }).observe(2);
    secrets.add(`a secret of ${stream.id}`);
  });
  const stream = (id: string): string =>
    `{ id: ${id}, input: { type: generate, context: x, interval: 1ms }, pipeline: { processors: [{ type: using }] }, output: { type: drop } }`;
  const engine = engineFor(`streams: [${stream('stays')}, ${stream('goes')}]`, [own]);
  const end = engine.run();
  const series = async () =>
    (await lines(engine, 'millrace_using_gone')).filter((line) => line.includes('"goes"'));
  await until('the metrics', async () => (await series()).length === 5);
  expect(maskSecrets('a secret of goes, a secret of stays')).toBe('***, ***');
  await engine.remove('goes');
  expect(await series()).toEqual([]);
  expect(await lines(engine, 'millrace_using_gone_seconds_count')).toHaveLength(1);
  expect(maskSecrets('a secret of goes, a secret of stays')).toBe('a secret of goes, ***');
  engine.stop();
  await end;
});

test('the name of a component’s own metric is free when no stream uses it any more, and not before', async () => {
  const counting = (type: string, help: string) =>
    defineProcessor({
      ...meta,
      type,
      schema: z.strictObject({ count: z.boolean().describe('Whether it counts.') }),
      create({ count }, { metrics }) {
        const seen = metrics.counter({ name: 'seen_total', help, labels: ['k'] });
        return {
          process(batch) {
            if (count) seen.add(1, { k: 'v' });
            return [batch];
          },
        };
      },
    });
  const stream = (id: string, processor: string): string =>
    `{ id: ${id}, input: { type: generate, context: x, interval: 1ms }, pipeline: { processors: [${processor}] }, output: { type: drop } }`;
  const own = [counting('counting', 'As it was.')];
  const engine = engineFor(
    `streams: [${stream('first', '{ type: counting, count: true }')}, ${stream('second', '{ type: counting, count: false }')}, ${stream('other', '{ type: batch, count: 1 }')}]`,
    own,
  );
  const end = engine.run();
  const seen = async (id: string) =>
    (await lines(engine, 'millrace_counting_seen_total')).filter((line) => line.includes(`"${id}"`)).length;
  const name = async () => await lines(engine, '# HELP millrace_counting_seen_total');
  await until('the metric of the first', async () => (await seen('first')) === 1);
  await engine.remove('first');
  expect([await seen('first'), await name()]).toEqual([
    0,
    ['# HELP millrace_counting_seen_total As it was.'],
  ]);
  // It had the metric already, and no series of it.
  const again = planFor(`streams: [${stream('second', '{ type: counting, count: true }')}]`, own);
  expect(await engine.replace(again.plan.streams[0]!)).toEqual([]);
  await until('the metric of the second', async () => (await seen('second')) === 1);
  const without = planFor(`streams: [${stream('second', '{ type: batch, count: 1 }')}]`, own);
  expect(await engine.replace(without.plan.streams[0]!)).toEqual([]);
  expect(await name()).toEqual([]);
  engine.stop();
  await end;
});

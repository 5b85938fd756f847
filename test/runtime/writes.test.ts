import { setTimeout as delay } from 'node:timers/promises';
import * as fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import type { ComponentConfig } from '../../src/component/context.ts';
import type { Output, WriteCall, WriteResult } from '../../src/component/contracts.ts';
import { defineCodec, defineOutput, type AnyDefinition } from '../../src/component/define.ts';
import { messageId } from '../../src/component/message-id.ts';
import { EndOfInputError, MillraceError, NotConnectedError } from '../../src/errors.ts';
import { Batch } from '../../src/message/batch.ts';
import { createReceipt } from '../../src/message/receipt.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { until } from '../support/until.ts';
import { engineFor, metric, testInput, testOutput, textsOf } from './harness.ts';

const refusal = new MillraceError('MILLRACE_OUTPUT_REFUSED', 'never');
const backoff = { initial: 1, max: 2, attempts: Infinity };

/** An input of these batches, with the settled ones and their rejections. A text `k:1` has the key `k`. */
function batches(all: readonly (readonly string[])[]) {
  const settled = new Map<number, { readonly error: unknown; readonly rejected: readonly number[] }>();
  let next = 0;
  const definition = testInput('batches', {
    read: () => {
      const number = next++;
      const texts = all[number];
      if (texts === undefined) return Promise.reject(new EndOfInputError());
      const keys = texts.map((text) => (text.includes(':') ? text.slice(0, text.indexOf(':')) : undefined));
      const plain = new Batch(
        texts.map((text) => Buffer.from(text)),
        { positions: 'own' },
      );
      const batch = keys.every((key) => key === undefined) ? plain : plain.withMeta('key', keys);
      const receipt = createReceipt({
        settled: (error, rejected) =>
          settled.set(number, { error, rejected: rejected.map(({ index }) => index) }),
      });
      return Promise.resolve({ batch, receipt });
    },
  });
  return { definition, settled };
}

/** An output of the test's own, and each of its writes. */
function output(
  act: (texts: string[], call: WriteCall) => Promise<WriteResult | void>,
  more: Partial<Output> = {},
) {
  const writes: { readonly texts: string[]; readonly call: WriteCall }[] = [];
  const definition = testOutput('own', {
    backoff,
    ...more,
    write: async (batch, call) => {
      const texts = textsOf(batch);
      writes.push({ texts, call });
      return await act(texts, call);
    },
  });
  return { definition, writes };
}

function letters() {
  const payloads: string[] = [];
  const definition = testOutput('letters', {
    write: (batch) => {
      payloads.push(...textsOf(batch).map((letter) => (JSON.parse(letter) as { payload: string }).payload));
      return Promise.resolve();
    },
  });
  return { definition, payloads };
}

function run(own: readonly AnyDefinition[], more = ''): Engine {
  return engineFor(`streams: [{ id: s, input: { type: batches }, output: { type: own }${more} }]`, own);
}

const WITH_LETTERS = ', error_output: { type: letters }';

describe('a part of a batch', () => {
  test('only messages that failed for now are written again; refused ones are dead letters, and the rest is written once', async () => {
    const input = batches([['a', 'b', 'c', 'd', 'e'], ['f']]);
    const dead = letters();
    const out = output(
      (texts, { attempt }) =>
        Promise.resolve(
          texts.includes('a') && attempt === 1
            ? { retry: [1, 4], refused: [{ index: 2, error: refusal }] }
            : attempt === 2
              ? { refused: [{ index: 1, error: refusal }] }
              : {},
        ),
      { order: 'none' },
    );
    expect(await run([input.definition, out.definition, dead.definition], WITH_LETTERS).run()).toEqual({
      failed: [],
      left: [],
    });
    expect(out.writes.map(({ texts, call }) => [texts, call.attempt, call.indices])).toEqual([
      [['a', 'b', 'c', 'd', 'e'], 1, undefined],
      [['b', 'e'], 2, [1, 4]],
      [['f'], 1, undefined],
    ]);
    expect(dead.payloads).toEqual(['c', 'e']);
    expect(input.settled.get(0)).toEqual({ error: undefined, rejected: [2, 4] });
    expect(input.settled.get(1)).toEqual({ error: undefined, rejected: [] });
  });

  test('in the order of the stream, later messages are written again with a failed one, and the next batch waits', async () => {
    const input = batches([['a', 'b', 'c', 'd'], ['e']]);
    const out = output((texts, { attempt }) =>
      Promise.resolve(texts.includes('b') && attempt < 3 ? { retry: [texts.indexOf('b')] } : undefined),
    );
    await run([input.definition, out.definition]).run();
    expect(out.writes.map(({ texts }) => texts)).toEqual([
      ['a', 'b', 'c', 'd'],
      ['b', 'c', 'd'],
      ['b', 'c', 'd'],
      ['e'],
    ]);
  });

  test('in order by key, only later messages of its key are', async () => {
    const input = batches([['x:1', 'y:1', 'x:2', 'y:2', 'no key', 'x:3']]);
    const out = output(
      (_, { attempt }) =>
        Promise.resolve(attempt === 1 ? { retry: [2], refused: [{ index: 5, error: refusal }] } : {}),
      { order: 'key' },
    );
    await run([input.definition, out.definition]).run();
    expect(out.writes.map(({ texts }) => texts)).toEqual([
      ['x:1', 'y:1', 'x:2', 'y:2', 'no key', 'x:3'],
      ['x:2'],
    ]);
    const again = batches([['x:1', 'y:1', 'x:2', 'y:2', 'no key', 'x:3']]);
    const other = output((_, { attempt }) => Promise.resolve(attempt === 1 ? { retry: [0] } : {}), {
      order: 'key',
    });
    await run([again.definition, other.definition]).run();
    expect(other.writes[1]!.texts).toEqual(['x:1', 'x:2', 'x:3']);
  });

  test('its reason is in readiness and counted until the rest is written; an output without a connection connects first', async () => {
    const input = batches([['a', 'b']]);
    let busy = true;
    let connects = 0;
    const out = output(
      (_, { attempt }) =>
        Promise.resolve(
          attempt === 1
            ? { retry: [1], reason: new NotConnectedError('gone in the middle') }
            : busy
              ? { retry: [0], reason: new Error('one partition is away') }
              : undefined,
        ),
      {
        connect: () => {
          connects++;
          return Promise.resolve();
        },
      },
    );
    const engine = run([input.definition, out.definition]);
    const end = engine.run();
    await until('the reason', () =>
      engine
        .health()[0]!
        .reasons.some((reason) =>
          reason.startsWith('output own cannot write: one partition is away (since '),
        ),
    );
    expect(input.settled.size).toBe(0);
    busy = false;
    await end;
    expect(connects).toBe(2);
    expect(input.settled.size).toBe(1);
    expect(new Set(out.writes.slice(1).map(({ texts }) => texts.join()))).toEqual(new Set(['b']));
  });

  test('if messages are framed, all messages of a frame are written again', async () => {
    const input = batches([['1', '2', '3', '4', '5', '6', '7']]);
    const dead = letters();
    const out = output(
      (_, { attempt }) =>
        Promise.resolve(attempt === 1 ? { retry: [1, 3] } : { refused: [{ index: 1, error: refusal }] }),
      { order: 'none' },
    );
    const engine = engineFor(
      'streams: [{ input: { type: batches }, output: { type: own, framing: { type: json_array, max_messages: 2 } }, error_output: { type: letters } }]',
      [input.definition, out.definition, dead.definition],
    );
    await engine.run();
    expect(out.writes.map(({ texts }) => texts)).toEqual([
      ['[1,2]', '[3,4]', '[5,6]', '[7]'],
      ['[3,4]', '[7]'],
    ]);
    expect(dead.payloads).toEqual(['7']);
  });

  test('with limited attempts, progress starts the count again', async () => {
    const input = batches([['a', 'b', 'c', 'd', 'e', 'f']]);
    const out = output(
      (texts) => Promise.resolve(texts.length > 1 ? { retry: texts.slice(1).map((_, at) => at + 1) } : {}),
      { backoff: { initial: 1, max: 1, attempts: 2 } },
    );
    expect(await run([input.definition, out.definition]).run()).toEqual({ failed: [], left: [] });
    expect(out.writes.map(({ texts }) => texts.length)).toEqual([6, 5, 4, 3, 2, 1]);
    const stuck = output(() => Promise.resolve({ retry: [0] }), {
      backoff: { initial: 1, max: 1, attempts: 2 },
    });
    expect((await run([batches([['a']]).definition, stuck.definition]).run()).failed).toEqual(['s']);
    expect(stuck.writes).toHaveLength(2);
  });
});

/** Resolves each write under way when the test says so. */
function gates() {
  const open = new Map<string, PromiseWithResolvers<WriteResult | void>>();
  const hold = async (texts: readonly string[], { signal }: WriteCall): Promise<WriteResult | void> => {
    const name = texts.join();
    const gate = Promise.withResolvers<WriteResult | void>();
    const abort = (): void => gate.reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    open.set(name, gate);
    try {
      return await gate.promise;
    } finally {
      open.delete(name);
      signal.removeEventListener('abort', abort);
    }
  };
  return {
    hold,
    underWay: () => [...open.keys()],
    end: (name: string, result?: WriteResult) => open.get(name)!.resolve(result),
    fail: (name: string, error: unknown) => open.get(name)!.reject(error),
    /** Resolves when exactly these are under way. */
    async are(...names: string[]) {
      await until(names.join(' and '), () => [...open.keys()].toSorted().join(' ') === names.join(' '), {
        state: () => [...open.keys()].join(' '),
      });
    },
  };
}

describe('several writes at a time', () => {
  test('are as many as the output takes; each batch is confirmed when its own write is done, in any order', async () => {
    const input = batches([['a'], ['b'], ['c'], ['d'], ['e']]);
    const gate = gates();
    const out = output(gate.hold, { maxInFlight: 3, order: 'none' });
    const engine = run([input.definition, out.definition]);
    const end = engine.run();
    await gate.are('a', 'b', 'c');
    gate.end('b');
    await gate.are('a', 'c', 'd');
    expect([...input.settled.keys()]).toEqual([1]);
    expect(await metric(engine, 'millrace_output_messages_total', 'stream="s"')).toBe(1);
    expect(await metric(engine, 'millrace_latency_seconds_count', 'stream="s"')).toBe(1);
    gate.end('d');
    gate.end('a');
    await gate.are('c', 'e');
    expect([...input.settled.keys()]).toEqual([1, 3, 0]);
    gate.end('e');
    await gate.are('c');
    gate.end('c');
    expect(await end).toEqual({ failed: [], left: [] });
    expect([...input.settled.keys()]).toEqual([1, 3, 0, 4, 2]);
    expect(await metric(engine, 'millrace_output_batches_total', 'stream="s"')).toBe(5);
  });

  test('a failed one is repeated while others go on; the stream is not ready until it succeeds', async () => {
    const input = batches([['a'], ['b'], ['c']]);
    const gate = gates();
    const out = output(gate.hold, { maxInFlight: 2, order: 'none' });
    const engine = run([input.definition, out.definition]);
    const end = engine.run();
    await gate.are('a', 'b');
    gate.fail('a', new Error('full'));
    await until('the second attempt', () => out.writes.some(({ call }) => call.attempt === 2));
    gate.end('b');
    await gate.are('a', 'c');
    gate.end('c');
    await gate.are('a');
    expect(engine.health()[0]!.reasons[0]).toMatch(/^output own cannot write: full \(since /);
    gate.end('a');
    await end;
    expect([...input.settled.keys()]).toEqual([1, 2, 0]);
  });

  test('in the order of the stream, all writes under way end before a failed one is repeated, alone', async () => {
    const input = batches([['a'], ['b'], ['c'], ['d']]);
    const gate = gates();
    const out = output(gate.hold, { maxInFlight: 3 });
    const end = run([input.definition, out.definition]).run();
    await gate.are('a', 'b', 'c');
    gate.end('a');
    await gate.are('b', 'c', 'd');
    gate.fail('b', new NotConnectedError('gone'));
    await gate.are('c', 'd');
    gate.fail('d', new NotConnectedError('gone'));
    await gate.are('c');
    expect(out.writes.map(({ texts }) => texts.join())).toEqual(['a', 'b', 'c', 'd']);
    gate.fail('c', new NotConnectedError('gone'));
    await gate.are('b');
    gate.end('b');
    await gate.are('c');
    gate.end('c', { refused: [{ index: 0, error: refusal }] });
    await gate.are('d');
    gate.end('d');
    expect(await end).toEqual({ failed: [], left: [] });
    expect(out.writes.map(({ texts }) => texts.join())).toEqual(['a', 'b', 'c', 'd', 'b', 'c', 'd']);
    expect([...input.settled.keys()]).toEqual([0, 1, 2, 3]);
  });

  test('several that lose one connection connect once, and several failures at once count as one', async () => {
    const names = ['a', 'b', 'c', 'd'];
    const input = batches(names.map((name) => [name]));
    let connects = 0;
    let failures: 'connection' | 'other' | undefined = 'connection';
    const together = gates();
    const out = output(
      async (texts, call) => {
        if (failures !== undefined) await together.hold(texts, call);
      },
      {
        maxInFlight: 4,
        order: 'none',
        backoff: { initial: 1, max: 1, attempts: 3 },
        connect: () => {
          connects++;
          return Promise.resolve();
        },
      },
    );
    const engine = run([input.definition, out.definition]);
    const end = engine.run();
    await together.are(...names);
    for (const name of names) together.fail(name, new NotConnectedError('gone'));
    await until('the second attempts', () => out.writes.length === 8);
    await together.are(...names);
    expect(connects).toBe(2);
    for (const name of names) together.fail(name, new Error('busy'));
    await until('the third attempts', () => out.writes.length === 12);
    await together.are(...names);
    failures = undefined;
    for (const name of names) together.end(name);
    expect(await end).toEqual({ failed: [], left: [] });
    expect(connects).toBe(2);
    expect(await metric(engine, 'millrace_reconnects_total', 'stream="s",stage="output"')).toBe(1);
  });

  test('a stream that drains waits for all of them; abort ends all, and nothing is confirmed', async () => {
    for (const aborts of [false, true]) {
      const input = batches([['a'], ['b']]);
      const gate = gates();
      const out = output(gate.hold, { maxInFlight: 4, order: 'none' });
      const engine = run([input.definition, out.definition]);
      const end = engine.run();
      await gate.are('a', 'b');
      engine.stop();
      if (aborts) {
        engine.abort();
        expect((await end).failed).toEqual(['s']);
        expect([...input.settled.values()].map(({ error }) => (error as MillraceError).code)).toEqual([
          'MILLRACE_SHUTDOWN_INCOMPLETE',
          'MILLRACE_SHUTDOWN_INCOMPLETE',
        ]);
      } else {
        gate.end('b');
        await gate.are('a');
        gate.end('a');
        expect(await end).toEqual({ failed: [], left: [] });
        expect([...input.settled.keys()]).toEqual([1, 0]);
      }
      expect(gate.underWay()).toEqual([]);
    }
  });

  test('a fatal error of one fails the stream and ends the others', async () => {
    const input = batches([['a'], ['b']]);
    const gate = gates();
    const out = output(gate.hold, { maxInFlight: 2, order: 'none' });
    const end = run([input.definition, out.definition]).run();
    await gate.are('a', 'b');
    gate.fail('b', new MillraceError('MILLRACE_UNEXPECTED', 'the table is gone', { fatal: true }));
    expect((await end).failed).toEqual(['s']);
    expect([...input.settled.values()].map(({ error }) => (error as Error).message)).toEqual([
      'the table is gone',
      'the table is gone',
    ]);
  });

  test('one that has taken more than ten seconds is in readiness, whatever younger ones do', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const input = batches([['a'], ['b'], ['c']]);
      const gate = gates();
      const out = output(gate.hold, { maxInFlight: 2, order: 'none' });
      const engine = run([input.definition, out.definition]);
      const end = engine.run();
      await gate.are('a', 'b');
      gate.end('b');
      await gate.are('a', 'c');
      vi.advanceTimersByTime(11_000);
      expect(engine.health()[0]!.reasons[0]).toMatch(/^output own has not confirmed what it was given/);
      gate.end('a');
      gate.end('c');
      await end;
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('order by key', () => {
  test('batches that share a key are never written at the same time, and each key keeps its order, however writes end', async () => {
    const text = fc
      .record({ key: fc.constantFrom('a', 'b', 'c', 'd', undefined), length: fc.nat(3) })
      .map(({ key, length }) => (key === undefined ? `${length}` : `${key}:${length}`));
    const shape = fc.array(fc.array(text, { minLength: 1, maxLength: 4 }), { maxLength: 12 });
    const fates = fc.infiniteStream(
      fc.record({
        fate: fc.constantFrom('ok', 'ok', 'throw', 'retry', 'lost'),
        turns: fc.nat(6),
        at: fc.nat(3),
      }),
    );
    let overlapped = 0;
    await fc.assert(
      fc.asyncProperty(shape, fates, async (shapes, stream) => {
        let count = 0;
        const all = shapes.map((texts) => texts.map((each) => `${each}.${count++}`));
        const keyOf = (each: string): string => (each.includes(':') ? each.slice(0, each.indexOf(':')) : '');
        const written: string[] = [];
        const busy = new Map<string, number>();
        const together = new Set<string>();
        let most = 0;
        const out = output(
          async (texts) => {
            const { fate, turns, at } = stream.next().value;
            const keys = new Set(texts.map(keyOf));
            for (const key of keys) {
              if (busy.has(key)) together.add(key);
              busy.set(key, 1);
            }
            most = Math.max(
              most,
              [...busy.values()].reduce((sum, each) => sum + each, 0),
            );
            overlapped = Math.max(overlapped, most);
            for (let turn = 0; turn < turns; turn++) await delay(0);
            for (const key of keys) busy.delete(key);
            if (fate === 'throw') throw new Error('for now');
            if (fate === 'lost') throw new NotConnectedError('gone');
            const failed = fate === 'retry' ? Math.min(at, texts.length - 1) : undefined;
            written.push(...texts.filter((_, index) => index !== failed));
            return failed === undefined ? undefined : { retry: [failed] };
          },
          { maxInFlight: 4, order: 'key' },
        );
        const input = batches(all);
        expect(await run([input.definition, out.definition]).run()).toEqual({ failed: [], left: [] });
        // A message that came twice counts where it came last: before that, it was there once, and came again.
        const last = [...new Set(written.toReversed())].toReversed();
        for (const key of ['a', 'b', 'c', 'd', '']) {
          const of = (texts: readonly string[]): string[] => texts.filter((each) => keyOf(each) === key);
          expect(of(last)).toEqual(of(all.flat()));
        }
        expect([...together]).toEqual([]);
        expect(input.settled.size).toBe(all.length);
      }),
      { numRuns: 60 },
    );
    expect(overlapped).toBeGreaterThan(1);
  });

  test('without keys, batches are written one after the other', async () => {
    const input = batches([['1'], ['2'], ['3']]);
    const gate = gates();
    const out = output(gate.hold, { maxInFlight: 4, order: 'key' });
    const end = run([input.definition, out.definition]).run();
    for (const text of ['1', '2', '3']) {
      await gate.are(text);
      gate.end(text);
    }
    await end;
  });
});

const about = { summary: 'For tests.', status: 'stable', examples: [] } as const;

/** An output around another one, of whose first batch it wants these to come again. */
const around = (retry: readonly number[]): AnyDefinition =>
  defineOutput({
    ...about,
    type: 'own',
    schema: (schemas) => z.strictObject({ inner: schemas.output }),
    create(config, context): Output {
      const part = context.open('output', config.inner as ComponentConfig);
      let writes = 0;
      return {
        backoff,
        order: 'none',
        connect: (signal) => Promise.resolve(part.start(signal)),
        async write(batch, call) {
          await part.write(batch, call);
          return writes++ === 0 ? { retry } : undefined;
        },
        close: (signal) => part.close(signal),
      };
    },
  });

test('a message has one name at each attempt, also where an inner output’s codec drops some and makes several of others', async () => {
  /** `a3` becomes three messages, `a0` none. */
  const times = defineCodec({
    ...about,
    type: 'times',
    schema: z.strictObject({}),
    create: () => ({
      decode: (batch) => batch,
      encode: (batch) => batch.expand(textsOf(batch).map((text) => Number(text[1]))),
    }),
  });
  const names: string[][] = [];
  const inner = testOutput('inner', {
    backoff,
    order: 'none',
    write(batch, call) {
      names.push(textsOf(batch).map((text, index) => `${text} ${messageId(call, index).split('/')[1]}`));
      // Of the first attempts, one each is to come again.
      return Promise.resolve(call.attempt === 1 ? { retry: [batch.length - 1] } : undefined);
    },
  });
  const own = around([2, 3]);
  const input = batches([['a1', 'b0', 'c3', 'd2']]);
  const engine = engineFor(
    'streams: [{ id: s, input: { type: batches }, output: { type: own, inner: { type: inner, codec: { type: times } } } }]',
    [input.definition, own, inner, times],
  );
  await engine.run();
  expect(names).toEqual([
    ['a1 0', 'c3 2', 'c3 2.1', 'c3 2.2', 'd2 3', 'd2 3.1'],
    ['d2 3.1'],
    ['c3 2', 'c3 2.1', 'c3 2.2', 'd2 3', 'd2 3.1'],
    ['d2 3.1'],
  ]);
  expect(input.settled.get(0)).toEqual({ error: undefined, rejected: [] });
});

test('frames of a part of a batch have other names than those of the whole, which have other messages', async () => {
  const ids = new Map<string, string>();
  const inner = testOutput('inner', {
    write(batch, call) {
      for (const [index, text] of textsOf(batch).entries()) {
        const id = messageId(call, index);
        expect(ids.get(id) ?? text).toBe(text);
        ids.set(id, text);
      }
      return Promise.resolve();
    },
  });
  const own = around([1, 3]);
  await engineFor(
    'streams: [{ id: s, input: { type: batches }, output: { type: own, inner: { type: inner, framing: { type: json_array, max_messages: 2 } } } }]',
    [batches([['1', '2', '3', '4']]).definition, own, inner],
  ).run();
  expect([...ids.values()].toSorted()).toEqual(['[1,2]', '[2,4]', '[3,4]']);
});

import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { EndOfInputError, MillraceError, NotConnectedError } from '../../src/errors.ts';
import type { Batch } from '../../src/message/batch.ts';
import type { Delivery } from '../../src/message/delivery.ts';
import {
  collecting,
  engineFor,
  metric,
  numbers,
  settling,
  testInput,
  testOutput,
  testProcessor,
  textsOf,
} from './harness.ts';

const inOrder = (count: number): string[] => Array.from({ length: count }, (_, number) => String(number));

describe('order', () => {
  test('outputs write in input order, whatever thread_num is and however long each batch takes', async () => {
    const input = numbers(60);
    const output = collecting();
    let running = 0;
    let most = 0;
    const slow = testProcessor('slow', {
      process: async (batch) => {
        most = Math.max(most, ++running);
        await delay((Number(textsOf(batch)[0]) % 7) * 2);
        running--;
        return [batch];
      },
    });
    const engine = engineFor(
      'streams: [{ input: { type: numbers }, pipeline: { thread_num: 6, processors: [{ type: slow }] }, output: { type: collect } }]',
      [input.definition, output.definition, slow],
    );
    expect(await engine.run()).toEqual({ failed: [], left: [] });
    expect(output.texts).toEqual(inOrder(60));
    expect(most).toBe(6);
  });

  test('a processor that keeps messages sees them in input order behind one that takes its time', async () => {
    const input = numbers(40);
    const written: string[][] = [];
    const output = testOutput('collect', {
      write: (batch) => {
        written.push(textsOf(batch));
        return Promise.resolve();
      },
    });
    const slow = testProcessor('slow', {
      process: async (batch) => {
        await delay((Number(textsOf(batch)[0]) % 5) * 3);
        return [batch];
      },
    });
    const engine = engineFor(
      'streams: [{ input: { type: numbers }, pipeline: { thread_num: 5, processors: [{ type: slow }, { type: batch, count: 7 }] }, output: { type: collect } }]',
      [input.definition, output, slow],
    );
    await engine.run();
    expect(written.flat()).toEqual(inOrder(40));
    expect(written.map((batch) => batch.length)).toEqual([7, 7, 7, 7, 7, 5]);
    expect([...input.settled.values()]).toEqual(Array.from({ length: 40 }));
  });
});

describe('acks', () => {
  test('an input batch is acknowledged once everything made of it is written, and not before', async () => {
    const settled = vi.fn();
    let given = false;
    const input = testInput('one', {
      read: () => {
        if (given) return Promise.reject(new EndOfInputError());
        given = true;
        return Promise.resolve(settling(['a', 'b', 'c'], settled));
      },
    });
    const seen: [string[], number][] = [];
    const output = testOutput('collect', {
      write: (batch) => {
        seen.push([textsOf(batch), settled.mock.calls.length]);
        return Promise.resolve();
      },
    });
    const split = testProcessor('split', {
      process: (batch) => Array.from(batch.payloads.keys(), (index) => batch.select([index])),
    });
    const engine = engineFor(
      'streams: [{ input: { type: one }, pipeline: { processors: [{ type: split }] }, output: { type: collect } }]',
      [input, output, split],
    );
    await engine.run();
    expect(seen).toEqual([
      [['a'], 0],
      [['b'], 0],
      [['c'], 0],
    ]);
    expect(settled.mock.calls).toEqual([[undefined]]);
  });

  test('messages that a processor drops on purpose are acknowledged', async () => {
    const input = numbers(5);
    const drop = testProcessor('none', { process: () => [] });
    const engine = engineFor(
      'streams: [{ input: { type: numbers }, pipeline: { processors: [{ type: none }] }, output: { type: drop } }]',
      [input.definition, drop],
    );
    await engine.run();
    expect([...input.settled.entries()]).toEqual([0, 1, 2, 3, 4].map((number) => [number, undefined]));
  });

  test('an output that fails is retried until it has everything, in order, while the input stops reading', async () => {
    const input = numbers(500);
    const texts: string[] = [];
    let failures = 6;
    let readWhileFailing = 0;
    const output = testOutput('flaky', {
      backoff: { initial: 1, max: 2, attempts: Infinity },
      write: (batch) => {
        if (failures > 0) {
          failures--;
          readWhileFailing = input.read();
          return Promise.reject(new Error('disk on fire'));
        }
        texts.push(...textsOf(batch));
        return Promise.resolve();
      },
    });
    const engine = engineFor(
      'streams: [{ input: { type: numbers }, output: { type: flaky }, in_flight: { messages: 10 } }]',
      [input.definition, output],
    );
    await engine.run();
    expect(texts).toEqual(inOrder(500));
    expect(readWhileFailing).toBeLessThanOrEqual(10);
    expect(
      await metric(
        engine,
        'millrace_errors_total',
        'stream="stream-0",stage="output",code="MILLRACE_UNEXPECTED"',
      ),
    ).toBe(6);
    expect(await metric(engine, 'millrace_output_messages_total', 'stream="stream-0"')).toBe(500);
    expect(await metric(engine, 'millrace_latency_seconds_count', 'stream="stream-0"')).toBe(500);
  });
});

describe('rejected messages', () => {
  /** The dead letters of a stream that reads 0..5 and has an error output. */
  async function deadLetters(processors: string, own: Parameters<typeof engineFor>[1]) {
    const input = numbers(6);
    const output = collecting();
    const letters: { payload: string; error: Record<string, unknown>; acked: boolean }[] = [];
    const errorOutput = testOutput('letters', {
      write: (batch: Batch) => {
        for (const text of textsOf(batch)) {
          const letter = JSON.parse(text) as { payload: string; error: Record<string, unknown> };
          letters.push({ ...letter, acked: input.settled.has(Number(letter.payload)) });
        }
        return Promise.resolve();
      },
    });
    const engine = engineFor(
      `streams: [{ input: { type: numbers }, pipeline: { processors: [${processors}] }, output: { type: collect }, error_output: { type: letters } }]`,
      [input.definition, output.definition, errorOutput, ...(own ?? [])],
    );
    await engine.run();
    return { input, output, letters, engine };
  }

  test('go to error_output, their neighbours go on, and neither is acknowledged before it is written', async () => {
    const picky = testProcessor('picky', {
      process: (batch, { reject }) => {
        if (Number(textsOf(batch)[0]) % 2 === 0) return [batch];
        reject({ index: 0, error: new MillraceError('MILLRACE_PROCESSOR_FAILED', 'odd'), field: 'n' });
        return [];
      },
    });
    const { output, letters, input, engine } = await deadLetters('{ type: picky }', [picky]);
    expect(output.texts).toEqual(['0', '2', '4']);
    expect(letters.map(({ payload, acked }) => [payload, acked])).toEqual([
      ['1', false],
      ['3', false],
      ['5', false],
    ]);
    expect(letters[0]?.error).toMatchObject({
      code: 'MILLRACE_PROCESSOR_FAILED',
      stage: 'processor',
      message: 'odd',
      field: 'n',
    });
    expect([...input.settled.keys()].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5]);
    const labels = 'stream="stream-0",stage="processor",code="MILLRACE_PROCESSOR_FAILED"';
    expect(await metric(engine, 'millrace_dead_letters_total', labels)).toBe(3);
  });

  test('are the whole batch when a processor throws', async () => {
    const broken = testProcessor('broken', {
      process: (batch) => {
        if (textsOf(batch)[0] === '2') throw new Error('cannot');
        return [batch];
      },
    });
    const { output, letters, input } = await deadLetters('{ type: broken }', [broken]);
    expect(output.texts).toEqual(['0', '1', '3', '4', '5']);
    expect(letters.map(({ payload, error }) => [payload, error['message']])).toEqual([
      ['2', 'broken: cannot'],
    ]);
    expect(input.settled.size).toBe(6);
  });

  test('include those that the output refuses for good; the rest of their batch is not sent again', async () => {
    const letters: string[] = [];
    const writes: string[][] = [];
    let given = false;
    const settled = vi.fn();
    const engine = engineFor(
      'streams: [{ input: { type: three }, output: { type: strict }, error_output: { type: letters } }]',
      [
        testInput('three', {
          read: () => {
            if (given) return Promise.reject(new EndOfInputError());
            given = true;
            return Promise.resolve(settling(['a', 'b', 'c'], settled));
          },
        }),
        testOutput('strict', {
          write: (batch) => {
            writes.push(textsOf(batch));
            const error = new MillraceError('MILLRACE_OUTPUT_REFUSED', 'constraint');
            return Promise.resolve({ refused: [{ index: 1, error }] });
          },
        }),
        testOutput('letters', {
          write: (batch) => {
            letters.push(...textsOf(batch));
            return Promise.resolve();
          },
        }),
      ],
    );
    await engine.run();
    expect(writes).toEqual([['a', 'b', 'c']]);
    expect(letters.map((letter) => (JSON.parse(letter) as { payload: string }).payload)).toEqual(['b']);
    expect(settled.mock.calls).toEqual([[undefined]]);
  });
});

describe('failure', () => {
  test('a stream that fails for good leaves the others alone, and the outcome names it', async () => {
    const input = numbers(20);
    const output = collecting();
    const dead = testInput('dead', {
      backoff: { initial: 1, max: 1, attempts: 3 },
      connect: () => Promise.reject(new NotConnectedError('nobody home')),
      read: () => Promise.reject(new Error('unreachable')),
    });
    const engine = engineFor(
      'streams: [{ id: bad, input: { type: dead }, output: { type: drop } }, { id: good, input: { type: numbers }, output: { type: collect } }]',
      [input.definition, output.definition, dead],
    );
    expect(await engine.run()).toEqual({ failed: ['bad'], left: [] });
    expect(output.texts).toEqual(inOrder(20));
    expect(engine.health().map(({ id, state, ready }) => [id, state, ready])).toEqual([
      ['bad', 'failed', false],
      ['good', 'ended', true],
    ]);
    expect(await metric(engine, 'millrace_reconnects_total', 'stream="bad",stage="input"')).toBe(2);
  });

  test('an input that loses its connection is connected again and goes on', async () => {
    let connects = 0;
    const batches: (Delivery | Error)[] = [
      settling(['a'], () => {}),
      new NotConnectedError('cut'),
      settling(['b'], () => {}),
      new EndOfInputError(),
    ];
    const output = collecting();
    const input = testInput('flaky', {
      backoff: { initial: 1, max: 1, attempts: Infinity },
      connect: () => {
        connects++;
        return Promise.resolve();
      },
      read: () => {
        const next = batches.shift()!;
        return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
      },
    });
    const engine = engineFor('streams: [{ input: { type: flaky }, output: { type: collect } }]', [
      input,
      output.definition,
    ]);
    expect(await engine.run()).toEqual({ failed: [], left: [] });
    expect(output.texts).toEqual(['a', 'b']);
    expect(connects).toBe(2);
  });
});

describe('stop', () => {
  /** An input that gives one batch and then waits for ever. */
  const waiting = (texts: readonly string[], settled: (error?: unknown) => void) => {
    let given = false;
    return testInput('waiting', {
      read: (signal) => {
        if (!given) {
          given = true;
          return Promise.resolve(settling(texts, settled));
        }
        return new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error));
        });
      },
    });
  };

  test('flushes the messages of a window and of a batch processor, and acknowledges them', async () => {
    const settled = vi.fn();
    const output = collecting();
    const engine = engineFor(
      'streams: [{ input: { type: waiting }, buffer: { type: tumbling_window, interval: 1h }, pipeline: { processors: [{ type: batch, count: 100, timeout_ms: 3600000 }] }, output: { type: collect } }]',
      [waiting(['a', 'b'], settled), output.definition],
    );
    const ended = engine.run();
    await vi.waitFor(async () => {
      expect(await metric(engine, 'millrace_input_messages_total', 'stream="stream-0"')).toBe(2);
    });
    expect(output.texts).toEqual([]);
    engine.stop();
    expect(await ended).toEqual({ failed: [], left: [] });
    expect(output.texts).toEqual(['a', 'b']);
    expect(settled.mock.calls).toEqual([[undefined]]);
  });

  test('waits for a failing output; abort ends the wait and reports the rest', async () => {
    const settled = vi.fn();
    let writes = 0;
    const stuck = testOutput('stuck', {
      backoff: { initial: 1, max: 5, attempts: Infinity },
      write: () => {
        writes++;
        return Promise.reject(new Error('full'));
      },
    });
    const engine = engineFor('streams: [{ input: { type: waiting }, output: { type: stuck } }]', [
      waiting(['a', 'b', 'c'], settled),
      stuck,
    ]);
    const ended = engine.run();
    await vi.waitFor(() => expect(writes).toBeGreaterThan(1));
    engine.stop();
    const before = writes;
    await vi.waitFor(() => expect(writes).toBeGreaterThan(before + 1));
    expect(settled).not.toHaveBeenCalled();
    engine.abort();
    expect(await ended).toEqual({ failed: ['stream-0'], left: ['stream-0: 3 messages not confirmed'] });
    expect(settled.mock.calls).toEqual([[expect.objectContaining({ code: 'MILLRACE_SHUTDOWN_INCOMPLETE' })]]);
  });

  test('readiness names what is missing until everything is connected, and while it drains', async () => {
    let open = (): void => {};
    const output = testOutput('late', {
      connect: () =>
        new Promise((resolve) => {
          open = resolve;
        }),
      write: () => Promise.resolve(),
    });
    const engine = engineFor('streams: [{ id: s, input: { type: waiting }, output: { type: late } }]', [
      waiting(['a'], () => {}),
      output,
    ]);
    const ended = engine.run();
    await vi.waitFor(() => expect(engine.health()[0]?.reasons).toEqual(['output late is not connected']));
    open();
    await vi.waitFor(() => expect(engine.health()[0]).toMatchObject({ ready: true, state: 'running' }));
    expect(engine.health()[0]?.last_message_age_seconds).toBeLessThan(10);
    engine.stop();
    expect(engine.health()[0]).toMatchObject({ ready: false, reasons: ['the stream is draining'] });
    await ended;
  });
});

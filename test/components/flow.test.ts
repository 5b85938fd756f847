import { describe, expect, test } from 'vitest';
import { EndOfInputError } from '../../src/errors.ts';
import { engineFor, settling, testInput, testOutput, textsOf } from '../runtime/harness.ts';

/** An output that keeps its batches, each with its time of arrival. */
function collecting() {
  const batches: { texts: string[]; at: number }[] = [];
  const definition = testOutput('collect', {
    write: (batch) => {
      batches.push({ texts: textsOf(batch), at: Date.now() });
      return Promise.resolve();
    },
  });
  return { definition, batches, lengths: () => batches.map(({ texts }) => texts.length) };
}

/** An input of one-message batches that then waits, or ends. */
function counting(count: number, end: boolean) {
  let next = 0;
  return testInput('counting', {
    read: (signal) => {
      if (next < count) return Promise.resolve(settling([String(next++)], () => {}));
      if (end) return Promise.reject(new EndOfInputError());
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    },
  });
}

async function runUntil(
  yaml: string,
  own: Parameters<typeof engineFor>[1],
  done: () => boolean,
): Promise<void> {
  const engine = engineFor(yaml, own);
  const ended = engine.run();
  await expect.poll(done, { timeout: 10_000 }).toBe(true);
  engine.stop();
  await ended;
}

describe('generate input', () => {
  test('makes batch_size messages an interval, count in all, then ends', async () => {
    const output = collecting();
    const engine = engineFor(
      'streams: [{ input: { type: generate, context: "x", interval: 20ms, batch_size: 4, count: 10 }, output: { type: collect } }]',
      [output.definition],
    );
    await engine.run();
    expect(output.lengths()).toEqual([4, 4, 2]);
    expect(output.batches.flatMap(({ texts }) => texts)).toEqual(Array.from({ length: 10 }, () => 'x'));
  });

  test('waits for the interval, and stops at once', async () => {
    const output = collecting();
    await runUntil(
      'streams: [{ input: { type: generate, context: "x", interval: 1h }, output: { type: collect } }]',
      [output.definition],
      () => output.batches.length === 1,
    );
    expect(output.lengths()).toEqual([1]);
  });
});

describe('memory buffer', () => {
  test('passes on `capacity` messages as one batch, and the rest at the end', async () => {
    const output = collecting();
    await engineFor(
      'streams: [{ input: { type: counting }, buffer: { type: memory, capacity: 4, timeout: 1h }, output: { type: collect } }]',
      [counting(10, true), output.definition],
    ).run();
    expect(output.lengths()).toEqual([4, 4, 2]);
    expect(output.batches.flatMap(({ texts }) => texts)).toEqual(
      Array.from({ length: 10 }, (_, index) => String(index)),
    );
  });

  test('passes on fewer after its timeout', async () => {
    const output = collecting();
    await runUntil(
      'streams: [{ input: { type: counting }, buffer: { type: memory, capacity: 100, timeout: 20ms }, output: { type: collect } }]',
      [counting(3, false), output.definition],
      () => output.batches.length === 1,
    );
    expect(output.lengths()).toEqual([3]);
  });

  test('passes on everything when its state is full', async () => {
    const output = collecting();
    await runUntil(
      'streams: [{ input: { type: counting }, buffer: { type: memory, capacity: 1000, timeout: 1h }, output: { type: collect }, state: { memory: 1 } }]',
      [counting(5, false), output.definition],
      () => output.batches.flatMap(({ texts }) => texts).length === 5,
    );
    expect(output.batches.flatMap(({ texts }) => texts)).toEqual(['0', '1', '2', '3', '4']);
  });
});

describe('tumbling_window buffer', () => {
  test('a window ends at a whole multiple of its interval, and has the messages that arrived before', async () => {
    const windows: number[][] = [];
    const output = testOutput('collect', {
      write: (batch) => {
        const times = Array.from({ length: batch.length }, (_, index) => batch.metadata(index).ingestTime);
        windows.push(times.map((time) => Math.floor(time / 100_000)));
        return Promise.resolve();
      },
    });
    await runUntil(
      'streams: [{ input: { type: generate, context: "x", interval: 7ms }, buffer: { type: tumbling_window, interval: 100ms }, output: { type: collect } }]',
      [output],
      // A busy machine may leave the input no time for a second message.
      () => windows.length >= 4 && windows.slice(1).filter((window) => window.length > 1).length >= 3,
    );
    for (const window of windows) expect(new Set(window).size).toBe(1);
    const firsts = windows.map((window) => window[0]);
    expect(firsts).toEqual([...new Set(firsts)].toSorted((a, b) => a! - b!));
  });

  test('an empty window gives nothing', async () => {
    const output = collecting();
    await runUntil(
      'streams: [{ input: { type: counting }, buffer: { type: tumbling_window, interval: 10ms }, output: { type: collect } }]',
      [counting(2, false), output.definition],
      () => output.batches.length > 0 && Date.now() - output.batches[0]!.at > 60,
    );
    expect(output.batches.flatMap(({ texts }) => texts)).toEqual(['0', '1']);
    expect(output.lengths().every((length) => length > 0)).toBe(true);
  });
});

describe('batch processor', () => {
  test('a batch goes on with fewer messages once it is timeout_ms old', async () => {
    const output = collecting();
    await runUntil(
      'streams: [{ input: { type: counting }, pipeline: { processors: [{ type: batch, count: 4, timeout_ms: 20 }] }, output: { type: collect } }]',
      [counting(6, false), output.definition],
      () => output.lengths().reduce((sum, length) => sum + length, 0) === 6,
    );
    expect(output.lengths()).toEqual([4, 2]);
  });
});

describe('multiple_inputs input', () => {
  test('reads all, tells them apart by name, and ends when all have ended', async () => {
    const seen: [string, string][] = [];
    const output = testOutput('collect', {
      write: (batch) => {
        for (const [index, text] of textsOf(batch).entries()) seen.push([batch.metadata(index).source, text]);
        return Promise.resolve();
      },
    });
    const engine = engineFor(
      `streams:
         - input:
             type: multiple_inputs
             inputs:
               - { type: memory, name: a, messages: ["1", "{"], codec: { type: json } }
               - { type: memory, name: b, messages: ["{"] }
               - { type: generate, context: "g", interval: 1ms, count: 3 }
           output: { type: collect }`,
      [output],
    );
    expect(await engine.run()).toEqual({ failed: [], left: [] });
    expect(seen.toSorted(([a], [b]) => a.localeCompare(b))).toEqual([
      ['a', '1'],
      ['b', '{'],
      ['generate', 'g'],
      ['generate', 'g'],
      ['generate', 'g'],
    ]);
    const text = await engine.metrics.registry.metrics();
    expect(text).toContain('millrace_input_messages_total{stream="stream-0"} 6');
  });

  test('its name is used for those of its inputs that have none', async () => {
    const sources: string[] = [];
    const output = testOutput('collect', {
      write: (batch) => {
        sources.push(batch.metadata(0).source);
        return Promise.resolve();
      },
    });
    await engineFor(
      `streams:
         - input:
             type: multiple_inputs
             name: both
             inputs:
               - { type: memory, messages: ["1"] }
               - { type: memory, name: own, messages: ["2"] }
           output: { type: collect }`,
      [output],
    ).run();
    expect(sources.toSorted((a, b) => a.localeCompare(b))).toEqual(['both', 'own']);
  });

  test('an input that fails for good fails the stream', async () => {
    const engine = engineFor(
      'streams: [{ id: s, input: { type: multiple_inputs, inputs: [{ type: file, path: /nonexistent/file }, { type: generate, context: g }] }, output: { type: drop } }]',
    );
    expect((await engine.run()).failed).toEqual(['s']);
  });
});

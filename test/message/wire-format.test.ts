import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import * as fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { Batch, type Run } from '../../src/message/batch.ts';
import { NO_OFFSET, type ExtValue } from '../../src/message/metadata.ts';
import type { Rows } from '../../src/message/rows.ts';
import { fromWire, toWire } from '../../src/message/wire-format.ts';
import { until } from '../support/until.ts';

/** Everything visible of a batch. */
function seen(batch: Batch) {
  const { format, length, runs, lines } = batch;
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  return {
    format,
    length,
    lines: lines && text(lines),
    runs: runs.map(({ start, time, origin }) => ({ start, time, origin: { size: undefined, ...origin } })),
    messages: Array.from({ length }, (_, index) => ({
      ...batch.metadata(index),
      position: batch.positionAt(index),
      payload: text(batch.payloads[index]!),
      sent: text(batch.sent[index]!),
    })),
  };
}

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 5 }),
  fc.constantFrom('__proto__', 'é\0\n', ''),
);
const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
const value: fc.Arbitrary<ExtValue> = fc.oneof(text, number, fc.array(text, { maxLength: 3 }));
const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });

const origin = fc.record(
  {
    source: text,
    ext: fc
      .array(fc.tuple(text, value), { maxLength: 3 })
      .map((entries) => Object.fromEntries(entries) as Record<string, ExtValue>),
    size: fc.nat(1000),
  },
  { requiredKeys: ['source', 'ext'] },
);

const run = fc.record({
  origin,
  time: fc.maxSafeNat(),
  sequence: optional(fc.nat(1_000_000)),
  messageType: fc.constantFrom('text' as const, 'binary' as const, undefined),
  payloads: fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 5 }),
});

const anyBatch = fc
  .record({
    parts: fc.array(run, { maxLength: 4 }),
    format: fc.constantFrom('bytes' as const, 'text' as const, 'json' as const),
    asLines: fc.boolean(),
    positions: fc.constantFrom('own' as const, undefined),
    values: fc.infiniteStream(
      fc.record({ key: text, room: value, at: number, offset: fc.bigInt(NO_OFFSET, 9n) }),
    ),
    columns: fc.subarray(['key', 'partition', 'offset', 'event_time', 'room'] as const),
    counts: optional(fc.func(fc.nat(2))),
    processed: fc.boolean(),
  })
  .map(({ parts, format, asLines, positions, values, columns, counts, processed }) => {
    const runs: Run[] = [];
    const payloads: Uint8Array[] = [];
    for (const { payloads: some, ...rest } of parts) {
      runs.push({ start: payloads.length, ...rest });
      payloads.push(...some.map((each) => (asLines ? each.map((byte) => (byte === 10 ? 11 : byte)) : each)));
    }
    const { length } = payloads;
    const data = Buffer.concat(payloads.flatMap((each) => [each, Buffer.from('\n')]));
    let batch = new Batch(asLines ? { data, length } : payloads, { runs, format, positions });
    const column = [...values.take(length)];
    const numbers = Float64Array.from(column, ({ at }, index) => (index % 3 === 0 ? Number.NaN : at));
    for (const name of columns) {
      if (name === 'key')
        batch = batch.withMeta(
          name,
          column.map(({ key }, index) => (index % 2 ? key : undefined)),
        );
      else if (name === 'room')
        batch = batch.withMeta(
          'ext.room',
          column.map(({ room }) => room),
        );
      else if (name === 'offset')
        batch = batch.withMeta(
          name,
          BigInt64Array.from(column, ({ offset }) => offset),
        );
      else batch = batch.withMeta(name, numbers);
    }
    if (counts !== undefined) batch = batch.expand(payloads.map((_, index) => counts(index)));
    return processed
      ? batch.withPayloads(
          batch.payloads.map(() => Buffer.from('{}')),
          'json',
        )
      : batch;
  });

test('a batch comes out as it went in: content, metadata, positions, and original payloads', () => {
  fc.assert(
    fc.property(anyBatch, (batch) => {
      expect(seen(fromWire(toWire(batch)))).toEqual(seen(batch));
    }),
    { numRuns: 500 },
  );
});

/** Reads batches, and writes them again. */
const echo = `
  const { fromWire, toWire } = await import(${JSON.stringify(new URL('../../src/message/wire-format.ts', import.meta.url).href)});
  const again = (bytes) => toWire(fromWire(bytes));
`;

test('rows with types stay rows, with their original payloads and metadata', () => {
  const sent = [Buffer.from('{"a":1}'), Buffer.from('{"a":2}')];
  const rows: Rows = {
    length: 2,
    columns: [
      {
        name: 'd',
        type: { kind: 'decimal', width: 38, scale: 10 },
        values: {
          storage: 'fixed',
          valid: Uint8Array.of(1, 0),
          width: 16,
          data: new Uint8Array(32).map((_, at) => at),
        },
      },
    ],
  };
  const batch = new Batch(sent, { format: 'json', positions: 'own' }).derive([1, 0], rows, 'json');
  const back = fromWire(toWire(batch));
  expect(back.rows).toEqual(rows);
  expect(seen(back)).toEqual(seen(batch));
  expect(back.sent.map(String)).toEqual(['{"a":2}', '{"a":1}']);
  // Of rows that were made of rows.
  const again = batch.derive([1], { length: 1, columns: [] }, 'json');
  expect(fromWire(toWire(again)).sent.map(String)).toEqual(['{"a":1}']);
});

test('so it does through a worker, which is handed the memory and hands it back', async () => {
  const code = `import { parentPort } from 'node:worker_threads';${echo}
    parentPort.on('message', (bytes) => { const all = again(bytes); parentPort.postMessage(all, [all.buffer]); });`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
  onTestFinished(async () => void (await worker.terminate()));
  for (const batch of fc.sample(anyBatch, { numRuns: 40, seed: 1 })) {
    const expected = seen(batch);
    const bytes = toWire(batch);
    const answered = once(worker, 'message');
    worker.postMessage(bytes, [bytes.buffer as ArrayBuffer]);
    const [answer] = (await answered) as [Uint8Array];
    expect(bytes.length).toBe(0);
    expect(seen(fromWire(answer))).toEqual(expected);
  }
});

test('and through another process, byte by byte', async () => {
  const code = `${echo}
    const parts = [];
    for await (const part of process.stdin) parts.push(part);
    process.stdout.write(again(Buffer.concat(parts)));`;
  for (const batch of fc.sample(anyBatch, { numRuns: 3, seed: 2 })) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', code]);
    onTestFinished(() => void child.kill());
    const parts: Buffer[] = [];
    let problem = '';
    child.stdout.on('data', (part: Buffer) => parts.push(part));
    child.stderr.on('data', (part: Buffer) => (problem += part.toString()));
    const closed = once(child, 'close');
    for (const byte of toWire(batch)) child.stdin.write(Uint8Array.of(byte));
    child.stdin.end();
    await closed;
    await until('an answer', () => parts.length > 0, { state: () => problem });
    expect(seen(fromWire(Buffer.concat(parts)))).toEqual(seen(batch));
  }
});

/** A batch in which each kind of tag is there. */
const tagged = new Batch([Buffer.from('a'), Buffer.from('b')], {
  runs: [{ start: 0, origin: { source: 's', ext: {} }, time: 1, sequence: 1, messageType: 'text' }],
})
  .withMeta('key', ['k', undefined])
  .withMeta('partition', Float64Array.of(1, 2));

const REFUSED = {
  code: 'MILLRACE_WAL_VERSION',
  fatal: true,
  message: expect.stringMatching(/tag .* does not know.*newer/),
};

test.each([
  ['the version', 0],
  ['the content', 1],
  ['the format', 2],
  ['the parts that it has', 3],
])('an unknown tag of %s is refused, whichever it is', (_, at) => {
  const bytes = toWire(tagged);
  const known = [
    [0, 1, 2, 0x10, 0x80, 0x81, 0x82],
    [1, 2, 3],
    [0, 1, 2],
    Array.from({ length: 64 }, (_, set) => set),
  ];
  for (let tag = 0; tag < 256; tag++) {
    if (known[at]!.includes(tag)) continue;
    const other = Buffer.from(bytes);
    other[at] = tag;
    expect(() => fromWire(other), String(tag)).toThrow(expect.objectContaining(REFUSED));
  }
});

test('so is one of a run, of a column’s kind, name, or value', () => {
  const bytes = toWire(tagged);
  const run = bytes.indexOf('["s"') + '["s",{},null]'.length + 4 + 24;
  const name = bytes.indexOf('key');
  for (const [at, tag] of [
    [run, 3],
    [run, 8],
    [name, 0x6b + 1],
    [name + 3, 9],
    [name + 4, 9],
  ] as const) {
    const other = Buffer.from(bytes);
    other[at] = tag;
    expect(() => fromWire(other), `${tag} at ${at}`).toThrow(expect.objectContaining(REFUSED));
  }
});

test('a batch that is cut off, or has extra bytes, is refused', () => {
  fc.assert(
    fc.property(anyBatch, fc.nat(), (batch, at) => {
      const bytes = toWire(batch);
      const cut = bytes.subarray(0, at % bytes.length);
      expect(() => fromWire(cut)).toThrow();
      expect(() => fromWire(Buffer.concat([bytes, Buffer.of(0)]))).toThrow(RangeError);
    }),
  );
});

test('an original payload is written once, however many messages were made of it', () => {
  const large = new Batch([Buffer.alloc(100_000, 'x')], {
    runs: [{ start: 0, origin: { source: 's', ext: {} }, time: 1 }],
  });
  const lines = large.expand([1000]).withPayloads(
    Array.from({ length: 1000 }, () => Buffer.from('x')),
    'text',
  );
  const bytes = toWire(lines);
  expect(bytes.length).toBeLessThan(110_000);
  expect(fromWire(bytes).sent[999]!.length).toBe(100_000);
});

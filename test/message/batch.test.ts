import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Batch, concatBatches, nowMicros, type Metadata, type Run } from '../../src/message/batch.ts';
import type { ExtValue } from '../../src/message/metadata.ts';

interface Message extends Metadata {
  readonly payload: string;
  readonly position: number | undefined;
}

const messagesOf = (batch: Batch): Message[] =>
  batch.payloads.map((payload, index) => ({
    payload: Buffer.from(payload).toString(),
    position: batch.positionAt(index),
    ...batch.metadata(index),
  }));

const origins = [
  { source: 'ws://a', ext: { session_id: '1', 'header.x': 'y' } },
  { source: 'ws://b', ext: {} },
];

/** A batch as an input makes it, and each of its messages. */
const anyParts = fc.array(
  fc.record({
    origin: fc.constantFrom(...origins),
    time: fc.constantFrom(1_000_000, 2_000_001),
    sequence: fc.option(fc.nat({ max: 50 }), { nil: undefined }),
    messageType: fc.constantFrom('text' as const, 'binary' as const, undefined),
    payloads: fc.array(fc.stringMatching(/^[a-z]{0,3}$/), { minLength: 1, maxLength: 4 }),
  }),
  { maxLength: 5 },
);

const anyBatch = fc.tuple(anyParts, fc.constantFrom('own', 'listed', undefined)).map(([parts, kind]) => {
  const payloads: Uint8Array[] = [];
  const runs: Run[] = [];
  const messages: Message[] = [];
  for (const { payloads: texts, ...run } of parts) {
    runs.push({ start: payloads.length, ...run });
    for (const [index, payload] of texts.entries()) {
      payloads.push(Buffer.from(payload));
      const ext: Record<string, ExtValue> = { ...run.origin.ext };
      if (run.messageType !== undefined) ext['message_type'] = run.messageType;
      if (run.sequence !== undefined) ext['sequence'] = String(run.sequence + index);
      const position = kind && messages.length * (kind === 'own' ? 1 : 7);
      messages.push({ payload, position, source: run.origin.source, ingestTime: run.time, ext });
    }
  }
  const positions = kind === 'listed' ? Uint32Array.from(payloads, (_, index) => index * 7) : kind;
  return { batch: new Batch(payloads, { runs, format: 'text', positions }), messages };
});

describe('Batch', () => {
  test('knows each message’s metadata, and the bytes of all', () => {
    fc.assert(
      fc.property(anyBatch, ({ batch, messages }) => {
        expect(messagesOf(batch)).toEqual(messages);
        expect(batch.length).toBe(messages.length);
        expect(batch.bytes).toBe(messages.reduce((sum, { payload }) => sum + payload.length, 0));
      }),
    );
  });

  test('selects messages with their metadata, again and again', () => {
    fc.assert(
      fc.property(
        anyBatch,
        fc.array(fc.func(fc.boolean()), { minLength: 1, maxLength: 3 }),
        ({ batch, messages }, filters) => {
          let selected = batch;
          let expected = messages;
          for (const keep of filters) {
            const indices = expected
              .keys()
              .filter((index) => keep(index))
              .toArray();
            const rest = expected
              .keys()
              .filter((index) => !keep(index))
              .toArray();
            const kept = selected.select(indices);
            expect(messagesOf(selected.without(rest))).toEqual(messagesOf(kept));
            expected = indices.map((index) => expected[index]!);
            expect(messagesOf(kept)).toEqual(expected);
            expect(kept.length).toBe(expected.length);
            expect(kept.format).toBe('text');
            selected = kept;
          }
        },
      ),
    );
  });

  test('keeps as few runs as it can', () => {
    const payloads = Array.from('abcdef', (letter) => Buffer.from(letter));
    const numbered = new Batch(payloads, { runs: [{ start: 0, origin: origins[0]!, time: 1, sequence: 7 }] });
    const some = numbered.select([1, 2, 4, 5]);
    expect(some.runs.map((run) => [run.start, run.sequence])).toEqual([[0, 8]]);
    expect([0, 1, 2, 3].map((index) => some.sequenceAt(index))).toEqual([8, 9, 11, 12]);
    const plain = new Batch(payloads, { runs: [{ start: 0, origin: origins[0]!, time: 1 }] });
    expect(plain.select([1, 3, 5]).runs.length).toBe(1);
    expect(plain.without([])).toBe(plain);
  });

  test('has defaults', () => {
    const batch = new Batch([Buffer.from('a')]);
    expect(batch.format).toBe('bytes');
    expect(batch.positionAt(0)).toBeUndefined();
    expect(batch.metadata(0).source).toBe('');
    expect(Math.abs(batch.metadata(0).ingestTime / 1000 - Date.now())).toBeLessThan(5_000);
  });

  test('gives a copy with other payloads, format or positions, and the rest the same', () => {
    fc.assert(
      fc.property(anyBatch, ({ batch, messages }) => {
        const json = batch.withFormat('json');
        expect([json.format, json.payloads]).toEqual(['json', batch.payloads]);
        expect(messagesOf(json)).toEqual(messages);
        expect(batch.withFormat('text')).toBe(batch);

        const other = batch.withPayloads(
          batch.payloads.map(() => Buffer.from('x')),
          'bytes',
        );
        expect(messagesOf(other)).toEqual(messages.map((message) => ({ ...message, payload: 'x' })));

        const placed = batch.withPositions('own');
        expect(placed.format).toBe('text');
        expect(messagesOf(placed)).toEqual(messages.map((each, position) => ({ ...each, position })));
        expect(placed.withPositions('own')).toBe(placed);
      }),
    );
  });
});

const linesOf = (texts: readonly string[]): { data: Buffer; length: number } => ({
  data: Buffer.from(texts.map((text) => `${text}\n`).join('')),
  length: texts.length,
});

describe('a batch of lines', () => {
  test('is the same as one of payloads', () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-zé]{0,4}$/)), (texts) => {
        const lines = linesOf(texts);
        const batch = new Batch(lines, { format: 'json' });
        expect(batch.lines).toBe(lines.data);
        expect(batch.bytes).toBe(lines.data.length - texts.length);
        expect(batch.payloads.map((payload) => Buffer.from(payload).toString())).toEqual(texts);
        expect(batch.length).toBe(texts.length);
        expect(batch.bytes).toBe(batch.payloads.reduce((sum, payload) => sum + payload.length, 0));
      }),
    );
  });

  test('stays lines with positions, and no longer with messages left out', () => {
    const lines = linesOf(['1', '2', '3']);
    const batch = new Batch(lines, { format: 'json' });
    expect(batch.withPositions('own').lines).toBe(lines.data);
    expect(batch.select([0, 2]).lines).toBeUndefined();
    expect(messagesOf(batch.without([1])).map((message) => message.payload)).toEqual(['1', '3']);
  });
});

describe('concatBatches', () => {
  test('has all messages in order, with their metadata, each with a position of its own', () => {
    fc.assert(
      fc.property(fc.array(anyBatch, { maxLength: 4 }), (parts) => {
        const joined = concatBatches(parts.map((part) => part.batch));
        const expected = parts
          .flatMap((part) => part.messages)
          .map((message, position) => ({ ...message, position }));
        expect(messagesOf(joined)).toEqual(expected);
        const odd = expected
          .keys()
          .filter((index) => index % 2 === 1)
          .toArray();
        expect(messagesOf(joined.select(odd))).toEqual(odd.map((index) => expected[index]));
      }),
    );
  });

  test.each([
    [['json', 'json'], 'json'],
    [['text', 'text'], 'text'],
    [['json', 'bytes'], 'bytes'],
    [['json', 'bytes', 'json'], 'bytes'],
    [[], 'bytes'],
  ] as const)('of formats %j is %s', (formats, expected) => {
    const batches = formats.map((format) => new Batch([Buffer.from('1')], { format }));
    expect(concatBatches(batches).format).toBe(expected);
  });

  test('takes empty batches', () => {
    const full = new Batch([Buffer.from('a')], {
      runs: [{ start: 0, origin: origins[0]!, time: 5, sequence: 3 }],
    });
    const joined = concatBatches([new Batch([]), full.select([]), full, new Batch([])]);
    expect(messagesOf(joined)).toEqual(messagesOf(full.withPositions('own')));
  });
});

test('nowMicros follows the clock', () => {
  for (let round = 0; round < 1000; round++) {
    const before = Date.now() * 1000;
    const now = nowMicros();
    expect(Number.isInteger(now)).toBe(true);
    expect(now).toBeGreaterThanOrEqual(before);
    expect(now).toBeLessThanOrEqual((Date.now() + 2) * 1000);
  }
});

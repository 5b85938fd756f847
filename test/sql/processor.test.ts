import { describe, expect, test } from 'vitest';
import { engineFor, settling, testInput, testOutput, textsOf } from '../runtime/harness.ts';
import { EndOfInputError } from '../../src/errors.ts';
import type { Batch } from '../../src/message/batch.ts';
import type { Delivery } from '../../src/message/delivery.ts';
import { checkJson } from '../../src/component/payloads.ts';

interface Outcome {
  readonly written: string[];
  readonly letters: { payload: string; error: { code: string; field?: string }; metadata: object }[];
  /** For each batch, what its ack was settled with, or `open`. */
  readonly settled: unknown[];
}

/** Runs a stream of these batches through an sql processor of this configuration, to its end. */
async function stream(
  config: string,
  batches: readonly (readonly string[])[],
  threads = 1,
): Promise<Outcome> {
  const outcome: Outcome = { written: [], letters: [], settled: batches.map(() => 'open') };
  let next = 0;
  const read = (): Promise<Delivery> => {
    const index = next++;
    const texts = batches[index];
    if (texts === undefined) return Promise.reject(new EndOfInputError());
    const { batch, receipt } = settling(texts, (error) => (outcome.settled[index] = error ?? 'acked'));
    return Promise.resolve({ batch: checkJson(batch, () => {}), receipt });
  };
  const keep =
    (kept: unknown[], parse: boolean) =>
    (batch: Batch): Promise<void> => {
      kept.push(...textsOf(batch).map((text): unknown => (parse ? JSON.parse(text) : text)));
      return Promise.resolve();
    };
  const engine = engineFor(
    `streams:
  - input: { type: test }
    pipeline: { thread_num: ${threads}, processors: [ { type: sql, ${config} } ] }
    output: { type: kept }
    error_output: { type: letters }
`,
    [
      testInput('test', { read }),
      testOutput('kept', { write: keep(outcome.written, false) }),
      testOutput('letters', { write: keep(outcome.letters, true) }),
    ],
  );
  await engine.run();
  return outcome;
}

describe('the sql processor in a stream', () => {
  test('writes rows, sends what is rejected to error_output, and acks when both are there', async () => {
    const { written, letters, settled } = await stream('query: "SELECT a + 1 AS b FROM flow WHERE a > 1"', [
      ['{"a":1}', '{"a":2}', '{"a":"x"}'],
      ['{"a":1}'],
      ['{"a":[]}'],
      ['{"a":5}', '{"a":6,"a":7}'],
    ]);
    expect(written).toEqual(['{"b":3}', '{"b":6}']);
    expect(letters.map(({ payload, error }) => [payload, error.code, error.field])).toEqual([
      ['{"a":"x"}', 'MILLRACE_SQL_FIELD_CONFLICT', 'a'],
      ['{"a":[]}', 'MILLRACE_SQL_FIELD_CONFLICT', 'a'],
      ['{"a":6,"a":7}', 'MILLRACE_SQL_FIELD_CONFLICT', 'a'],
    ]);
    expect(settled).toEqual(['acked', 'acked', 'acked', 'acked']);
  });

  test('a query that fails on the whole, and nobody can say on which, sends the whole batch there', async () => {
    const { written, letters, settled } = await stream('query: "SELECT (SELECT a FROM flow) AS b"', [
      Array<string>(2000).fill('{"a":1}'),
      ['{"a":2}'],
    ]);
    // One row is what the query can have.
    expect(written.at(-1)).toBe('{"b":2}');
    expect(letters.length).toBeGreaterThanOrEqual(1999);
    expect(letters.map(({ error }) => error.code)).toContain('MILLRACE_SQL_UNRESOLVED');
    expect(settled).toEqual(['acked', 'acked']);
  });

  test('keeps the order of batches with several at a time, while columns grow', async () => {
    const batches = Array.from({ length: 60 }, (_, index) => [
      `{"i":${index},"f${index % 20}":${index % 2 ? '"x"' : 1}}`,
      '{"i":"bad"}',
      `{"i":${index}.5}`,
    ]);
    const { written, letters, settled } = await stream(
      'query: "SELECT *, i * 2 AS twice FROM flow"',
      batches,
      4,
    );
    expect(written.map((row) => (JSON.parse(row) as { twice: number }).twice)).toEqual(
      batches.flatMap((_, index) => [index * 2, index * 2 + 1]),
    );
    expect(letters).toHaveLength(60);
    expect(new Set(settled)).toEqual(new Set(['acked']));
  });

  test('takes its options from the file', async () => {
    const { written } = await stream(
      'query: "SELECT t FROM events;", table_name: events, schema: { t: DATE }',
      [['{"t":"2024-01-02T00:00:00Z"}']],
    );
    expect(written).toEqual(['{"t":"2024-01-02"}']);
  });

  test.each([
    [
      'max_result_bytes: 1KiB',
      'MILLRACE_SQL_TOO_LARGE',
      "SELECT repeat('x', n) AS r FROM flow ORDER BY n",
      2000,
    ],
    [
      'max_memory_bytes: 32MiB',
      'MILLRACE_SQL_TOO_LARGE',
      "SELECT repeat('x', n) AS r FROM flow ORDER BY n",
      40_000_000,
    ],
    [
      'timeout: 500ms',
      'MILLRACE_SQL_TIMEOUT',
      'SELECT (SELECT sum(a.range * b.range) FROM range(n) a, range(n) b) AS r FROM flow ORDER BY n',
      1_000_000,
    ],
  ])('takes its limits from the file: %s', async (limit, code, sql, n) => {
    const { letters } = await stream(`query: "${sql}", ${limit}`, [[`{"n":${n}}`], ['{"n":1}']]);
    expect(letters.map(({ payload, error }) => [payload, error.code])).toEqual([[`{"n":${n}}`, code]]);
  });

  test('a wrong query fails the stream: nothing is acked or rejected for it', async () => {
    const { written, letters, settled } = await stream('query: "SELECT nofn(a) FROM flow"', [['{"a":1}']]);
    expect([written, letters]).toEqual([[], []]);
    expect(settled).toEqual([expect.objectContaining({ code: 'MILLRACE_SQL_INVALID' })]);
  });
});

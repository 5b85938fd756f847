import { expect, test } from 'vitest';
import { engineFor, testOutput, textsOf } from '../runtime/harness.ts';
import { batchOf, open, runOn } from './support.ts';

/** The rows and dead letters of a query over messages. */
async function run(query: string, messages: readonly string[], codec: string) {
  const rows: Record<string, unknown>[] = [];
  const letters: { error: { message: string } }[] = [];
  const into = (type: string, list: unknown[]) =>
    testOutput(type, {
      write: (batch) => {
        list.push(...textsOf(batch).map((text) => JSON.parse(text) as unknown));
        return Promise.resolve();
      },
    });
  const engine = engineFor(
    `streams:
       - input: { type: memory, messages: ${JSON.stringify(messages)}${codec} }
         pipeline: { processors: [{ type: sql, query: ${JSON.stringify(query)} }] }
         output: { type: rows }
         error_output: { type: letters }`,
    [into('rows', rows), into('letters', letters)],
  );
  await engine.run();
  return { rows, letters };
}

test('a row that has some of the metadata columns has the rest from its batch', async () => {
  const { query } = await open('SELECT n, __meta_source FROM flow');
  const origin = { source: 'here', ext: { session_id: 's' } };
  const runs = [
    { start: 0, origin, time: 2_000_000 },
    { start: 1, origin, time: 1_000_000 },
  ];
  const { batch } = await runOn(query, batchOf(['{"n":1}', '{"n":2}'], { runs }));
  expect(batch!.metadata(1)).toEqual({ source: 'here', ingestTime: 1_000_000, ext: {} });
});

const json = ', codec: { type: json }';

test('what SQL writes like a column and is the time, is the time', async () => {
  const query =
    'SELECT current_timestamp AS a, current_date AS b, localtimestamp AS c, current_time AS d FROM flow';
  const { rows } = await run(query, ['{"n":1}'], json);
  expect(rows).toHaveLength(1);
  expect(Math.abs(Date.parse(String(rows[0]!['a'])) - Date.now())).toBeLessThan(60_000);
  expect(Object.values(rows[0]!).every((value) => typeof value === 'string')).toBe(true);
});

test('unless messages have a field of that name', async () => {
  const { rows } = await run('SELECT current_date AS b FROM flow', ['{"current_date":5}'], json);
  expect(rows).toEqual([{ b: 5 }]);
});

test('a query that names fields of messages that are not JSON is told what is missing', async () => {
  const { rows, letters } = await run('SELECT temperature FROM flow', ['{"temperature":1}'], '');
  expect(rows).toEqual([]);
  expect(letters[0]!.error.message).toContain('does the input lack `codec: { type: json }`?');
  expect(letters[0]!.error.message).toContain('(line 1, column 8 of the query)');
});

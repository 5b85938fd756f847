import { expect, test } from 'vitest';
import { engineFor, testOutput, textsOf } from '../runtime/harness.ts';

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
  const times: number[] = [];
  const output = testOutput('times', {
    write: (batch) => {
      times.push(batch.metadata(0).ingestTime);
      return Promise.resolve();
    },
  });
  const engine = engineFor(
    `streams:
       - input: { type: memory, messages: ['{"a":1}'], codec: { type: json } }
         buffer: { type: memory, capacity: 2, timeout: 50ms }
         pipeline: { processors: [{ type: sql, query: 'SELECT a, __meta_source FROM flow' }] }
         output: { type: times }`,
    [output],
  );
  const before = Date.now() * 1000;
  await engine.run();
  const after = Date.now() * 1000;
  expect(times).toHaveLength(1);
  expect(times[0]).toBeGreaterThanOrEqual(before - 2000);
  expect(times[0]).toBeLessThanOrEqual(after);
});

const json = ', codec: { type: json }';

test('what SQL writes like a column and is the time, is the time', async () => {
  const query =
    'SELECT current_timestamp AS a, current_date AS b, localtimestamp AS c, current_time AS d FROM flow';
  const { rows } = await run(query, ['{"n":1}'], json);
  expect(rows).toHaveLength(1);
  expect(
    Math.abs(Date.parse(String(rows[0]!['a']).replace(' ', 'T').replace(/\+00$/, 'Z')) - Date.now()),
  ).toBeLessThan(60_000);
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

import { expect, test } from 'vitest';
import { engineFor, testOutput, textsOf } from '../runtime/harness.ts';
import { tempDir } from '../support/temp-dir.ts';

const dir = tempDir();

const inputs = `{ type: multiple_inputs, inputs: [
  { type: memory, codec: { type: json }, messages: ['{"a":1}', '{"a":2}', '{"a":3}'] },
  { type: memory, codec: { type: text }, messages: [one, two] },
  { type: memory, messages: [raw] } ] }`;

/** The batches that come out of a stream, each as its format and its messages, sorted. */
async function outcome(rest: string): Promise<string[]> {
  const batches: string[] = [];
  const output = testOutput('collect', {
    write: (batch) => {
      batches.push(`${batch.format}: ${textsOf(batch).join(' ')}`);
      return Promise.resolve();
    },
  });
  await engineFor(`streams: [{ input: ${inputs}, output: { type: collect }, ${rest} }]`, [output]).run();
  return batches.toSorted();
}

const whole = ['bytes: raw', 'json: {"a":1} {"a":2} {"a":3}', 'text: one two'];

test.each(['memory, count: 100, timeout: 1h', 'tumbling_window, interval: 1h'])(
  'inputs with different codecs keep theirs behind the buffer %s',
  async (buffer) => {
    expect(await outcome(`buffer: { type: ${buffer} }`)).toEqual(whole);
  },
);

test('and in the processor batch, each of whose batches has as many messages as it should', async () => {
  const processors = 'pipeline: { processors: [{ type: batch, count: 2, timeout: 1h }] }';
  expect(await outcome(processors)).toEqual([
    'bytes: raw',
    'json: {"a":1} {"a":2}',
    'json: {"a":3}',
    'text: one two',
  ]);
});

test('and in the log', async () => {
  const all = await outcome(`durability: { path: ${dir.path}/log }`);
  expect(all.map((each) => each.split(':')[0]).filter((each, at, list) => list.indexOf(each) === at)).toEqual(
    ['bytes', 'json', 'text'],
  );
});

test('so that SQL has the fields of those that are JSON, and NULL for the others', async () => {
  const query = 'SELECT sum(a) AS sum, count(__value__) AS others FROM flow';
  const rest = `buffer: { type: memory, count: 100, timeout: 1h }, pipeline: { thread_num: 1, processors: [{ type: sql, query: "${query}" }] }`;
  expect(await outcome(rest)).toEqual([
    'json: {"sum":6,"others":0}',
    'json: {"sum":null,"others":1}',
    'json: {"sum":null,"others":2}',
  ]);
});

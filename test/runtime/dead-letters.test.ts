import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { connectClient, send } from '../support/peers.ts';

/** The dead letters of messages that a client sends to a stream with these processors. */
async function lettersOf(
  processors: string,
  messages: readonly (string | Uint8Array)[],
  count: number,
  more = '',
) {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /in${more} }
    pipeline: { processors: [${processors}] }
    output: { type: collect }
    error_output: { type: collect, name: letters }`);
  await send(await connectClient(await run.url()), ...messages);
  const texts = await run.output('letters').count(count);
  return texts.map(
    (text) => JSON.parse(text) as { payload: string; processed?: object; error: { stage: string } },
  );
}

const codec = ', codec: { type: json }';
const project = '{ type: sql, query: "SELECT *, upper(a) AS b FROM flow WHERE id > 1" }';
const convert = '{ type: sql, query: "SELECT id, b::INT AS a FROM flow" }';

test('a dead letter of a second processor has the message as it was sent, and beside it the result of the first', async () => {
  const sent = ['{"id":1,"a":"7"}', '{"id":2,"a":"x", "more":[1]}', '{"id":3,"a":"8"}', '{"id":4,"a":"y"}'];
  const letters = await lettersOf(`${project}, ${convert}`, sent, 2, codec);
  expect(letters).toMatchObject([
    {
      payload: sent[1],
      encoding: 'utf8',
      processed: { payload: '{"id":2,"a":"x","more":[1],"b":"X"}', encoding: 'utf8' },
    },
    {
      payload: sent[3],
      encoding: 'utf8',
      processed: { payload: '{"id":4,"a":"y","more":null,"b":"Y"}', encoding: 'utf8' },
    },
  ]);
});

test('also if the first left out the message’s other fields', async () => {
  const narrow = '{ type: sql, query: "SELECT upper(a) AS b, unnest([1, 2]) AS n FROM flow WHERE id > 1" }';
  const pick = '{ type: sql, query: "SELECT b::INT AS b FROM flow WHERE n = 2" }';
  const sent = ['{"id":1,"a":"7"}', '{"id":2,"a":"x", "more":[1]}', '{"id":3,"a":"8"}'];
  const letters = await lettersOf(`${narrow}, ${pick}`, sent, 1, codec);
  expect(letters).toMatchObject([{ payload: sent[1], processed: { payload: '{"b":"X","n":2}' } }]);
});

test('also if the first has the metadata in its rows', async () => {
  const first =
    '{ type: sql, query: "SELECT upper(a) AS b, __meta_ext, __meta_ingest_time AS at FROM flow WHERE id > 1" }';
  const convert = '{ type: sql, query: "SELECT b::INT AS b FROM flow" }';
  const sent = ['{"id":1,"a":"7"}', '{"id":2,"a":"x", "more":[1]}', '{"id":3,"a":"8"}', '{"id":4,"a":"y"}'];
  const letters = await lettersOf(`${first}, ${convert}`, sent, 2, codec);
  expect(letters).toMatchObject([
    { payload: sent[1], metadata: { __meta_ext: { sequence: '2' } } },
    { payload: sent[3], metadata: { __meta_ext: { sequence: '4' } } },
  ]);
  expect(letters.map(({ processed }) => JSON.stringify(processed))).toEqual([
    expect.stringContaining('X'),
    expect.stringContaining('Y'),
  ]);
});

test('so does a dead letter of a third, behind processors that join batches and leave out fields', async () => {
  const processors = `${project}, { type: batch, count: 2, timeout_ms: 50 }, { type: arrow_to_json, fields_to_include: [b] }, ${convert}`;
  const sent = ['{"id":2,"a":"x"}', '{"id":3,"a":"8"}'];
  const [letter] = await lettersOf(processors, sent, 1, codec);
  expect(letter).toMatchObject({ payload: sent[0], processed: { payload: '{"b":"X"}' } });
});

test('a dead letter of the first processor, or of a codec, has nothing beside it', async () => {
  const [letter] = await lettersOf(convert, ['{"id":1,"b":"x"}'], 1, codec);
  expect(letter).toMatchObject({ payload: '{"id":1,"b":"x"}', error: { stage: 'processor' } });
  expect(letter).not.toHaveProperty('processed');
  const [broken] = await lettersOf(convert, [Buffer.from([0xff])], 1, codec);
  expect(broken).toMatchObject({ payload: '/w==', encoding: 'base64', error: { stage: 'codec' } });
  expect(broken).not.toHaveProperty('processed');
});

test('a row that came of many messages is the payload itself', async () => {
  const sum = '{ type: sql, query: "SELECT string_agg(a, \'\' ORDER BY a) AS a FROM flow" }';
  const [letter] = await lettersOf(
    `{ type: batch, count: 2, timeout_ms: 60000 }, ${sum}, { type: sql, query: "SELECT a::INT AS a FROM flow" }`,
    ['{"a":"x"}', '{"a":"y"}'],
    1,
    codec,
  );
  expect(letter).toMatchObject({ payload: '{"a":"xy"}' });
  expect(letter).not.toHaveProperty('processed');
});

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { connectClient, send } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';

const dir = tempDir();

const server = (fields: string, processors = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${fields} }
    pipeline: { processors: [ ${processors} ] }
    output: { type: collect }
    error_output: { type: collect, name: errors }
`;

const everything = [Buffer.from('{"a":1}'), 'text', Buffer.from([0xff, 0x00]), '', '{"a":2}'];

test('without a codec everything passes as it came; `__value__` is the payload', async () => {
  const plain = await startEngine(server(''));
  await send(await connectClient(await plain.url()), ...everything);
  await plain.output().count(5);
  expect(plain.output().messages.map(({ payload }) => Buffer.from(payload))).toEqual(
    everything.map((each) => Buffer.from(each)),
  );

  const sql = await startEngine(server('', '{ type: sql, query: "SELECT hex(__value__) AS hex FROM flow" }'));
  await send(await connectClient(await sql.url()), ...everything);
  await sql.output().count(5);
  expect(sql.output().values).toEqual(
    everything.map((each) => ({ hex: Buffer.from(each).toString('hex').toUpperCase() })),
  );
});

test('“With JSON codec”: the specification’s message is a row with its three fields', async () => {
  const run = await startEngine(
    server('codec: { type: json }', '{ type: sql, query: "SELECT * FROM flow" }'),
  );
  const message = '{\n"sensor_id": "temp_001",\n"temperature": 23.5,\n"timestamp": 1625000000000\n}';
  await send(await connectClient(await run.url()), message);
  await run.output().count(1);
  expect(run.output().values).toEqual([
    { sensor_id: 'temp_001', temperature: 23.5, timestamp: 1625000000000 },
  ]);
});

test('json: values of any kind, in text and binary frames, byte for byte; anything else is a dead letter', async () => {
  const run = await startEngine(server('codec: { type: json }'));
  const right = ['{"a":1}', '[1, {"b": null}]', '"text"', '12e3', 'true', 'null', ' {} '];
  const client = await connectClient(await run.url());
  await send(client, ...right.slice(0, 4), 'no json', Buffer.from(right[4]!), ...right.slice(5));
  expect(await run.output().count(7)).toEqual(right);
  await run.output('errors').count(1);
  expect(run.output('errors').values).toMatchObject([
    { payload: 'no json', encoding: 'utf8', error: { code: 'MILLRACE_CODEC_INVALID_JSON', stage: 'codec' } },
  ]);
});

test('text: UTF-8 passes, a binary frame that is not UTF-8 is a dead letter', async () => {
  const run = await startEngine(
    server('codec: { type: text }', '{ type: sql, query: "SELECT upper(__value__) AS up FROM flow" }'),
  );
  await send(await connectClient(await run.url()), 'äö', Buffer.from([0xff, 0x00]), Buffer.from('ok'), '');
  await run.output().count(3);
  expect(run.output().values).toEqual([{ up: 'ÄÖ' }, { up: 'OK' }, { up: '' }]);
  await run.output('errors').count(1);
  expect(run.output('errors').values).toMatchObject([
    { payload: '/wA=', encoding: 'base64', error: { code: 'MILLRACE_CODEC_INVALID_UTF8', stage: 'codec' } },
  ]);
});

test('binary: everything passes, whatever kind its frame was', async () => {
  const run = await startEngine(server('codec: { type: binary }'));
  await send(await connectClient(await run.url()), ...everything);
  await run.output().count(5);
  expect(run.output().messages.map(({ payload }) => Buffer.from(payload))).toEqual(
    everything.map((each) => Buffer.from(each)),
  );
});

test('a file output has a line for each message', async () => {
  const path = `${dir.path}/out.jsonl`;
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json } }
    output: { type: file, path: "${path}" }
`);
  const client = await connectClient(await run.url());
  await send(client, '{"a":1}', '{\n"b": 2}');
  client.socket.close();
  await run.metricIs(2, 'millrace_output_messages_total');
  await run.stop();
  expect(readFileSync(path, 'utf8')).toBe('{"a":1}\n{"b":2}\n');
});

import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { send } from '../support/peers.ts';
import { sender } from '../support/senders.ts';
import { tempDir } from '../support/temp-dir.ts';

// Messages of several senders that are joined, divided and put in another order on their way, of which some are rejected
// behind that: each sender is told of its own.

const file = (stages: string): string => `
streams:
  - input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      codec: { type: json }
      ack: { reply: 'ack {{sequence}}', reject_reply: 'nack {{sequence}} {{code}}' }
    ${stages}
    output: { type: collect }
    error_output: { type: collect, name: errors }
`;

const dir = tempDir();

const good = (v: number): string => `{"v":${v},"data":"${v}"}`;
const bad = (v: number): string => `{"v":${v},"data":"{"}`;
const check = '{ type: json_to_arrow, value_field: data }';
const batch = (count: number): string => `{ type: batch, count: ${count}, timeout_ms: 50 }`;
const sql = (query: string): string => `{ type: sql, query: '${query}' }`;

test.each([
  [
    'a buffer',
    `buffer: { type: memory, capacity: 1000, timeout: 50ms }\n    pipeline: { processors: [${check}] }`,
  ],
  ['a window', `buffer: { type: tumbling_window, interval: 50ms }\n    pipeline: { processors: [${check}] }`],
  ['batches of one size', `pipeline: { processors: [${batch(8)}, ${check}] }`],
  ['batches of several sizes', `pipeline: { processors: [${batch(5)}, ${batch(3)}, ${batch(4)}, ${check}] }`],
  [
    'a query that puts them in another order',
    `pipeline: { processors: [${batch(8)}, ${sql('SELECT * FROM flow ORDER BY v DESC')}, ${check}] }`,
  ],
  [
    'a query that leaves some out',
    `pipeline: { processors: [${batch(8)}, ${sql('SELECT * FROM flow WHERE v <> 6')}, ${check}] }`,
  ],
  [
    'a log',
    `durability: { enabled: true, path: "\${LOG}" }\n    buffer: { type: memory, capacity: 1000, timeout: 50ms }\n    pipeline: { processors: [${batch(5)}, ${check}] }`,
  ],
])('through %s', async (_, stages) => {
  const run = await startEngine(file(stages), { LOG: `${dir.path}/log` });
  const [one, two, three] = [await sender(run), await sender(run), await sender(run)];
  await Promise.all([
    send(one.client, good(1), bad(2), good(3), bad(4)),
    send(two.client, bad(5), good(6)),
    send(three.client, good(7), good(8)),
  ]);
  const nack = (sequence: number): string => `nack ${sequence} MILLRACE_CODEC_INVALID_JSON`;
  expect((await one.count(4)).toSorted()).toEqual(['ack 1', 'ack 3', nack(2), nack(4)]);
  expect((await two.count(2)).toSorted()).toEqual(['ack 2', nack(1)]);
  expect(await three.count(2)).toEqual(['ack 1', 'ack 2']);
  expect(run.output('errors').values).toHaveLength(3);
  await run.idle();
});

test('if a row that was made of several messages is rejected, they are confirmed', async () => {
  const query = 'SELECT count(*) AS n, chr(123) AS data FROM flow';
  const stages = `pipeline: { processors: [${batch(2)}, ${sql(query)}, ${check}] }`;
  const run = await startEngine(file(stages));
  const one = await sender(run);
  await send(one.client, good(1), good(2));
  expect(await one.count(2)).toEqual(['ack 1', 'ack 2']);
  expect(run.output('errors').values).toHaveLength(1);
});

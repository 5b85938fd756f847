import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startEngine, type Run } from '../support/engine.ts';
import { tempDir } from '../support/temp-dir.ts';
import { wsServer } from '../support/ws-server.ts';

const dir = tempDir();
const folder = new URL('../../examples', import.meta.url).pathname;

/** An example as it stands, but for its output, which is collected, and its data, which is in a folder of the test. */
function run(name: string, env: Record<string, string> = {}): Promise<Run> {
  const text = readFileSync(join(folder, name), 'utf8')
    .replaceAll("type: 'stdout'", 'type: collect')
    .replaceAll('./data', join(dir.path, 'data'));
  return startEngine(text, env);
}

/** The messages of an example that ends by itself. */
async function messagesOf(example: Promise<Run>): Promise<string[]> {
  const engine = await example;
  expect(await engine.ended).toEqual({ failed: [], left: [] });
  return engine.output().texts;
}

test('generate: JSON becomes rows and JSON again, with functions of DataFusion between', async () => {
  const rows = await messagesOf(run('arkflow/generate.yaml'));
  const all = rows.map((row) => JSON.parse(row) as { readings: number });
  expect(all.reduce((sum, { readings }) => sum + readings, 0)).toBe(9);
  for (const { readings, ...rest } of all)
    expect(rest).toEqual({ well: 'north', total: String(12 * readings), hour: '2026-01-01T00:00:00' });
});

test('websocket: the text of messages without a codec', async () => {
  const server = await wsServer();
  const engine = await run('arkflow/websocket.yaml', { LINES_URL: server.url });
  await engine.connected();
  server.connections[0]!.socket.send('wärme am Abend');
  expect(JSON.parse((await engine.output().count(1))[0]!)).toEqual({
    line: 'wärme am Abend',
    first: 'Wärme',
  });
});

test('mixed-inputs: each keeps its codec behind the buffer', async () => {
  expect((await messagesOf(run('arkflow/mixed-inputs.yaml'))).toSorted()).toEqual([
    'm-7 was replaced',
    '{ "meter": "m-7", "kwh": 2.5 }',
    '{ "meter": "m-9", "kwh": 4 }',
  ]);
});

test('durability: every message is delivered, and the log is empty again', async () => {
  const messages = await messagesOf(run('arkflow/durability.yaml'));
  expect(messages).toHaveLength(200);
  expect(new Set(messages)).toEqual(new Set(['{ "parcel": 4711, "weight": 1.50 }']));
  expect(await messagesOf(run('arkflow/durability.yaml'))).toHaveLength(200);
});

test('changes: events of Debezium as rows', async () => {
  const rows = await messagesOf(run('arkflow/changes.yaml'));
  const row = { isbn: '978-3', source_table: 'books' };
  expect(rows.map((each) => JSON.parse(each) as unknown)).toEqual([
    { ...row, op: 'u', stock: 3, stock_before: 4, changed_at: '2026-01-01T00:01:00' },
    { ...row, op: 'd', stock: 3, stock_before: 3, changed_at: '2026-01-01T00:02:00' },
  ]);
});

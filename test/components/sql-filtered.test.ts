import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { Engine } from '../../src/runtime/engine.ts';
import { registry } from '../../src/components/index.ts';
import { parseConfig } from '../../src/config/load.ts';
import { cli } from '../support/cli.ts';
import { startEngine } from '../support/engine.ts';
import { tempDir } from '../support/temp-dir.ts';

const dir = tempDir();

interface Letter {
  readonly payload: string;
  readonly error: { readonly code: string };
}

/** A file whose stream runs the query over the messages. */
function config(messages: readonly string[], sql: object): string {
  const at = (name: string): string => join(dir.path, name);
  return JSON.stringify({
    health_check: { enabled: false },
    streams: [
      {
        input: {
          type: 'file',
          path: dir.file('in.jsonl', `${messages.join('\n')}\n`),
          codec: { type: 'json' },
        },
        pipeline: { processors: [{ type: 'sql', ...sql }] },
        output: { type: 'file', path: at('out.jsonl'), append: false },
        error_output: { type: 'file', path: at('rejected.jsonl'), append: false },
      },
    ],
  });
}

const linesOf = (name: string): string[] =>
  readFileSync(join(dir.path, name), 'utf8').split('\n').slice(0, -1);

const messages = ['{"t":3}', '17', 'null', '[1,2]', '{}', '{"t":1}', '{"t":"x"}', '{"t":4}'];

async function run(sql: object): Promise<{ rejected: [string, string][] }> {
  const engine = new Engine(parseConfig(config(messages, sql), { registry, format: 'json' }), {
    registry,
    logger: pino({ level: 'silent' }),
  });
  expect(await engine.prepare()).toEqual([]);
  expect(await engine.run()).toEqual({ failed: [], left: [] });
  const letters = linesOf('rejected.jsonl').map((line) => JSON.parse(line) as Letter);
  return { rejected: letters.map(({ payload, error }) => [payload, error.code]) };
}

test.each([
  'SELECT * FROM flow WHERE t > 2',
  'SELECT t FROM flow WHERE t > 2',
  'SELECT t, t + 0 AS u FROM flow WHERE t > 2',
])('messages that %s drops go to error_output if the file asks for it', async (query) => {
  const { rejected } = await run({ query, on_filtered: 'reject' });
  expect(rejected).toEqual([
    ['17', 'MILLRACE_SQL_FILTERED'],
    ['null', 'MILLRACE_SQL_FILTERED'],
    ['[1,2]', 'MILLRACE_SQL_FILTERED'],
    ['{}', 'MILLRACE_SQL_FILTERED'],
    ['{"t":1}', 'MILLRACE_SQL_FILTERED'],
    // This one would change how the query reads the others.
    ['{"t":"x"}', 'MILLRACE_SQL_FIELD_CONFLICT'],
  ]);
  expect(linesOf('out.jsonl').map((line) => (JSON.parse(line) as { t: number }).t)).toEqual([3, 4]);
});

test('otherwise they are dropped', async () => {
  const { rejected } = await run({ query: 'SELECT t FROM flow WHERE t > 2' });
  expect(rejected).toEqual([['{"t":"x"}', 'MILLRACE_SQL_FIELD_CONFLICT']]);
});

test('metrics count what a query takes in, and what it gives out', async () => {
  const engine = await startEngine(`
- input: { type: generate, context: '{"t":[1,2,3]}', interval: 1h, batch_size: 8, codec: { type: json } }
  pipeline: { processors: [{ type: sql, query: 'SELECT unnest(t) AS n FROM flow' }] }
  output: { type: drop }
`);
  await engine.metricIs(24, 'millrace_sql_rows_total');
  expect(await engine.metric('millrace_sql_messages_total')).toBe(8);
});

test('a query that makes rows of several messages cannot say which ones it dropped', async () => {
  const file = dir.file('a.json', config([], { query: 'SELECT max(t) FROM flow', on_filtered: 'reject' }));
  const { code, stderr } = await cli(['check', file]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/processors\[0\]\.on_filtered: needs a query that makes each row of one message/);
});

test('a column that a hundred messages lack is told, once', async () => {
  const many = Array.from({ length: 300 }, (_, n) => `{"n":${n},"d":{"x":1}}`);
  const file = dir.file('a.json', config(many, { query: 'SELECT n, m, d.y, d.x FROM flow WHERE n > 297' }));
  const { code, stderr } = await cli(['run', file]);
  expect(code).toBe(0);
  expect(stderr.match(/the query names \S+, and no message has it/g)).toEqual([
    'the query names m, and no message has it',
    'the query names d.y, and no message has it',
  ]);
});

test('check --sample tells columns that no message has, at their places, and text in double quotes', async () => {
  const sample = dir.file('sample.jsonl', '{"place":"roof","t":1}\n');
  const file = dir.file(
    'streams.yaml',
    `streams:
  - input: { type: websocket, mode: server, port: 8123, codec: { type: json } }
    pipeline:
      processors:
        - type: sql
          tables: { sites: ${dir.file('sites.csv', 'place,owner\nroof,me\n')} }
          query: |
            SELECT t, owner, humidity
            FROM flow JOIN sites USING (place)
            WHERE place = "roof"
`,
  );
  const { code, stderr } = await cli(['check', file, '--sample', sample]);
  expect(code).toBe(1);
  expect(
    stderr
      .trim()
      .split('\n')
      .map((line) => line.replace(/^.*streams\.yaml/, 'streams.yaml')),
  ).toEqual([
    'streams.yaml:8:30: streams[0].pipeline.processors[0].query: the query names humidity, and no message has it',
    "streams.yaml:10:27: streams[0].pipeline.processors[0].query: the query names roof, and no message has it; a text stands in single quotes: 'roof'",
  ]);
});

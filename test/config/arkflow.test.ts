import { expect, test } from 'vitest';
import { configMistakes } from '../support/engine.ts';
import { cli } from '../support/cli.ts';
import { registry } from '../../src/components/index.ts';
import { loadConfig, parseConfig } from '../../src/config/load.ts';
import { tempDir } from '../support/temp-dir.ts';

const dir = tempDir();

const plan = (yaml: string) => parseConfig(yaml, { registry, env: {} });
const generated = 'input: { type: generate, context: a }';

test.each([
  ['1ns', 1e-6],
  ['250us', 0.25],
  ['1m30s', 90_000],
  ['1h 30m', 5_400_000],
  ['2days', 172_800_000],
  ['1d', 86_400_000],
  ['90 min', 5_400_000],
  ['1.5s', 1_500],
])('the duration %s is %d ms', (text, ms) => {
  const { streams } = plan(`streams: [{ input: { type: generate, context: a, interval: ${text} } }]`);
  expect(streams[0]!.input['interval']).toBe(ms);
});

test.each(['1m30', '1 fortnight', '30s1', 'm', '-1s', '1d2', '1month'])('%s is no duration', (text) => {
  expect(configMistakes(`[{ input: { type: generate, context: a, interval: "${text}" } }]`)).toEqual([
    `[0].input.interval: ${JSON.stringify(text)} is not a duration; expected one like 250ms, 5s, 1m or 1h`,
  ]);
});

test('a section with nothing but comments is not there', () => {
  const file = plan(
    `logging:\nhealth_check:\nplugins:\nstreams:\n  - ${generated}\n    buffer:\n    temporary:\n    pipeline:\n  - ${generated}\n    pipeline:\n      thread_num: 2\n      processors:\n        # - type: sql\n`,
  );
  expect(file.logging).toMatchObject({ level: 'info' });
  expect(file.health_check.enabled).toBe(true);
  expect(file.streams.map(({ pipeline }) => pipeline)).toEqual([
    { thread_num: 4, processors: [] },
    { thread_num: 2, processors: [] },
  ]);
});

test('an empty section that protects something is a mistake', () => {
  expect(configMistakes(`[{ ${generated}, durability: }]`)).toEqual([
    '[0].durability: is empty; expected an object',
  ]);
  expect(configMistakes('[{ input: { type: websocket, mode: server, port: 0, auth: } }]')).toEqual([
    expect.stringMatching(/^\[0\]\.input\.auth: is empty; /),
  ]);
});

test('fields of ArkFlow’s control plane are read over with a notice; a misspelt field is a mistake', async () => {
  const control =
    'api_prefix: /api, hub_url: "http://h", node_id: n, node_token: s3cret, agent_lease_ttl_ms: 5';
  const file = dir.file(
    'a.yaml',
    `health_check: { enabled: false, ${control} }\nstreams: [{ ${generated} }]\n`,
  );
  const { notices } = await loadConfig(file, { registry, env: {} });
  expect(notices).toHaveLength(5);
  expect(notices[0]).toBe(
    `${file}:1:33: health_check.api_prefix: Millrace has no control plane, and ignores it; remove it`,
  );
  const { code, stderr } = await cli(['check', file]);
  expect(code).toBe(0);
  expect(stderr).toContain('health_check.node_token: Millrace has no control plane');
  expect(stderr).not.toContain('s3cret');
  expect(configMistakes(`{ health_check: { api_prefx: /api }, streams: [{ ${generated} }] }`)).toEqual([
    expect.stringMatching(/^health_check\.api_prefx: unknown field; expected one of enabled, (?!.*hub_url)/),
  ]);
});

test('a store or a place for the log that Millrace lacks is the only mistake of its section', () => {
  expect(
    configMistakes(`[{ ${generated}, temporary: [{ name: t, type: redis, mode: { type: single } }] }]`),
  ).toEqual(['[0].temporary[0].type: "redis" is not a temporary store; Millrace has none yet']);
  const backend = 'backend: { type: object_store, s3: { bucket: b } }, sync: group_commit';
  expect(configMistakes(`[{ ${generated}, durability: { ${backend} } }]`)).toEqual([
    '[0].durability.backend.type: "object_store" is not a place for a log here; expected no `backend`, and the `path` of a folder on a local disk',
  ]);
  expect(configMistakes(`[{ ${generated}, durability: { sync: group_commit } }]`)).toEqual([
    '[0].durability.path: is missing; expected a string',
  ]);
});

test('a query that names a temporary store does not start without it', async () => {
  const sql =
    'type: sql, query: SELECT 1 AS x FROM flow, temporary_list: [{ name: t, table_name: t, key: { type: value, value: a } }]';
  const file = (temporary: string): string =>
    dir.file('t.yaml', `- ${generated}\n  pipeline: { processors: [{ ${sql} }] }\n${temporary}`);
  const alone = await cli(['check', file('')]);
  expect(alone.stderr).toContain('temporary_list: names a temporary store, and Millrace has none yet');
  const { stderr } = await cli(['check', file('  temporary: [{ name: t, type: redis }]\n')]);
  expect(stderr).toContain('"redis" is not a temporary store');
  expect(stderr).toContain('1 mistake;');
});

test('a component that Millrace lacks is the only mistake, whatever its fields and those beside it', () => {
  const pulsar =
    'type: pulsar, brokers: ["h:9092"], topics: [t], codec: { type: schema_registry, message_type: a.B }';
  const influxdb =
    'type: influxdb, mode: { type: single, url: "influxdb://h" }, influxdb_type: { type: strings, key: { type: expr, expr: "concat(a, cast(b as string))" } }';
  const join = 'type: session_window, gap: 1s, join: { query: "SELECT 1", codec: { type: json } }';
  const file = `streams:
  - input: { ${pulsar} }
    buffer: { ${join} }
    pipeline:
      processors:
        - { type: json_to_arrow }
        - { type: vrl, statement: ".a = 1" }
        - { type: arrow_to_json }
    output: { ${influxdb} }
    error_output: { type: stdout }`;
  expect(configMistakes(file)).toEqual([
    expect.stringMatching(/^streams\[0\]\.input\.type: "pulsar" is not an input; /),
    expect.stringMatching(/^streams\[0\]\.buffer\.type: "session_window" is not a buffer; /),
    expect.stringMatching(/^streams\[0\]\.pipeline\.processors\[1\]\.type: "vrl" is not a processor; /),
    expect.stringMatching(/^streams\[0\]\.output\.type: "influxdb" is not an output; /),
  ]);
  expect(
    configMistakes(
      '[{ input: { type: memory, messages: [a], codec: { type: protobuf, message_type: a.B } } }]',
    ),
  ).toEqual([expect.stringMatching(/^\[0\]\.input\.codec\.type: "protobuf" is not a codec; /)]);
});

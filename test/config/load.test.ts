import { expect, test } from 'vitest';
import { ConfigError, type Problem } from '../../src/config/problem.ts';
import { loadConfig, parseConfig } from '../../src/config/load.ts';
import { registry } from '../support/config-registry.ts';
import { configFiles } from '../support/config.ts';

const { dir, load, problems } = configFiles();

test('everything but the input has a default', async () => {
  expect(await load('a.yaml', '- input: { type: generate, context: a }')).toEqual({
    logging: { level: 'info', format: 'plain' },
    health_check: {
      enabled: true,
      address: '127.0.0.1:4747',
      health_path: '/health',
      readiness_path: '/readiness',
      liveness_path: '/liveness',
      metrics_path: '/metrics',
    },
    streams: [
      {
        id: 'stream-0',
        input: { type: 'generate', context: 'a' },
        pipeline: { thread_num: 4, processors: [] },
        output: { type: 'stdout', pretty: false },
        in_flight: { messages: 100_000, bytes: 64 * 1024 * 1024 },
        state: { memory: 64 * 1024 * 1024, disk: 64 * 1024 * 1024 },
      },
    ],
  });
});

test('an ArkFlow file works, with its own settings', async () => {
  const text = `logging:
  level: debug
  format: json
  file_path: "/var/log/x.log"
health_check:
  enabled: false
  address: "0.0.0.0:8080"
  health_path: "/h"
streams:
  - input: { type: generate, context: a }
    buffer: { type: memory, capacity: 10 }
    pipeline:
      thread_num: 8
      processors: [{ type: sql, query: SELECT * FROM flow }]
    output: { type: stdout }
    error_output: { type: file, path: errors }
`;
  const plan = await load('a.yaml', text);
  expect(plan.logging).toEqual({ level: 'debug', format: 'json', path: '/var/log/x.log' });
  expect(plan.health_check).toMatchObject({ enabled: false, address: '0.0.0.0:8080', health_path: '/h' });
  expect(plan.streams[0]).toMatchObject({
    buffer: { type: 'memory', capacity: 10 },
    pipeline: { thread_num: 8, processors: [{ type: 'sql', query: 'SELECT * FROM flow' }] },
    error_output: { type: 'file', path: 'errors' },
  });
});

test('a log has a path', async () => {
  const text = '- input: { type: generate, context: a }\n  durability: { enabled: true }';
  expect(await problems('a.yaml', text)).toEqual([
    'yaml:2:3: [0].durability.path: is missing; expected a string',
  ]);
});

test('ids are unique, those by place too', async () => {
  const stream = 'input: { type: generate, context: a }';
  const text = `- { id: a, ${stream} }\n- { id: a, ${stream} }\n- { id: stream-3, ${stream} }\n- { ${stream} }\n`;
  expect(await problems('a.yaml', text)).toEqual([
    'yaml:2:9: [1].id: is also the id of stream 0 of the list; expected each stream to have its own',
    'yaml:3:9: [2].id: is also the id of stream 3 of the list; expected each stream to have its own',
  ]);
});

test.each([
  ['127.0.0.1:0', true],
  ['[::1]:4747', true],
  ['host.example:80', true],
  ['4747', false],
  [':4747', false],
  ['127.0.0.1', false],
  ['127.0.0.1:65536', false],
  ['http://127.0.0.1:80', false],
])('health address %s is accepted: %s', async (address, accepted) => {
  const text = `health_check: { address: "${address}" }\nstreams: [{ input: { type: generate, context: a } }]`;
  const expected = `yaml:1:26: health_check.address: "${address}" is not an address; expected host:port, such as 127.0.0.1:4747 or [::1]:4747`;
  expect(await problems('a.yaml', text)).toEqual(accepted ? [] : [expected]);
});

test('the health paths differ', async () => {
  const text =
    'health_check: { metrics_path: /health }\nstreams: [{ input: { type: generate, context: a } }]';
  expect(await problems('a.yaml', text)).toEqual([
    'yaml:1:31: health_check.metrics_path: "/health" is not free: it is also the health_path; expected each to have its own',
  ]);
});

test('a mistake that a component finds is reported beside a wrong codec', async () => {
  expect(await problems('a.yaml', '- input: { type: websocket, codec: { type: jsn } }')).toEqual([
    'yaml:1:3: [0].input.url: is missing; expected a URL in client mode',
    'yaml:1:44: [0].input.codec.type: "jsn" is not a codec; did you mean json? (`millrace list` shows all)',
  ]);
});

test('the error has the problems as data', () => {
  let caught: unknown;
  try {
    parseConfig('- input: { type: generate, context: 1 }\n- inptu: {}', { registry, file: 'my.yaml' });
  } catch (error) {
    caught = error;
  }
  expect(caught).toBeInstanceOf(ConfigError);
  expect(caught).toMatchObject({
    code: 'MILLRACE_CONFIG_INVALID',
    fatal: true,
    problems: [
      {
        file: 'my.yaml',
        line: 1,
        column: 37,
        path: '[0].input.context',
        message: '1 is a number; expected a string',
      },
      { file: 'my.yaml', line: 2, column: 3, path: '[1].input' },
      {
        file: 'my.yaml',
        line: 2,
        column: 3,
        path: '[1].inptu',
        message: 'unknown field; did you mean input?',
      },
    ] satisfies Partial<Problem>[],
  });
});

test.each([
  ['a.txt', 'x', '.txt is not a format of Millrace; expected .yaml, .yml, .json or .toml'],
  ['noext', 'x', 'its name has no extension; expected .yaml, .yml, .json or .toml'],
  ['utf16.yaml', new Uint8Array([0xff, 0xfe, 0x61, 0x00]), 'it is not UTF-8 text'],
])('%s cannot be read', async (name, content, reason) => {
  const path = dir.file(name, content);
  await expect(loadConfig(path, { registry })).rejects.toMatchObject({
    code: 'MILLRACE_CONFIG_UNREADABLE',
    message: `${path} cannot be read: ${reason}`,
  });
});

test('a file that is not there, and a directory, cannot be read', async () => {
  for (const path of [`${dir.path}/none.yaml`, dir.path]) {
    await expect(loadConfig(path, { registry })).rejects.toMatchObject({
      code: 'MILLRACE_CONFIG_UNREADABLE',
    });
  }
});

test('a mistake that shows later gets its place, and values that it quotes are masked', async () => {
  const text =
    '- input: { type: generate, context: a }\n  pipeline:\n    processors:\n      - type: sql\n        query: ${Q}\n';
  const config = await loadConfig(dir.file('late.yaml', text), { registry, env: { Q: 'select secret' } });
  const path = ['streams', 0, 'pipeline', 'processors', 0];
  const error = config.mistakes([{ path, message: 'no such column in "select secret"' }]);
  expect(error.message).toBe(
    `${dir.path}/late.yaml:4:9: [0].pipeline.processors[0]: no such column in "***"`,
  );
});

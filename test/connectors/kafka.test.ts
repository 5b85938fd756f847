import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Fields, Peer } from '../../src/testing-api.ts';
import { runKit } from '../contract/run.ts';
import { cli } from '../support/cli.ts';
import { startEngine, type Run } from '../support/engine.ts';
import { Gateway } from '../support/servers/gateway.ts';
import {
  createTopic,
  gatewayPorts,
  kafkaServer,
  messagesOf,
  saslPort,
  tlsPort,
} from '../support/servers/kafka.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testWith } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { Feed, FEED } from './feed.ts';

const test = testWith('javac', 'openssl', 'Kafka’s jars');
const server = await kafkaServer();
let topics = 0;

async function newTopic(options?: Parameters<typeof createTopic>[2]): Promise<string> {
  const topic = `t${topics++}`;
  await createTopic(server, topic, options);
  return topic;
}

const brokers = (): string => `brokers: ['127.0.0.1:${server.port}']`;

/** A file with one stream from a list of messages to Kafka. */
function file(messages: readonly string[], fields: string, input = ''): string {
  return `
streams:
  - input: { type: memory, messages: ${JSON.stringify(messages)} ${input} }
    output: { type: kafka, ${brokers()}, ${fields} }
    error_output: { type: collect, name: errors }
`;
}

async function written(messages: readonly string[], fields: string, input?: string): Promise<Run> {
  const run = await startEngine(file(messages, fields, input));
  await run.ended;
  return run;
}

const values = async (topic: string): Promise<string[]> =>
  (await messagesOf(server, topic)).map(({ value }) => value);

const readiness = async (run: Run, text: string): Promise<void> => {
  await until(`readiness to say ${text}`, async () => (await run.http('/readiness')).text.includes(text));
};

const ODD = ['{"n":12345678901234567890.10}', '{"t":"ü\\u0000€😀"}', 'no JSON', '', ' ', '\u0000'];

test('a topic gets every message, byte for byte and in order, with each compression and acks', async () => {
  const many = Array.from({ length: 2500 }, (_, n) => `{"n":${n}}`);
  const ways = [
    'compression: none',
    'compression: gzip, acks: "1"',
    'compression: snappy, idempotent: false',
    'compression: lz4, client_id: me',
    'compression: zstd, acks: "0"',
  ];
  for (const way of ways) {
    const topic = await newTopic();
    await written([...ODD, ...many], `topic: ${topic}, ${way}`);
    if (way.includes('"0"')) await until('all', async () => (await values(topic)).length >= 2506);
    expect([way, await values(topic)]).toEqual([way, [...ODD, ...many]]);
  }
});

test('keys keep their order in their partitions, which are those of Java; headers and partitions go with each message', async () => {
  const topic = await newTopic({ partitions: 3 });
  const messages = Array.from({ length: 60 }, (_, n) => `{"d":"d${n % 4}","n":${n}}`);
  await written(
    messages,
    `topic: ${topic}, key: '{{json:d}}', headers: { n: '{{json:n}}', x: '{{json:x}}' }`,
  );
  const got = await messagesOf(server, topic);
  expect(got).toHaveLength(60);
  for (const device of ['d0', 'd1', 'd2', 'd3']) {
    const its = got.filter(({ key }) => key === device);
    expect(its.map(({ value }) => value)).toEqual(messages.filter((text) => text.includes(device)));
    expect(new Set(its.map(({ partition }) => partition)).size).toBe(1);
  }
  expect(got.every(({ value, headers }) => value.endsWith(`"n":${headers['n']}}`) && !('x' in headers))).toBe(
    true,
  );
  // Hash values that Kafka’s own tests (UtilsTest.testMurmur2) state: "21" has -973932308, "foobar" -790332482.
  const other = await newTopic({ partitions: 7 });
  await written(['{"k":"21"}', '{"k":"foobar"}'], `topic: ${other}, key: '{{json:k}}'`);
  const partitionOf = (hash: number): number => (hash & 0x7fffffff) % 7;
  expect(
    Object.fromEntries((await messagesOf(server, other)).map(({ key, partition }) => [key, partition])),
  ).toEqual({
    21: partitionOf(-973932308),
    foobar: partitionOf(-790332482),
  });
  const chosen = await newTopic({ partitions: 2 });
  const run = await written(
    ['{"p":1}', '{"p":2}', '{"p":"x"}', '{"p":0}'],
    `topic: ${chosen}, partition: '{{json:p}}'`,
  );
  const placed = (await messagesOf(server, chosen)).map(
    ({ partition, value }) => [partition, value] as const,
  );
  expect(Object.fromEntries(placed)).toEqual({ 0: '{"p":0}', 1: '{"p":1}' });
  expect(run.output('errors').values).toMatchObject([
    { payload: '{"p":2}', error: { code: 'MILLRACE_OUTPUT_REFUSED' } },
    { payload: '{"p":"x"}' },
  ]);
});

test('topics by message, as ArkFlow writes them; one that is not there refuses its messages alone', async () => {
  const topic = await newTopic();
  const messages = [
    `{"t":"${topic}","v":1}`,
    '{"t":"absent","v":2}',
    '{"t":"no name","v":3}',
    '{"v":4}',
    `{"t":"${topic}","v":5}`,
  ];
  const fields = `topic: { type: expr, expr: t }, key: { type: value, value: k }, value_field: v`;
  const run = await written(messages, fields, ', codec: { type: json }');
  expect(await messagesOf(server, topic)).toMatchObject([
    { key: 'k', value: '1' },
    { key: 'k', value: '5' },
  ]);
  expect(run.output('errors').values).toMatchObject([
    { payload: messages[1], error: { message: expect.stringContaining('Unknown topic absent') } },
    { payload: messages[2], error: { message: expect.stringContaining('no topic can have the name') } },
    { payload: messages[3], error: { code: 'MILLRACE_OUTPUT_NO_VALUE' } },
  ]);
});

test('a message that is too large for its topic goes to error_output alone, and no other is there twice', async () => {
  const topic = await newTopic({ partitions: 2, configs: { 'max.message.bytes': '3000' } });
  const messages = Array.from({ length: 40 }, (_, n) =>
    JSON.stringify({ n, d: n % 3, x: 'x'.repeat(n === 17 ? 5000 : 200) }),
  );
  const run = await written(messages, `topic: ${topic}, key: '{{json:d}}'`);
  expect(run.output('errors').values).toMatchObject([
    {
      payload: messages[17],
      error: { code: 'MILLRACE_OUTPUT_REFUSED', message: expect.stringContaining('MESSAGE_TOO_LARGE') },
    },
  ]);
  const got = await messagesOf(server, topic);
  for (const key of ['0', '1', '2'])
    expect(got.filter((each) => each.key === key).map(({ value }) => value)).toEqual(
      messages.filter((_, n) => n !== 17 && String(n % 3) === key),
    );
  // A batch larger than a topic of the usual size takes.
  const usual = await newTopic();
  const large = Array.from({ length: 6 }, (_, n) => String(n).repeat(400_000));
  await written(large, `topic: ${usual}`);
  expect(await values(usual)).toEqual(large);
});

test('a topic that is not there yet holds the stream back, and readiness says why', async () => {
  const topic = `t${topics++}`;
  const run = await startEngine(file(['{"n":1}'], `topic: ${topic}`));
  await readiness(run, `the topic ${topic} cannot be written to: Unknown topic`);
  await createTopic(server, topic);
  await run.ended;
  expect(await values(topic)).toEqual(['{"n":1}']);
});

test('a broker that is killed under load, and comes back: nothing is lost, order is kept', async () => {
  const topic = await newTopic({ partitions: 3 });
  const run = await startEngine(`
streams:
  - input: ${FEED}
    output: { type: kafka, ${brokers()}, topic: ${topic}, key: '{{json:device}}' }
`);
  const feed = new Feed(run);
  const more = async (): Promise<void> => {
    const before = await run.metric('millrace_output_messages_total');
    await until('more', async () => (await run.metric('millrace_output_messages_total')) > before + 500);
  };
  await more();
  await server.restart();
  await more();
  await feed.stop();
  await run.idle();
  const got = await messagesOf(server, topic);
  for (const device of ['d0', 'd1', 'd2']) {
    const its = got.filter(({ key }) => key === device).map(({ value }) => value);
    // Whole batches may be there twice after an outage longer than `timeout`.
    expect([...new Set(its)]).toEqual(feed.messages.filter((text) => text.includes(device)));
  }
});

test('a frozen broker: the stream waits, readiness says why, and a stop takes no answer', async () => {
  const topic = await newTopic();
  const run = await startEngine(`
streams:
  - input: ${FEED}
    output: { type: kafka, ${brokers()}, topic: ${topic}, timeout: 500ms }
`);
  const feed = new Feed(run);
  await until('some', async () => (await run.metric('millrace_output_messages_total')) > 100);
  server.freeze();
  try {
    await readiness(run, 'no answer within 0.5 s');
    server.thaw();
    const before = await run.metric('millrace_output_messages_total');
    await until('more', async () => (await run.metric('millrace_output_messages_total')) > before + 500);
    server.freeze();
    // The end of the stream cancels a write of the feed that is still under way.
    const stopped = feed.stop().catch(() => {});
    await run.abort();
    await stopped;
  } finally {
    server.thaw();
  }
  const got = new Set(await values(topic));
  expect([...got]).toEqual(feed.messages.slice(0, got.size));
});

test('passwords with each mechanism, and TLS', async () => {
  const topic = await newTopic();
  const text = (port: number, more: string): string => `
streams:
  - input: { type: memory, messages: ['1'] }
    output: { type: kafka, brokers: 'localhost:${port}', topic: ${topic}, ${more} }
`;
  const sasl = (mechanism: string, password: string): string =>
    `sasl: { mechanism: ${mechanism}, username: alice, password: ${password} }`;
  const [secured, encrypted] = server.running ? [saslPort(server), tlsPort(server)] : [0, 0];
  for (const mechanism of ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'])
    await (
      await startEngine(text(secured, sasl(mechanism, 'a-secret')))
    ).ended;
  await (
    await startEngine(text(encrypted, `tls: { ca_file: ${server.dir}/cert.pem }`))
  ).ended;
  expect(await values(topic)).toEqual(['1', '1', '1', '1']);

  const wrong = await startEngine(text(secured, sasl('SCRAM-SHA-256', 'not-the-password')));
  await readiness(wrong, 'uthentication');
  expect(JSON.stringify(wrong.log)).not.toContain('not-the-password');
  const stranger = await startEngine(text(encrypted, 'tls: {}'));
  await readiness(stranger, 'self-signed');
});

test('check --dial says whether it connects', async () => {
  const path = join(tempDir().path, 'millrace.yaml');
  const output = (where: string): string =>
    `streams: [{ input: { type: memory, messages: ['1'] }, output: { type: kafka, ${where}, topic: t } }]`;
  writeFileSync(path, output(brokers()));
  expect(await cli(['check', '--dial', path])).toMatchObject({ code: 0 });
  writeFileSync(path, output('brokers: ["127.0.0.1:1"]'));
  const { code, stderr } = await cli(['check', '--dial', path]);
  expect([code, stderr]).toEqual([1, expect.stringContaining('ECONNREFUSED')]);
});

/** A broker takes seconds to start again: for the kit, it is the way to it that is cut. */
class KafkaPeer implements Peer {
  readonly #gateway = new Gateway(() => gatewayPorts(server));
  #topic = '';

  async start(): Promise<Fields> {
    await this.#gateway.open();
    this.#topic = await newTopic();
    return { brokers: [`127.0.0.1:${this.#gateway.port}`], topic: this.#topic };
  }

  async stop(): Promise<void> {
    await this.#gateway.close();
  }

  async restart(): Promise<void> {
    await this.#gateway.open();
  }

  freeze(): void {
    this.#gateway.freeze();
  }

  async arrived(): Promise<readonly string[]> {
    return await values(this.#topic);
  }
}

runKit('output', 'kafka', { test, peer: new KafkaPeer() });

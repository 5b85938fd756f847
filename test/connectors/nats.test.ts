import { jetstream, jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { Fields } from '../../src/testing-api.ts';
import { runKit } from '../contract/run.ts';
import { afterTest } from '../support/cleanup.ts';
import { startEngine } from '../support/engine.ts';
import { connectClient, send } from '../support/peers.ts';
import { natsServer } from '../support/servers/nats.ts';
import { ServerPeer } from '../support/servers/server-peer.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testWith } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { Feed, FEED } from './feed.ts';

const test = testWith('nats-server');
const server = await natsServer();
const dir = tempDir();
let streams = 0;

async function client(): Promise<NatsConnection> {
  const nc = await connect({ servers: `127.0.0.1:${server.port}`, reconnect: false });
  afterTest(() => nc.close());
  return nc;
}

/** Does something with a connection of its own. */
async function withManager<T>(
  act: (manager: JetStreamManager, nc: NatsConnection) => Promise<T>,
): Promise<T> {
  const nc = await connect({ servers: `127.0.0.1:${server.port}`, reconnect: false });
  try {
    return await act(await jetstreamManager(nc), nc);
  } finally {
    await nc.close();
  }
}

/** A new stream, whose subjects begin with its name. */
async function stream(options: object = {}): Promise<string> {
  const name = `s${streams++}`;
  await withManager((manager) => manager.streams.add({ name, subjects: [`${name}.>`], ...options }));
  return name;
}

interface Stored {
  readonly subject: string;
  readonly text: string;
  readonly bytes: Uint8Array;
  readonly header: (name: string) => string;
}

/** Everything that a stream has, in order. */
async function stored(name: string): Promise<Stored[]> {
  return await withManager(async (manager, nc) => {
    const { state } = await manager.streams.info(name);
    const messages: Stored[] = [];
    if (state.messages === 0) return messages;
    const consumer = await jetstream(nc).consumers.get(name);
    for await (const message of await consumer.fetch({ max_messages: state.messages, expires: 5000 })) {
      messages.push({
        subject: message.subject,
        text: message.string(),
        bytes: message.data,
        header: (header) => message.headers?.get(header) ?? '',
      });
      if (messages.length === state.messages) break;
    }
    return messages;
  });
}

const texts = async (name: string): Promise<string[]> => (await stored(name)).map(({ text }) => text);

/** A file with one stream from a list of messages to NATS. */
function file(messages: readonly string[], fields: string, input = ''): string {
  return `
streams:
  - input: { type: memory, messages: ${JSON.stringify(messages)} ${input} }
    output: { type: nats, url: 'nats://127.0.0.1:${server.port}', ${fields} }
    error_output: { type: collect, name: errors }
`;
}

const ODD = ['{"n":12345678901234567890.10}', '{"t":"ü\\u0000€😀"}', 'no JSON', '', ' '];

test('a stream gets every message, byte for byte and in order', async () => {
  const name = await stream();
  const many = Array.from({ length: 2500 }, (_, n) => `{"n":${n}}`);
  const run = await startEngine(file([...ODD, ...many], `mode: { type: jet_stream, subject: ${name}.x }`));
  await run.ended;
  expect(await texts(name)).toEqual([...ODD, ...many]);
});

test('a stream with allow_atomic gets them in batches that are stored whole', async () => {
  const name = await stream({ allow_atomic: true });
  const many = Array.from({ length: 2500 }, (_, n) => `{"n":${n}}`);
  const run = await startEngine(file(many, `mode: { type: jet_stream, subject: ${name}.x }`));
  await run.ended;
  const messages = await stored(name);
  expect(messages.map(({ text }) => text)).toEqual(many);
  expect(new Set(messages.map(({ header }) => header('Nats-Batch-Id'))).size).toBe(3);
});

test('subject, headers and message id come of each message', async () => {
  const name = await stream({ allow_atomic: true });
  const messages = ['{"d":"a","id":1}', '{"d":"b","id":2}', '{"d":"a","id":1}', '{"id":3}'];
  const run = await startEngine(
    file(
      messages,
      `mode: { type: jet_stream, subject: '${name}.{{json:d}}', stream: ${name}, message_id: '{{json:id}}' },
       headers: { Device: '{{json:d}}', Constant: { type: value, value: x }, Sql: { type: expr, expr: id + 1 } }`,
      ', codec: { type: json }',
    ),
  );
  await run.ended;
  const all = await stored(name);
  expect(all.map(({ subject, text }) => [subject, text])).toEqual([
    [`${name}.a`, messages[0]],
    [`${name}.b`, messages[1]],
  ]);
  expect(all.map(({ header }) => [header('Device'), header('Constant'), header('Sql')])).toEqual([
    ['a', 'x', '2'],
    ['b', 'x', '3'],
  ]);
  expect(all.map(({ header }) => header('Nats-Msg-Id'))).toEqual(['1', '2']);
  expect(run.output('errors').values).toMatchObject([
    { payload: '{"id":3}', error: { code: 'MILLRACE_OUTPUT_NO_VALUE' } },
  ]);
});

test('value_field writes one field of each message', async () => {
  const name = await stream();
  const fields = `value_field: v, mode: { type: jet_stream, subject: { type: value, value: ${name}.x } }`;
  const run = await startEngine(file(['{"v":"text"}', '{"v":{"a":1.0}}', '{"w":1}'], fields));
  await run.ended;
  expect(await texts(name)).toEqual(['text', '{"a":1.0}']);
  expect(run.output('errors').values).toMatchObject([{ payload: '{"w":1}' }]);
});

test.each([[false], [true]])(
  'messages that the stream refuses go to error_output alone (allow_atomic: %s)',
  async (allow_atomic) => {
    const name = await stream({ max_msg_size: 300, allow_atomic });
    const big = `{"big":"${'x'.repeat(300)}"}`;
    const bad = [big, '{"s":"a b"}', '{"s":"a..b"}', '{"s":"*"}', '{"s":""}'];
    const messages = ['{"s":"a"}', ...bad, '{"s":"b"}'];
    const subject = `'${name}.{{json:s:-big}}'`;
    const mode = `{ type: jet_stream, subject: ${subject}, stream: ${name} }`;
    const run = await startEngine(file(messages, `mode: ${mode}`));
    await run.ended;
    expect(await texts(name)).toEqual(['{"s":"a"}', '{"s":"b"}']);
    const letters = run.output('errors').values as { payload: string; error: { message: string } }[];
    expect(letters.map(({ payload }) => payload).toSorted()).toEqual(bad.toSorted());
    expect(letters.find(({ payload }) => payload === big)?.error.message).toContain('size');
  },
);

test('a message for a subject of no stream goes to error_output where subjects differ', async () => {
  const name = await stream();
  const messages = [`{"s":"${name}.a"}`, '{"s":"nowhere.b"}', `{"s":"${name}.c"}`];
  const run = await startEngine(file(messages, `mode: { type: jet_stream, subject: '{{json:s}}' }`));
  await run.ended;
  expect(await texts(name)).toEqual([messages[0], messages[2]]);
  expect(run.output('errors').values).toMatchObject([
    { payload: messages[1], error: { message: 'no stream has its subject' } },
  ]);
});

test('with one subject for all, messages wait for the stream to be created, and readiness says so', async () => {
  const name = `s${streams++}`;
  const run = await startEngine(file(['{"n":1}'], `mode: { type: jet_stream, subject: ${name}.x }`));
  await until('readiness to say why', async () => {
    const { status, text } = await run.http('/readiness');
    return status === 503 && text.includes(`${name}.x: no stream has its subject`);
  });
  await withManager((manager) => manager.streams.add({ name, subjects: [`${name}.>`] }));
  await run.ended;
  expect(await texts(name)).toEqual(['{"n":1}']);
});

test('core NATS: subscribers get every message in order, with headers', async () => {
  const nc = await client();
  const got: string[] = [];
  nc.subscribe('core.>', {
    callback: (_, message) => {
      got.push(`${message.subject} ${message.string()} ${message.headers?.get('H')}`);
    },
  });
  await nc.flush();
  const fields = `mode: { type: regular, subject: 'core.{{json:s}}' }, headers: { H: h }`;
  const run = await startEngine(file(['{"s":1}', '{"s":"a b"}', '{"s":2}'], fields));
  await run.ended;
  await until('both', () => got.length === 2);
  expect(got).toEqual(['core.1 {"s":1} h', 'core.2 {"s":2} h']);
  expect(run.output('errors').values).toMatchObject([{ payload: '{"s":"a b"}' }]);
});

test.each([[false], [true]])(
  'a server that is killed under load, and comes back: nothing is lost, nothing twice, in order (allow_atomic: %s)',
  async (allow_atomic) => {
    const name = await stream({ allow_atomic });
    const run = await startEngine(`
streams:
  - input: ${FEED}
    output: { type: nats, url: 'nats://127.0.0.1:${server.port}', mode: { type: jet_stream, subject: ${name}.x } }
`);
    const feed = new Feed(run);
    for (let round = 0; round < 2; round++) {
      const before = await run.metric('millrace_output_messages_total');
      await until('more', async () => (await run.metric('millrace_output_messages_total')) > before + 500);
      await server.restart();
    }
    await feed.stop();
    await run.idle();
    const got = await texts(name);
    expect(new Set(got).size).toBe(feed.sent);
    if (allow_atomic) expect(got).toEqual(feed.messages);
  },
);

/** A file that reads a stream of NATS. */
function reader(name: string, more = ''): string {
  return `
streams:
  - input:
      type: nats
      url: nats://127.0.0.1:${server.port}
      mode: { type: jet_stream, stream: ${name}, durable_name: reader }
      headers: [Device]
      ${more}
    output: { type: collect }
`;
}

/** Publishes numbered messages. */
async function publish(name: string, from: number, to: number): Promise<string[]> {
  const all = Array.from({ length: to - from }, (_, n) => `{"n":${from + n}}`);
  await withManager(async (_, nc) => {
    for (const text of all) await jetstream(nc).publish(`${name}.x`, text);
  });
  return all;
}

const pending = (name: string): Promise<number> =>
  withManager(async ({ consumers }) => {
    const { num_ack_pending, num_pending } = await consumers.info(name, 'reader');
    return num_ack_pending + num_pending;
  });

test('a stream is read byte for byte and in order, with its metadata, and acknowledged when it is done', async () => {
  const name = await stream();
  const run = await startEngine(
    file(ODD, `mode: { type: jet_stream, subject: ${name}.x }, headers: { Device: d }`),
  );
  await run.ended;
  const reading = await startEngine(reader(name, 'name: feed'));
  reading.output().hold();
  await until('a write', () => reading.output().writes > 0);
  expect(await pending(name)).toBe(ODD.length);
  reading.output().release();
  expect(await reading.output().count(ODD.length)).toEqual(ODD);
  await until('all to be acknowledged', async () => (await pending(name)) === 0);
  const [first] = reading.output().messages;
  expect(first).toMatchObject({
    source: 'feed',
    ext: { subject: `${name}.x`, 'header.Device': 'd', stream: name, consumer: 'reader', deliveries: 1 },
  });
});

test('the sequence and the time of storing are metadata that a query sees', async () => {
  const name = await stream();
  await publish(name, 0, 3);
  const query = 'SELECT n, __meta_offset AS sequence, year(__meta_event_time) > 2000 AS timed FROM flow';
  const run = await startEngine(
    reader(name, 'codec: { type: json }').replace(
      '    output:',
      `    pipeline: { processors: [{ type: sql, query: "${query}" }] }\n    output:`,
    ),
  );
  await run.output().count(3);
  expect(run.output().values).toEqual(
    [1, 2, 3].map((sequence) => ({ n: sequence - 1, sequence, timed: true })),
  );
});

test('while a message is held, the server hears that it is in progress', async () => {
  const name = await stream();
  await publish(name, 0, 1);
  const nc = await client();
  const heard: string[] = [];
  nc.subscribe(`$JS.ACK.${name}.>`, { callback: (_, message) => void heard.push(message.string()) });
  await nc.flush();
  const run = await startEngine(
    reader(name).replace('durable_name: reader', 'consumer_name: reader, ack_wait: 1s'),
  );
  run.output().hold();
  await until('+WPI', () => heard.includes('+WPI'));
  run.output().release();
  await until('+ACK', () => heard.includes('+ACK'));
  expect(run.output().messages).toHaveLength(1);
});

test('messages that an ended process had not finished come again', async () => {
  const name = await stream();
  const all = await publish(name, 0, 5);
  const first = await startEngine(
    reader(name, '').replace('durable_name: reader', 'durable_name: reader, ack_wait: 1s'),
  );
  first.output().hold();
  await until('a write', () => first.output().writes > 0);
  await first.abort({ release: false });
  const second = await startEngine(reader(name));
  expect([...new Set(await second.output().count(5))]).toEqual(all);
  expect(second.output().messages.map(({ ext }) => ext['deliveries'])).toEqual([2, 2, 2, 2, 2]);
});

test('an input whose stream is missing waits for it, and readiness says so', async () => {
  const name = `s${streams++}`;
  const run = await startEngine(reader(name));
  await until('readiness to say why', async () =>
    (await run.http('/readiness')).text.includes(
      `cannot find the consumer reader of the stream ${name}: stream not found`,
    ),
  );
  await withManager((manager) => manager.streams.add({ name, subjects: [`${name}.>`] }));
  const all = await publish(name, 0, 2);
  expect(await run.output().count(2)).toEqual(all);
});

test('core NATS: the members of a queue group share the messages', async () => {
  const input = `{ type: nats, url: '127.0.0.1:${server.port}', mode: { type: regular, subject: group.>, queue_group: g } }`;
  const run = await startEngine(`
streams:
  - input: ${input}
    output: { type: collect, name: one }
  - input: ${input}
    output: { type: collect, name: two }
`);
  await run.connected('stream-0');
  await run.connected('stream-1');
  const nc = await client();
  for (let n = 0; n < 100; n++) nc.publish(`group.${n}`, String(n));
  const [one, two] = [run.output('one'), run.output('two')];
  await until('all', () => one.messages.length + two.messages.length === 100);
  expect([...one.texts, ...two.texts].map(Number).toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: 100 }, (_, n) => n),
  );
  expect(Math.min(one.messages.length, two.messages.length)).toBeGreaterThan(0);
  expect(one.messages[0]?.ext['subject']).toBe(`group.${one.texts[0]}`);
});

test('the example carries readings through a stream into a file, each with its place', async () => {
  await withManager((manager) =>
    manager.streams.add({ name: 'READINGS', subjects: ['readings.>'], allow_atomic: true }),
  );
  const text = readFileSync(new URL('../../examples/connectors/nats.yaml', import.meta.url), 'utf8')
    .replace('port: 8080', 'port: 0')
    .replaceAll('./data/', `${dir.path}/`);
  const run = await startEngine(text, { NATS: `nats://127.0.0.1:${server.port}` });
  const sender = await connectClient(await run.url('collect'));
  await send(sender, '{"device":"a","celsius":21.50}', '{"celsius":1}', '{"device":"b","celsius":-3}');
  const lines = (name: string): string[] =>
    existsSync(`${dir.path}/${name}`)
      ? readFileSync(`${dir.path}/${name}`, 'utf8').split('\n').slice(0, -1)
      : [];
  await until('both', () => lines('readings.jsonl').length === 2 && lines('refused.jsonl').length === 1);
  expect(lines('readings.jsonl')).toEqual([
    '{"place":1,"device":"a","celsius":21.50}',
    '{"place":2,"device":"b","celsius":-3}',
  ]);
  expect(JSON.parse(lines('refused.jsonl')[0]!)).toMatchObject({ payload: '{"celsius":1}' });
});

/** Whether a connection of Millrace's is open. */
async function isConnected(): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${server.place.port2}/connz?subs=1`);
  const { connections } = (await answer.json()) as { connections: { name?: string }[] };
  return connections.some(({ name }) => name?.startsWith('millrace ') === true);
}

class StreamPeer extends ServerPeer {
  #stream = '';

  async begin(): Promise<Fields> {
    this.#stream = await stream();
    return {
      url: `nats://kit:a-secret-of-the-url@127.0.0.1:${server.port}`,
      mode: { type: 'jet_stream', subject: `${this.#stream}.x` },
    };
  }

  async connected(): Promise<void> {
    await until('a connection', isConnected);
  }

  async arrived(): Promise<readonly string[]> {
    return await texts(this.#stream);
  }
}

class ReaderPeer extends ServerPeer {
  #stream = '';

  async begin(): Promise<Fields> {
    this.#stream = await stream();
    return {
      url: `nats://127.0.0.1:${server.port}`,
      auth: { token: 'a-secret-of-the-reader' },
      mode: { type: 'jet_stream', stream: this.#stream, durable_name: 'reader', ack_wait: '1s' },
    };
  }

  async connected(): Promise<void> {
    await until('a connection', isConnected);
  }

  async push(messages: readonly string[]): Promise<void> {
    await withManager(async (_, nc) => {
      for (const text of messages) await jetstream(nc).publish(`${this.#stream}.x`, text);
    });
  }
}

runKit('output', 'nats', { of: 'jet_stream', test, peer: new StreamPeer(server) });
runKit('input', 'nats', { of: 'jet_stream', test, peer: new ReaderPeer(server), repeats: true });

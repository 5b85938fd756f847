import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Fields } from '../../src/testing-api.ts';
import { runKit } from '../contract/run.ts';
import { cli } from '../support/cli.ts';
import { startEngine, type Run } from '../support/engine.ts';
import { mosquitto, MqttSubscriber, publish } from '../support/servers/mosquitto.ts';
import { ServerPeer } from '../support/servers/server-peer.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testWith } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { Feed, FEED } from './feed.ts';

const test = testWith('mosquitto', 'mosquitto_sub');
const server = await mosquitto();
let names = 0;

const newName = (): string => `t${names++}`;
const broker = (): string => `url: 'mqtt://127.0.0.1:${server.port}'`;

/** A file with one stream from a list of messages to the broker. */
function file(messages: readonly string[], fields: string, where = broker()): string {
  return `
streams:
  - input: { type: memory, messages: ${JSON.stringify(messages)}, codec: { type: text } }
    output: { type: mqtt, ${where}, ${fields} }
    error_output: { type: collect, name: errors }
`;
}

async function subscriber(topic: string, ...flags: string[]): Promise<MqttSubscriber> {
  return await new MqttSubscriber(server.port, topic, '-q', '2', ...flags).ready();
}

const numbered = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, n) => `{"n":${from + n}}`);

test.each([[0], [1], [2]])(
  'subscribers get every message in order, with quality of service %i',
  async (qos) => {
    const topic = newName();
    const heard = await subscriber(topic);
    const messages = ['{"n":12345678901234567890.10}', '{"t":"ü€😀"}', 'no JSON', ...numbered(1500)];
    const run = await startEngine(file(messages, `topic: ${topic}, qos: ${qos}`));
    await run.ended;
    await until('all', () => heard.lines.length === messages.length);
    expect(heard.lines).toEqual(messages.map((message) => `${topic} ${message}`));
  },
);

test.each([[4], [5]])(
  'topics of each message, retained, with version %i; a wrong topic goes to error_output',
  async (version) => {
    const name = newName();
    const messages = ['{"d":"a","v":1}', '{"d":"#"}', '{"d":"b"}', '{"v":1}', '{"d":"a","v":2}'];
    const fields = `topic: '${name}/{{json:d}}', retain: true, protocol_version: ${version}`;
    const run = await startEngine(file(messages, fields));
    await run.ended;
    const late = await subscriber(`${name}/#`);
    await until('those retained', () => late.lines.length === 2);
    expect(late.lines.toSorted()).toEqual([`${name}/a ${messages[4]}`, `${name}/b ${messages[2]}`]);
    expect(run.output('errors').values).toMatchObject([
      {
        payload: messages[1],
        error: { code: 'MILLRACE_OUTPUT_REFUSED', message: 'its topic has a wildcard in it' },
      },
      { payload: messages[3], error: { code: 'MILLRACE_OUTPUT_NO_VALUE' } },
    ]);
  },
);

test('over WebSocket, with user properties, which an input gets', async () => {
  const topic = newName();
  const reader = await reading(
    `topics: ['${topic}/+'], user_properties: [device]`,
    `url: 'ws://127.0.0.1:${server.place.port2}/mqtt'`,
  );
  await reader.connected();
  const properties = "user_properties: { device: '{{json:d}}', other: x }";
  const where = `url: 'ws://127.0.0.1:${server.place.port2}'`;
  const run = await startEngine(file(['{"d":"a"}', '{}'], `topic: ${topic}/x, ${properties}`, where));
  await run.ended;
  await until('both', () => reader.output().messages.length === 2);
  expect(reader.output().messages.map(({ ext }) => ext)).toEqual([
    { topic: `${topic}/x`, device: 'a' },
    { topic: `${topic}/x` },
  ]);
});

test('messages that the broker refuses go to error_output alone', async () => {
  const password = join(server.dir, 'acl');
  writeFileSync(password, 'topic write allowed/#\ntopic read #\n');
  const strict = await mosquitto({
    config: `allow_anonymous true\nacl_file ${password}\nmessage_size_limit 200`,
  });
  const messages = ['{"t":"allowed/a"}', '{"t":"secret"}', '{"t":"allowed/b"}'];
  const where = `url: 'mqtt://127.0.0.1:${strict.port}'`;
  const run = await startEngine(file(messages, `topic: '{{json:t}}'`, where));
  await run.ended;
  expect(run.output('errors').values).toMatchObject([
    {
      payload: messages[1],
      error: { code: 'MILLRACE_OUTPUT_REFUSED', message: expect.stringContaining('Not authorized') },
    },
  ]);
  const waiting = await startEngine(file(['1'], 'topic: secret', where));
  await until('readiness to say why', async () =>
    (await waiting.http('/readiness')).text.includes('Not authorized'),
  );
  await strict.remove();
});

test('a broker that is killed under load, and comes back: nothing is lost', async () => {
  const topic = newName();
  const keeper = await reading(`topics: [${topic}], client_id: keeper-${topic}`);
  await keeper.connected();
  const run = await startEngine(`
streams:
  - input: ${FEED}
    output: { type: mqtt, ${broker()}, topic: ${topic} }
`);
  const feed = new Feed(run);
  for (let round = 0; round < 2; round++) {
    const before = await run.metric('millrace_output_messages_total');
    await until('more', async () => (await run.metric('millrace_output_messages_total')) > before + 500);
    // This broker confirms what it has in memory only: while its readers are there, they have it.
    await server.stop();
    await server.start();
  }
  await feed.stop();
  await run.idle();
  await until('all', () => new Set(keeper.output().texts).size === feed.sent);
});

test('a frozen broker: the stream waits, readiness says why, and a stop takes no answer', async () => {
  const topic = newName();
  const run = await startEngine(`
streams:
  - input: ${FEED}
    output: { type: mqtt, ${broker()}, topic: ${topic}, timeout: 300ms }
`);
  const feed = new Feed(run);
  await until('some', async () => (await run.metric('millrace_output_messages_total')) > 100);
  server.freeze();
  try {
    await until('readiness to say why', async () =>
      (await run.http('/readiness')).text.includes('no answer within 0.3 s'),
    );
    server.thaw();
    await until('more', async () => (await run.metric('millrace_output_messages_total')) > 1000);
    server.freeze();
    // The end of the stream cancels a write of the feed that is still under way.
    const stopped = feed.stop().catch(() => {});
    await run.abort();
    await stopped;
  } finally {
    server.thaw();
  }
});

test('a password, and TLS', async () => {
  const { dir } = server;
  const run = (command: string, ...args: string[]): void =>
    void execFileSync(command, args, { cwd: dir, stdio: 'ignore' });
  const pair = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'key.pem'];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  run('openssl', 'req', '-x509', ...pair, '-out', 'cert.pem', '-days', '2', ...subject);
  run('mosquitto_passwd', '-b', '-c', 'passwords', 'me', 'a-pass:word');
  const tls = `cafile ${dir}/cert.pem\ncertfile ${dir}/cert.pem\nkeyfile ${dir}/key.pem`;
  const secured = await mosquitto({
    config: `${tls}\nallow_anonymous false\npassword_file ${dir}/passwords`,
  });
  // The last listener, that of WebSocket, has TLS.
  const url = `wss://localhost:${secured.place.port2}`;
  const text = (more: string): string => `topic: t, username: me, tls: { ca_file: ${dir}/cert.pem } ${more}`;
  const good = await startEngine(file(['1'], text(', password: "a-pass:word"'), `url: '${url}'`));
  await good.ended;
  const wrong = await startEngine(file(['1'], text(', password: not-the-password'), `url: '${url}'`));
  await until('readiness to say why', async () =>
    /[Nn]ot authorized/.test((await wrong.http('/readiness')).text),
  );
  expect(JSON.stringify(wrong.log)).not.toContain('not-the-password');
  const stranger = await startEngine(file(['1'], 'topic: t', `url: '${url}'`));
  await until('readiness to say why', async () =>
    (await stranger.http('/readiness')).text.includes('self-signed'),
  );
  await secured.remove();
});

test('check --dial says whether it connects', async () => {
  const path = join(tempDir().path, 'millrace.yaml');
  const output = (port: number): string =>
    `streams: [{ input: { type: memory, messages: ['1'] }, output: { type: mqtt, host: 127.0.0.1, port: ${port}, topic: t } }]`;
  writeFileSync(path, output(server.port));
  expect(await cli(['check', '--dial', path])).toMatchObject({ code: 0 });
  writeFileSync(path, output(1));
  const { code, stderr } = await cli(['check', '--dial', path]);
  expect([code, stderr]).toEqual([1, expect.stringContaining('ECONNREFUSED')]);
});

/** A stream from the broker to a list in memory. */
async function reading(fields: string, where = broker(), more = ''): Promise<Run> {
  const id = fields.includes('client_id') ? '' : `client_id: c-${newName()},`;
  return await startEngine(`
streams:
  - input: { type: mqtt, ${where}, ${id} ${fields} }
    output: { type: collect }
${more}
`);
}

test('an input gets what was published while it was away, in order, and what it had not finished, again', async () => {
  const topic = newName();
  const fields = `topics: ['${topic}/#'], client_id: c-${topic}`;
  const first = await reading(fields);
  await first.connected();
  first.output().hold();
  await publish(server.port, `${topic}/a`, numbered(50));
  await until('some', () => first.output().writes > 0);
  await first.abort({ release: false });
  await publish(server.port, `${topic}/b`, numbered(200, 50));
  const second = await reading(fields);
  await until('all', () => second.output().texts.length === 250);
  expect(second.output().texts).toEqual(numbered(250));
  await second.stop();
  await publish(server.port, `${topic}/c`, ['"last"']);
  const third = await reading(fields);
  await until('the last', () => third.output().texts.length > 0);
  expect(third.output().texts).toEqual(['"last"']);
});

test.each([[0], [2]])('an input gets messages of quality %i, each once', async (qos) => {
  const topic = newName();
  const run = await reading(`topics: [${topic}], qos: 2`);
  await run.connected();
  await publish(server.port, topic, numbered(500), '-q', String(qos));
  await until('all', () => run.output().texts.length === 500);
  expect(run.output().texts).toEqual(numbered(500));
  await run.stop();
});

test('two processes share a subscription, and a retained message says so', async () => {
  const topic = newName();
  await publish(server.port, `${topic}/kept`, ['"kept"'], '-r');
  const one = await reading(`topics: ['$share/g/${topic}/x']`);
  const other = await reading(`topics: ['$share/g/${topic}/x']`);
  const retained = await reading(`topics: ['${topic}/kept']`);
  for (const each of [one, other, retained]) await each.connected();
  const messages = numbered(300);
  await publish(server.port, `${topic}/x`, messages);
  const all = (): string[] => [...one.output().texts, ...other.output().texts];
  await until('all', () => all().length === 300);
  expect(new Set(all())).toEqual(new Set(messages));
  expect(one.output().texts.length).toBeGreaterThan(0);
  expect(other.output().texts.length).toBeGreaterThan(0);
  await until('the kept one', () => retained.output().messages.length === 1);
  expect(retained.output().messages[0]!.ext).toEqual({ topic: `${topic}/kept`, retain: 'true' });
});

test('a broker that ends and comes back does not make messages come twice', async () => {
  const topic = newName();
  const run = await reading(`topics: [${topic}]`);
  await run.connected();
  run.output().hold();
  await publish(server.port, topic, numbered(20));
  await until('some', () => run.output().writes > 0);
  await server.stop();
  await server.start();
  const again = /^input mqtt connected$/;
  await until('it to connect again', () => run.log.filter(({ msg }) => again.test(msg)).length === 2);
  await publish(server.port, topic, numbered(20, 20));
  run.output().release();
  await until('all', () => run.output().texts.length >= 40);
  expect(run.output().texts).toEqual(numbered(40));
});

class SubscriberPeer extends ServerPeer {
  #topic = '';
  #subscriber: MqttSubscriber | undefined;

  async begin(): Promise<Fields> {
    this.#topic = newName();
    this.#subscriber = await subscriber(this.#topic);
    return { url: `mqtt://kit:a-secret-of-the-url@127.0.0.1:${server.port}`, topic: this.#topic };
  }

  override async stop(): Promise<void> {
    await this.#subscriber?.end();
    await super.stop();
  }

  arrived(): readonly string[] {
    return this.#subscriber!.lines.map((line) => line.slice(this.#topic.length + 1));
  }
}

class PublisherPeer extends ServerPeer {
  #topic = '';
  #before = 0;

  async begin(): Promise<Fields> {
    this.#topic = newName();
    this.#before = 0;
    const url = `mqtt://kit:a-secret-of-the-url@127.0.0.1:${server.port}`;
    return { url, client_id: `c-${this.#topic}`, topics: [this.#topic] };
  }

  async connected(): Promise<void> {
    await until('a subscription', () => this.#subscriptions > this.#before);
  }

  /** A broker that is killed forgets subscriptions. */
  override async stop(): Promise<void> {
    this.#before = this.#subscriptions;
    await super.stop();
  }

  get #subscriptions(): number {
    return server.log.split(`c-${this.#topic} 1 ${this.#topic}\n`).length - 1;
  }

  async push(messages: readonly string[]): Promise<void> {
    await publish(server.port, this.#topic, messages);
  }
}

runKit('output', 'mqtt', { test, peer: new SubscriberPeer(server) });
runKit('input', 'mqtt', { test, peer: new PublisherPeer(server) });

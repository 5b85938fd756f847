import { SendMessageError } from '@azure/web-pubsub-client';
import { describe, expect, test } from 'vitest';
import { startEngine, type Run } from '../support/engine.ts';
import { PLAIN, RELIABLE, azureClient, rawClient } from '../support/pubsub.ts';
import { connectClient, send } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const server = (options: { input?: string; output?: string } = {}): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, protocols: [${RELIABLE}, ${PLAIN}, other], ${options.input ?? ''} }
    output: ${options.output ?? '{ type: collect }'}
    error_output: { type: collect, name: rejected }
`;

const buffer = (...bytes: number[]): ArrayBuffer => new Uint8Array(bytes).buffer;

/** Payloads of the messages, with the protocol's fields. */
function told(run: Run): unknown[] {
  return run.output().messages.map(({ payload, ext }) => ({
    payload: ext['message_type'] === 'binary' ? [...payload] : Buffer.from(payload).toString(),
    event: ext['pubsub.event'],
    group: ext['pubsub.group'],
    type: ext['pubsub.data_type'],
    sequence: ext['sequence'],
  }));
}

describe.each([
  ['reliable', false],
  ['not reliable', true],
])('the published client, %s', (_, plain) => {
  test('its frames become messages, each confirmed', async () => {
    const run = await startEngine(server());
    const { client, connected } = await azureClient(await run.url(), { plain });
    expect(connected).toHaveLength(1);
    await client.sendEvent('reading', { n: 1, text: 'ä' }, 'json');
    await client.sendEvent('note', 'one\n"two"', 'text');
    await client.sendEvent('raw', buffer(0, 255, 7), 'binary');
    await client.sendToGroup('room', [1, 2], 'json');
    expect(told(run)).toEqual([
      { payload: '{"n":1,"text":"ä"}', event: 'reading', type: 'json', sequence: '1' },
      { payload: 'one\n"two"', event: 'note', type: 'text', sequence: '2' },
      { payload: [0, 255, 7], event: 'raw', type: 'binary', sequence: '3' },
      { payload: '[1,2]', group: 'room', type: 'json', sequence: '4' },
    ]);
    const { ext } = run.output().messages[0]!;
    expect(ext['session_id']).toBe(connected[0]!.connectionId);
    expect(ext['protocol']).toBe(plain ? PLAIN : RELIABLE);
  });

  test('the same without a wait for the confirmation', async () => {
    const run = await startEngine(server());
    const { client } = await azureClient(await run.url(), { plain });
    for (let n = 0; n < 100; n++) await client.sendEvent('e', { n }, 'json', { fireAndForget: true });
    await run.output().count(100);
    expect(run.output().values).toEqual(Array.from({ length: 100 }, (__, n) => ({ n })));
  });

  test('the confirmation comes when the output has it, and no sooner', async () => {
    const run = await startEngine(server());
    const { client } = await azureClient(await run.url(), { plain });
    run.output().hold();
    let confirmed = false;
    const sent = client.sendEvent('e', 1, 'json').then(() => (confirmed = true));
    await until('the output to be at it', () => run.output().writes > 0);
    // A later request is answered: the confirmation would have come before.
    await client.joinGroup('any');
    expect(confirmed).toBe(false);
    run.output().release();
    await sent;
    expect(run.output().texts).toEqual(['1']);
  });

  test('a rejected message is an error, and its neighbours are not touched', async () => {
    const run = await startEngine(server({ input: 'codec: { type: json }' }));
    const { client, group } = await azureClient(await run.url(), { plain });
    await client.joinGroup('room');
    const results = await Promise.allSettled([
      client.sendEvent('e', { n: 1 }, 'json'),
      client.sendEvent('e', 'no JSON', 'text'),
      client.sendToGroup('room', 'nor is this', 'text'),
      client.sendToGroup('room', { n: 2 }, 'json'),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled']);
    const { reason } = results[1] as { reason: SendMessageError };
    expect(reason).toBeInstanceOf(SendMessageError);
    expect(reason.errorDetail).toMatchObject({ name: 'MILLRACE_CODEC_INVALID_JSON' });
    expect(run.output().values).toEqual([{ n: 1 }, { n: 2 }]);
    expect(run.output('rejected').messages).toHaveLength(2);
    await until('the message to the group', () => group.length > 0);
    expect(group.map(({ data }) => data)).toEqual([{ n: 2 }]);
  });

  test('a rejected message is an error once its dead letter is written, though its neighbours wait for the output', async () => {
    const run = await startEngine(server({ input: 'codec: { type: json }' }));
    const client = await rawClient(await run.url(), plain ? PLAIN : RELIABLE);
    run.output().hold();
    // In one batch, as they go out at once.
    client.say({ type: 'event', event: 'e', ackId: 1, dataType: 'json', data: 1 });
    client.say({ type: 'event', event: 'e', ackId: 2, dataType: 'text', data: 'no JSON' });
    const { success, error } = await client.got({ ackId: 2 });
    expect([success, error]).toMatchObject([false, { name: 'MILLRACE_CODEC_INVALID_JSON' }]);
    expect(client.frames.filter(({ ackId }) => ackId === 1)).toEqual([]);
    run.output().release();
    expect(await client.got({ ackId: 1 })).toMatchObject({ success: true });
  });

  test('a repeat that `dedupe` knows is an error if the first was, even if nobody waited for the first', async () => {
    const run = await startEngine(
      server({ input: 'codec: { type: json }, dedupe: { key: id, per: all }' }).replace(
        'output:',
        `pipeline: { processors: [{ type: sql, query: "SELECT CASE WHEN id = 'bad' THEN error('no') ELSE id END AS id FROM flow" }] }
    output:`,
      ),
    );
    const { client } = await azureClient(await run.url(), { plain });
    await client.sendEvent('e', { id: 'bad' }, 'json', { fireAndForget: true });
    await client.sendEvent('e', { id: 'good' }, 'json');
    for (let times = 0; times < 2; times++) {
      await expect(client.sendEvent('e', { id: 'bad' }, 'json')).rejects.toThrow(SendMessageError);
      await client.sendEvent('e', { id: 'good' }, 'json');
    }
    expect(run.output('rejected').messages).toHaveLength(1);
    expect(run.output().values).toEqual([{ id: 'good' }]);
  });

  test('groups: members get messages to the group, and so does the sender unless it opts out', async () => {
    const run = await startEngine(server());
    const one = await azureClient(await run.url(), { plain });
    const two = await azureClient(await run.url(), { plain });
    await one.client.joinGroup('room');
    await two.client.joinGroup('room');
    await two.client.joinGroup('other');
    await one.client.sendToGroup('room', { n: 1 }, 'json');
    await one.client.sendToGroup('room', 'mine', 'text', { noEcho: true });
    await one.client.sendToGroup('other', buffer(1, 2), 'binary');
    await two.client.leaveGroup('room');
    await one.client.sendToGroup('room', 'after', 'text');
    await until('all of them', () => one.group.length === 2 && two.group.length === 3);
    expect(one.group.map(({ group, data }) => [group, data])).toEqual([
      ['room', { n: 1 }],
      ['room', 'after'],
    ]);
    expect(two.group.map(({ group, dataType, data }) => [group, dataType, data])).toEqual([
      ['room', 'json', { n: 1 }],
      ['room', 'text', 'mine'],
      ['other', 'binary', buffer(1, 2)],
    ]);
    expect(two.group.map(({ sequenceId }) => sequenceId)).toEqual(
      plain ? [undefined, undefined, undefined] : [1, 2, 3],
    );
    expect(run.output().messages).toHaveLength(4);
  });

  test('a message to a group reaches it when it is confirmed, and no sooner', async () => {
    const run = await startEngine(server());
    const one = await azureClient(await run.url(), { plain });
    const two = await azureClient(await run.url(), { plain });
    await two.client.joinGroup('room');
    run.output().hold();
    const sent = one.client.sendToGroup('room', 'held', 'text');
    await until('the output to be at it', () => run.output().writes > 0);
    await two.client.joinGroup('any');
    expect(two.group).toEqual([]);
    run.output().release();
    await sent;
    await until('the message', () => two.group.length === 1);
  });

  test('an output’s answers come as messages of the server', async () => {
    const run = await startEngine(server({ output: '{ type: websocket, mode: reply }' }));
    const { client, server: got } = await azureClient(await run.url(), { plain });
    await client.sendEvent('e', { n: 1 }, 'json');
    await client.sendEvent('e', 'text', 'json');
    await client.sendEvent('e', '{"n":2}', 'text');
    await client.sendEvent('e', buffer(9), 'binary');
    await until('four answers', () => got.length === 4);
    expect(got.map(({ dataType, data }) => [dataType, data])).toEqual([
      ['json', { n: 1 }],
      ['json', 'text'],
      ['text', '{"n":2}'],
      ['binary', buffer(9)],
    ]);
  });

  test('long messages, both ways', async () => {
    const run = await startEngine(server({ output: '{ type: websocket, mode: reply }' }));
    const { client, server: got, group } = await azureClient(await run.url(), { plain });
    const long = 'ä'.repeat(100_000);
    await client.joinGroup('room');
    await client.sendToGroup('room', { long }, 'json');
    await client.sendEvent('e', long, 'text');
    await until('all three', () => got.length === 2 && group.length === 1);
    expect(group[0]!.data).toEqual({ long });
    expect(got.map(({ data }) => data)).toEqual([{ long }, long]);
  });

  test('its pings are answered', async () => {
    const run = await startEngine(server());
    // It would close when nothing came for so long.
    const { client, connected, disconnected } = await azureClient(await run.url(), {
      plain,
      keepAliveIntervalInMs: 20,
      keepAliveTimeoutInMs: 1000,
    });
    const since = performance.now();
    await until('a while to be over', () => performance.now() - since > 1500);
    await client.sendEvent('e', 1, 'json');
    expect([connected.length, disconnected.length]).toEqual([1, 0]);
  });
});

describe('with a log', () => {
  const dir = tempDir();
  const durable = (name: string, when: string): string =>
    server({ input: when === '' ? '' : `ack: { when: ${when}, reply: ok }` }).replace(
      '    output:',
      `    durability: { path: '${dir.path}/${name}' }\n    output:`,
    );

  test('`stored`: the confirmation comes before the output has the message', async () => {
    const run = await startEngine(durable('stored', 'stored'));
    const { client } = await azureClient(await run.url());
    run.output().hold();
    await client.sendEvent('e', 1, 'json');
    expect(run.output().messages).toEqual([]);
    run.output().release();
    await run.output().count(1);
  });

  test.each(['', 'delivered'])('`%s`: it comes when the output has it', async (when) => {
    const run = await startEngine(durable(`delivered${when}`, when));
    const { client } = await azureClient(await run.url());
    run.output().hold();
    let confirmed = false;
    const sent = client.sendEvent('e', 1, 'json').then(() => (confirmed = true));
    await until('the output to be at it', () => run.output().writes > 0);
    await client.joinGroup('any');
    expect(confirmed).toBe(false);
    run.output().release();
    await sent;
  });

  test('a message that was rejected is an error, as without', async () => {
    const text = durable('rejected', 'delivered').replace('ack:', 'codec: { type: json }, ack:');
    const run = await startEngine(text);
    const { client } = await azureClient(await run.url());
    await expect(client.sendEvent('e', 'no JSON', 'text')).rejects.toThrow(SendMessageError);
    await client.sendEvent('e', 1, 'json');
    expect(run.output().texts).toEqual(['1']);
  });
});

describe('beside other clients', () => {
  test('those with another subprotocol, and those with none, are as ever', async () => {
    const run = await startEngine(server({ output: '{ type: websocket, mode: reply }' }));
    const url = await run.url();
    for (const protocols of [['other'], []]) {
      const plain = await connectClient(url, { protocols });
      const texts: string[] = [];
      plain.socket.on('message', (data: Buffer) => texts.push(data.toString()));
      await send(plain, '{"type":"ping"}');
      await until('the answer', () => texts.length > 0);
      expect(texts).toEqual(['{"type":"ping"}']);
    }
  });

  test('a broadcast reaches both kinds, each in its way; so does the welcome', async () => {
    const run = await startEngine(`
streams:
  - id: feed
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /in }
    output: { type: websocket, mode: server, path: /out }
  - id: out
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /out, protocols: [${RELIABLE}], welcome: { hello: '{{meta:session_id}}' } }
    output: { type: drop }
`);
    const feed = await connectClient(await run.url('feed'));
    const raw = await connectClient(await run.url('out'));
    const texts: string[] = [];
    raw.socket.on('message', (data: Buffer) => texts.push(data.toString()));
    const { server: got, connected } = await azureClient(await run.url('out'));
    await until('the welcome', () => got.length === 1);
    expect(got[0]).toMatchObject({ dataType: 'json', data: { hello: connected[0]!.connectionId } });
    await send(feed, '{"price":  1.50}', 'plain', Buffer.from([1, 2]));
    await until('three more each', () => got.length === 4 && texts.length === 3);
    expect(texts).toEqual(['{"price":  1.50}', 'plain', '\x01\x02']);
    expect(got.slice(1).map(({ dataType, data }) => [dataType, data])).toEqual([
      ['json', { price: 1.5 }],
      ['text', 'plain'],
      ['binary', buffer(1, 2)],
    ]);
  });

  test('the user is the authenticated subject', async () => {
    const run = await startEngine(server({ input: 'auth: { type: basic, users: { eve: secret } }' }));
    const url = new URL(await run.url());
    url.username = 'eve';
    url.password = 'secret';
    const { client, connected, group } = await azureClient(url.href);
    expect(connected[0]!.userId).toBe('eve');
    await client.joinGroup('room');
    await client.sendToGroup('room', 1, 'json');
    await until('the message', () => group.length === 1);
    expect(group[0]!.fromUserId).toBe('eve');
    expect(run.output().messages[0]!.ext['subject']).toBe('eve');
  });

  test('the payload is the sent data, byte for byte', async () => {
    const run = await startEngine(server());
    const client = await rawClient(await run.url());
    client.say(
      '{ "data" : [1.50, 12345678901234567890, "\\u00e4"] , "type":"event","event":"e","dataType":"json","ackId":1}',
    );
    await client.got({ type: 'ack' });
    expect(run.output().texts).toEqual(['[1.50, 12345678901234567890, "\\u00e4"]']);
  });
});

test.each(['disconnect', 'drop_oldest'])(
  '%s: a burst larger than the buffer loses the published client nothing',
  async (policy) => {
    const run = await startEngine(`
streams:
  - id: hub
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /hub, protocols: [${RELIABLE}], limits: { outgoing_bytes: 256KiB } }
    output: { type: drop }
  - id: feed
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /in, limits: { in_flight_share: 1 } }
    output: { type: websocket, mode: server, path: /hub, slow_consumer: ${policy} }
`);
    const client = await azureClient(await run.url('hub'));
    const feed = await connectClient(await run.url('feed'));
    const numbers = Array.from({ length: 5_000 }, (_, n) => n);
    await send(feed, ...numbers.map((n) => String(n).padEnd(1000)));
    await until('all of it', () => client.server.length >= numbers.length, {
      timeout: 60_000,
      state: () => `${client.server.length} came`,
    });
    expect(client.server.map(({ data }) => Number(data))).toEqual(numbers);
    expect(client.disconnected).toEqual([]);
  },
  90_000,
);

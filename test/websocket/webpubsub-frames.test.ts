import { describe, expect, test } from 'vitest';
import { configMistakes, startEngine } from '../support/engine.ts';
import { connectClient } from '../support/peers.ts';
import { PLAIN, RELIABLE, rawClient } from '../support/pubsub.ts';
import { standstill, until } from '../support/until.ts';

const server = (input = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, protocols: [${RELIABLE}, ${PLAIN}], ${input} }
    output: { type: collect }
`;

describe('the frames, to the letter', () => {
  test('reliable', async () => {
    const run = await startEngine(server());
    const client = await rawClient(await run.url());
    const { connectionId, reconnectionToken } = await client.got({ event: 'connected' });
    expect(String(reconnectionToken)).toMatch(/^[\w-]{32}$/);
    client.say({ type: 'joinGroup', group: 'g"', ackId: 1 });
    client.say('{"type":"sendToGroup","group":"g\\"","dataType":"json","data":{"a":  1.0},"ackId":2}');
    await client.got({ ackId: 2 });
    client.say({ type: 'sendToGroup', group: 'g"', dataType: 'text', data: 'ä', noEcho: false, ackId: 3 });
    await client.got({ ackId: 3 });
    client.say({ type: 'sendToGroup', group: 'g"', dataType: 'binary', data: 'AP8=', ackId: 4 });
    await client.got({ ackId: 4 });
    client.say({ type: 'ping' });
    await client.got({ type: 'pong' });
    expect(client.texts).toEqual([
      `{"type":"system","event":"connected","userId":null,"connectionId":"${String(connectionId)}","reconnectionToken":"${String(reconnectionToken)}"}`,
      '{"type":"ack","ackId":1,"success":true}',
      '{"sequenceId":1,"type":"message","from":"group","fromUserId":null,"group":"g\\"","dataType":"json","data":{"a":  1.0}}',
      '{"type":"ack","ackId":2,"success":true}',
      '{"sequenceId":2,"type":"message","from":"group","fromUserId":null,"group":"g\\"","dataType":"text","data":"ä"}',
      '{"type":"ack","ackId":3,"success":true}',
      '{"sequenceId":3,"type":"message","from":"group","fromUserId":null,"group":"g\\"","dataType":"binary","data":"AP8="}',
      '{"type":"ack","ackId":4,"success":true}',
      '{"type":"pong"}',
    ]);
  });

  test('plain: no numbers, no token', async () => {
    const run = await startEngine(server());
    const client = await rawClient(await run.url(), PLAIN);
    client.say({ type: 'joinGroup', group: 'g' });
    client.say({ type: 'sendToGroup', group: 'g', dataType: 'json', data: null, ackId: 2 });
    await client.got({ ackId: 2 });
    expect(client.texts[0]).toMatch(
      /^\{"type":"system","event":"connected","userId":null,"connectionId":"[^"]+"\}$/,
    );
    expect(client.texts.slice(1)).toEqual([
      '{"type":"message","from":"group","fromUserId":null,"group":"g","dataType":"json","data":null}',
      '{"type":"ack","ackId":2,"success":true}',
    ]);
  });
});

/** A message for each of hundreds of thousands of answers, on a machine that is busy. Milliseconds. */
const LONG = 240_000;

const deep = `{"type":"event","event":"e","data":${'['.repeat(5000)}${']'.repeat(5000)}}`;

describe('frames that nobody should send', () => {
  test.each<[string, string | Buffer, number]>([
    ['no JSON', 'hello', 1007],
    ['half an object', '{"type":"event"', 1007],
    ['two objects', '{"type":"ping"}{"type":"ping"}', 1007],
    ['a list', '[{"type":"ping"}]', 1007],
    ['null', 'null', 1007],
    ['a binary frame', Buffer.from('{"type":"ping"}'), 1007],
    ['too deep', deep, 1007],
    ['no type', '{}', 1008],
    ['an unknown type', '{"type":"__proto__"}', 1008],
    ['a type that is none', '{"type":{"event":1}}', 1008],
    ['an event without a name', '{"type":"event","data":1}', 1008],
    ['a name of another kind', '{"type":"joinGroup","group":7}', 1008],
    ['a long name', `{"type":"joinGroup","group":"${'g'.repeat(1025)}"}`, 1008],
    ['no data', '{"type":"event","event":"e"}', 1008],
    ['an ackId below 0', '{"type":"event","event":"e","data":1,"ackId":-1}', 1008],
    ['an ackId with a fraction', '{"type":"event","event":"e","data":1,"ackId":1.5}', 1008],
    ['an ackId beyond doubles', '{"type":"event","event":"e","data":1,"ackId":9007199254740993}', 1008],
    ['an ackId that is text', '{"type":"event","event":"e","data":1,"ackId":"1"}', 1008],
    ['a sequenceId that is text', '{"type":"sequenceAck","sequenceId":"1"}', 1008],
  ])('%s: the connection is closed, and nobody else’s', async (_, frame, code) => {
    const run = await startEngine(server());
    const good = await rawClient(await run.url());
    const bad = await connectClient(await run.url(), { protocols: [RELIABLE] });
    bad.socket.send(frame);
    const closed = await bad.closed;
    expect(closed.code).toBe(code);
    expect(closed.reason).toMatch(/expected|missing/);
    good.say({ type: 'event', event: 'e', data: 'good', ackId: 1 });
    await good.got({ ackId: 1, success: true });
    expect(run.output().texts).toEqual(['"good"']);
  });

  test.each([
    ['an unknown type', { type: 'setGroupState', group: 'g' }],
    ['text that is none', { type: 'event', event: 'e', dataType: 'text', data: 1 }],
    ['base64 that is none', { type: 'event', event: 'e', dataType: 'binary', data: 'a?==' }],
    ['an unknown kind of data', { type: 'event', event: 'e', dataType: 'xml', data: '' }],
    ['no group', { type: 'sendToGroup', dataType: 'json', data: 1 }],
    ['half a surrogate pair', { type: 'event', event: 'e', dataType: 'text', data: '\ud800' }],
  ])('%s, with a number to answer to: an error, and the connection goes on', async (_, frame) => {
    const run = await startEngine(server());
    const client = await rawClient(await run.url());
    client.say({ ...frame, ackId: 1 });
    expect(await client.got({ ackId: 1 })).toMatchObject({ success: false, error: { name: 'BadRequest' } });
    client.say({ type: 'event', event: 'e', data: 1, ackId: 1 });
    await client.got({ ackId: 1, success: true });
    expect(run.output().texts).toEqual(['1']);
  });

  test('a name that is there twice: the last counts, as for JSON.parse', async () => {
    const run = await startEngine(server());
    const client = await rawClient(await run.url());
    client.say('{"type":"ping","data":1,"event":"a","ackId":1,"type":"event","d\\u0061ta":2,"event":"b"}');
    await client.got({ ackId: 1, success: true });
    expect(run.output().messages.map(({ payload, ext }) => [String(payload), ext['pubsub.event']])).toEqual([
      ['2', 'b'],
    ]);
  });

  test('acknowledging a number that was never sent changes nothing', async () => {
    const run = await startEngine(server());
    const client = await rawClient(await run.url());
    client.say({ type: 'sequenceAck', sequenceId: Number.MAX_SAFE_INTEGER });
    client.say({ type: 'joinGroup', group: 'g' });
    client.say({ type: 'sendToGroup', group: 'g', data: 1, ackId: 1 });
    await client.got({ sequenceId: 1 });
  });

  test('more groups than are allowed', async () => {
    const run = await startEngine(server());
    const client = await rawClient(await run.url());
    for (let n = 0; n <= 1000; n++) client.say({ type: 'joinGroup', group: `g${n}`, ackId: n });
    expect(await client.got({ ackId: 1000 })).toMatchObject({ success: false });
    expect(await client.got({ ackId: 999 })).toMatchObject({ success: true });
  });

  test(
    'a client that does not read its answers is not read either, until it does',
    async () => {
      const run = await startEngine(server());
      const client = await rawClient(await run.url());
      client.socket.pause();
      // The answers to the first kind are as long as the name, and so 10 MiB; Linux keeps 4 of them.
      const invoke = JSON.stringify({ type: 'invoke', invocationId: 'i'.repeat(1000), event: 'e', data: 1 });
      const total = 20_000;
      let taken = 0;
      for (let n = 0; n < total; n++) {
        client.socket.send(n % 2 === 0 ? invoke : '{"type":"ping"}', () => taken++);
      }
      await standstill('the server to read no more', () => (taken > 0 ? taken : undefined));
      expect(taken).toBeLessThan(total);
      const other = await rawClient(await run.url());
      other.say({ type: 'event', event: 'e', data: 1, ackId: 1 });
      await other.got({ ackId: 1, success: true });
      client.socket.resume();
      await until('all answers', () => client.frames.length === 1 + total, { timeout: LONG });
    },
    LONG,
  );
});

describe('requests of version 1.1 that are not supported', () => {
  test('an invocation is refused, and a stream to a group too', async () => {
    const run = await startEngine(server());
    const client = await rawClient(await run.url());
    client.say({ type: 'invoke', invocationId: 'i', event: 'e', dataType: 'json', data: 1 });
    const refused = { error: { name: 'NotSupported' } };
    expect(await client.got({ invocationId: 'i' })).toMatchObject({
      type: 'invokeResponse',
      success: false,
      ...refused,
    });
    client.say({ type: 'sendToGroup', group: 'g', stream: { streamId: 's' }, dataType: 'json', data: 1 });
    expect(await client.got({ streamId: 's' })).toMatchObject({ type: 'streamClosed', ...refused });
    client.say({ type: 'event', event: 'e', dataType: 'json', data: 1, ackId: 1 });
    await client.got({ ackId: 1 });
    expect(run.output().texts).toEqual(['1']);
  });
});

describe('web_pubsub', () => {
  test('without its subprotocol, or in a client, it is a mistake', () => {
    const mistakes = (input: string): string[] =>
      configMistakes(`streams: [ { input: { type: websocket, ${input} } } ]`);
    expect(mistakes(`mode: server, port: 0, protocols: [${RELIABLE}], web_pubsub: { recovery: 5m }`)).toEqual(
      [],
    );
    expect(mistakes(`mode: server, port: 0, protocols: [${PLAIN}], web_pubsub: {}`)).toEqual([
      `streams[0].input.web_pubsub: has no effect without ${RELIABLE} among \`protocols\``,
    ]);
    expect(mistakes(`url: ws://a, web_pubsub: {}`)[0]).toMatch(/web_pubsub: only for `mode: server`/);
  });

  test('if no other clients may connect, fields of `ack` for others are a mistake', () => {
    const mistakes = (ack: string, more = 'protocol_required: true', protocols = `${PLAIN}, ${RELIABLE}`) =>
      configMistakes(
        `streams: [ { input: { type: websocket, mode: server, port: 0, protocols: [${protocols}], ${more}, codec: { type: json }, ack: { ${ack} } } } ]`,
      );
    const place = 'streams\\[0\\]\\.input\\.ack';
    const none = expect.stringMatching(
      `^${place}: has no effect here.*; expected \`when: stored\`, or none$`,
    );
    const all =
      "when: stored, id: id, reply: '{{sequence}}', reject_reply: '{{id}}', batch: true, max_unacknowledged: 5";
    expect(mistakes('when: stored, reply: ok')).toEqual([]);
    expect(mistakes('reply: ok, batch: true')).toEqual([none]);
    expect(mistakes(all)).toEqual(
      ['id', 'reject_reply', 'batch', 'max_unacknowledged'].map((name): unknown =>
        expect.stringMatching(`^${place}\\.${name}: has no effect here`),
      ),
    );
    expect(mistakes(all, 'protocol_required: false')).toEqual([]);
    expect(mistakes(all, 'protocol_required: true', `chat, ${RELIABLE}`)).toEqual([]);
  });
});

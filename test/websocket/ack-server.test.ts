import { describe, expect, test } from 'vitest';
import { startEngine, type Run } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { FaultServer, connectClient, rawUpgrade, send } from '../support/peers.ts';
import { Sender, sender } from '../support/senders.ts';
import { python } from '../support/tools.ts';
import { until } from '../support/until.ts';

const server = (ack: string, more = '', fields = ''): string => `
streams:
  - input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      ack: ${ack}
      ${fields}
    output: { type: collect }
    ${more}
`;

const byId = `{ id: id, reply: '{"ack":"{{id}}"}' }`;
const withReject = `{ id: id, reply: '{"ack":"{{id}}"}', reject_reply: '{"nack":"{{id}}","code":"{{code}}","reason":"{{reason}}"}' }`;
const errors = 'error_output: { type: collect, name: errors }';
const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

test('each message is acknowledged with its id once the output has it, and not before', async () => {
  const run = await startEngine(server(byId));
  const one = await sender(run);
  run.output().hold();
  await send(one.client, '{"id":"a"}', '{"id":"b"}');
  await until('the output to be asked', () => run.output().writes > 0);
  await one.roundTrip();
  expect(one.replies).toEqual([]);
  run.output().release();
  expect(await one.count(2)).toEqual(['{"ack":"a"}', '{"ack":"b"}']);
  expect(run.output().texts).toEqual(['{"id":"a"}', '{"id":"b"}']);
  await run.metricIs(2, 'millrace_acks_sent_total', 'stage="input"');
});

test('each sender gets its own, in the order in which it sent', async () => {
  const run = await startEngine(server(byId));
  const senders = [await sender(run), await sender(run), await sender(run)];
  for (const id of range(1, 500)) {
    for (const [index, each] of senders.entries()) each.client.socket.send(`{"id":"${index}-${id}"}`);
  }
  for (const [index, each] of senders.entries()) {
    expect(await each.count(500)).toEqual(range(1, 500).map((id) => `{"ack":"${index}-${id}"}`));
  }
});

test('if the output never got it, there is no acknowledgement, and the peer knows', async () => {
  const run = await startEngine(server(byId));
  const one = await sender(run);
  run.output().hold();
  await send(one.client, '{"id":"a"}');
  await until('the output to be asked', () => run.output().writes > 0);
  await run.abort({ release: false });
  await one.client.closed;
  expect(one.replies).toEqual([]);
});

describe('fields of a reply', () => {
  const cases: [string, string, string, string[], string[]][] = [
    [
      'a number keeps its type outside of quotes, and is text inside',
      'id',
      `'{"n":{{id}},"s":"{{id}}"}'`,
      ['{"id":12345678901234567890}', '{"id":1.50}', '{"id":true}'],
      [
        '{"n":12345678901234567890,"s":"12345678901234567890"}',
        '{"n":1.50,"s":"1.50"}',
        '{"n":true,"s":"true"}',
      ],
    ],
    [
      'a string is quoted outside of quotes, and escaped inside',
      'id',
      `'{"n":{{id}},"s":"{{id}}"}'`,
      [String.raw`{"id":"a\"b\\c\nü"}`],
      [String.raw`{"n":"a\"b\\c\nü","s":"a\"b\\c\nü"}`],
    ],
    [
      'in an object it keeps its type where it is a whole string, and can change nothing around it',
      'data.id',
      '{ type: ack, ids: ["{{id}}", 1], "n{{o": "seq {{sequence}}", s: "{{sequence}}" }',
      [String.raw`{"data":{"id":"x\",\"type\":\"evil"}}`, '{"data":{"id":7}}'],
      [
        String.raw`{"type":"ack","ids":["x\",\"type\":\"evil",1],"n{{o":"seq 1","s":1}`,
        '{"type":"ack","ids":[7,1],"n{{o":"seq 2","s":2}',
      ],
    ],
    ['text that is no JSON gets it as it is', 'id', `'ACK {{id}}'`, [String.raw`{"id":"a\"b"}`], ['ACK a"b']],
    [
      'in text that is no JSON it stays on its line',
      'id',
      `'ACK {{id}}'`,
      [String.raw`{"id":"1\nACK 2\r\u0085\u2028\u001b3"}`],
      [String.raw`ACK 1\nACK 2\r\u0085\u2028\u001b3`],
    ],
    [
      'behind the digits of Socket.IO the rest is JSON',
      'id',
      `'43{{sequence}}["ack",{{id}},"{{id}}"]'`,
      [String.raw`{"id":"a\"]"}`],
      [String.raw`431["ack","a\"]","a\"]"]`],
    ],
    [
      'a default is JSON where the quotes are left out',
      'id',
      `'[{{id:-0}},{{id:-none}},"{{id:-0}}"]'`,
      ['{}'],
      ['[0,"none","0"]'],
    ],
    ['the id alone is no JSON', 'id', `'{{id}}'`, [String.raw`{"id":"a"}`], ['a']],
    ['a default where there is no id', 'id', `'{"ack":"{{id:-none}}"}'`, ['{}'], ['{"ack":"none"}']],
  ];
  test.each(cases)('%s', async (_, id, reply, messages, replies) => {
    const run = await startEngine(server(`{ id: ${id}, reply: ${reply} }`));
    const one = await sender(run);
    await send(one.client, ...messages);
    expect(await one.count(replies.length)).toEqual(replies);
  });

  test('without `id` it is the number in the session', async () => {
    const run = await startEngine(server(`{ reply: '{{id}} {{sequence}}' }`));
    const one = await sender(run);
    await send(one.client, 'a', Buffer.from([0xff]), 'c');
    expect(await one.count(3)).toEqual(['1 1', '2 2', '3 3']);
    const two = await sender(run);
    await send(two.client, 'd');
    expect(await two.count(1)).toEqual(['1 1']);
  });

  test('replies of any length, many at once, come whole and in order', async () => {
    const run = await startEngine(server(`{ id: id, reply: '{{id}}' }`, '', 'compression: { threshold: 1 }'));
    const one = new Sender(await connectClient(await run.url(), { perMessageDeflate: true }));
    run.output().hold();
    await send(one.client, '{"id":"first"}');
    await until('the output to be asked', () => run.output().writes > 0);
    const sizes = [1, 125, 126, 127, 65_525, 65_526, 65_535, 65_536, 70_000, 200_000, 2, 3];
    const ids = [...sizes, ...sizes].map((size, index) => String.fromCodePoint(97 + index).repeat(size));
    const wide = 'ü'.repeat(40_000);
    await send(one.client, ...[...ids, wide, 'end'].map((id) => JSON.stringify({ id })));
    run.output().release();
    expect(await one.count(27)).toEqual(['first', ...ids, wide, 'end']);
  });

  test('bytes go out as a binary message', async () => {
    const run = await startEngine(server('{ reply: { base64: BgE= } }'));
    const peer = await rawUpgrade(await run.url());
    peer.socket.write(frame('text', 'a', { mask: true }));
    await peer.count(1);
    expect(peer.messages.map(({ opcode, payload }) => [opcode, [...payload]])).toEqual([[2, [6, 1]]]);
  });
});

test('a message without the id is delivered and gets no reply; that is logged once and counted', async () => {
  const run = await startEngine(server(byId));
  const one = await sender(run);
  await send(one.client, '{"x":1}', 'no JSON', '{"id":null}', '{"id":{}}');
  await run.output().count(4);
  await send(one.client, '{"x":2}', '{"id":"a"}');
  expect(await one.count(1)).toEqual(['{"ack":"a"}']);
  await run.metricIs(5, 'millrace_acks_without_id_total', 'stage="input"');
  const told = run.log.filter(({ msg, level }) => level >= 40 && /no reply/.test(msg));
  expect(told.map(({ msg }) => msg)).toEqual([
    expect.stringMatching(/no reply to \d+ messages? without a value at `ack\.id`/),
  ]);
});

describe('a message that is rejected', () => {
  const json = 'codec: { type: json }';

  test('gets the reason, in its place among the others, once error_output has it', async () => {
    const run = await startEngine(server(withReject, errors, json));
    const one = await sender(run);
    run.output('errors').hold();
    await send(one.client, '{"id":"a"}', '{"id":"b"', '{"id":"c"}');
    await run.output().count(2);
    await until('error_output to be asked', () => run.output('errors').writes > 0);
    await one.roundTrip();
    // Messages that came with it wait as well: a reply says that everything read with it is safe.
    expect(one.replies.filter((reply) => reply.includes('nack'))).toEqual([]);
    run.output('errors').release();
    await run.output('errors').count(1);
    // A text that is not JSON has no id either.
    await one.count(2);
    await one.roundTrip();
    expect(one.replies).toEqual(['{"ack":"a"}', '{"ack":"c"}']);
  });

  test('with its id, also where it is nested too deeply to be taken', async () => {
    const run = await startEngine(server(withReject, errors, json));
    const one = await sender(run);
    const deep = `${'[{"x":'.repeat(400)}1${'}]'.repeat(400)}`;
    await send(one.client, `{"a":"]\\"","b":${deep},"id":"i\\"d","c":[${deep}]}`, '{"id":"b"}');
    await one.count(2);
    expect(one.replies.map((reply) => JSON.parse(reply) as unknown)).toEqual([
      { nack: 'i"d', code: 'MILLRACE_CODEC_INVALID_JSON', reason: expect.any(String) as string },
      { ack: 'b' },
    ]);
  });

  test('by its number, where the id cannot be read', async () => {
    const run = await startEngine(
      server(
        `{ reply: '{"ack":{{id}}}', reject_reply: '{"nack":{{sequence}},"code":"{{code}}","reason":"{{reason}}"}' }`,
        errors,
        json,
      ),
    );
    const one = await sender(run);
    await send(one.client, '{"id":"a"}', '{"id":"b', '{"id":"c"}');
    await one.count(3);
    const [first, second, third] = one.values as [unknown, { reason: string }, unknown];
    expect([first, third]).toEqual([{ ack: 1 }, { ack: 3 }]);
    expect(second).toEqual({ nack: 2, code: 'MILLRACE_CODEC_INVALID_JSON', reason: expect.any(String) });
    expect(second.reason).toMatch(/JSON/);
  });

  test('by a processor, with its id; the reason is JSON whatever it says', async () => {
    const sql = `pipeline: { processors: [{ type: sql, query: "SELECT id, CAST(v AS INTEGER) AS v FROM flow" }] }`;
    const run = await startEngine(server(withReject, `${errors}\n    ${sql}`, json));
    const one = await sender(run);
    await send(one.client, '{"id":"good","v":1}');
    await one.count(1);
    await send(one.client, String.raw`{"id":"b\"ad","v":"\"x\""}`);
    await one.count(2);
    const [, rejected] = one.values as [unknown, { nack: string; reason: string }];
    expect(rejected.nack).toBe('b"ad');
    expect(rejected.reason).toBe('a field of the message has a name or a value that does not fit here');
    expect(run.output('errors').messages).toHaveLength(1);
  });

  test('without error_output it is logged, and then its sender gets the reason', async () => {
    const run = await startEngine(
      server(`{ reply: 'ack {{id}}', reject_reply: 'nack {{id}} {{code}}' }`, '', json),
    );
    const one = await sender(run);
    await send(one.client, '1', '{', '3');
    expect(await one.count(3)).toEqual(['ack 1', 'nack 2 MILLRACE_CODEC_INVALID_JSON', 'ack 3']);
  });

  test('code and reason outside of quotes are JSON, too', async () => {
    const run = await startEngine(
      server(`{ reply: '[{{id}}]', reject_reply: '[{{id}},{{code}},{{reason}}]' }`, '', json),
    );
    const one = await sender(run);
    await send(one.client, '{');
    await one.count(1);
    expect(one.values).toEqual([[1, 'MILLRACE_CODEC_INVALID_JSON', expect.any(String)]]);
  });

  test('without reject_reply it gets no reply', async () => {
    const run = await startEngine(server(`{ reply: 'ack {{id}}' }`, errors, json));
    const one = await sender(run);
    await send(one.client, '1', '{', '3');
    expect(await one.count(2)).toEqual(['ack 1', 'ack 3']);
    expect(run.output('errors').messages).toHaveLength(1);
  });

  test('gets no reply while error_output fails', async () => {
    const run = await startEngine(
      server(
        `{ reply: 'ack {{id}}', reject_reply: 'nack {{id}}' }`,
        'error_output: { type: file, path: /dev/full }',
        json,
      ),
    );
    const one = await sender(run);
    await send(one.client, '{');
    await run.logged(/error_output|file/, ({ level }) => level >= 40);
    await one.roundTrip();
    expect(one.replies).toEqual([]);
  });
});

describe('batch', () => {
  test('one reply for messages confirmed together, with all ids', async () => {
    const run = await startEngine(
      server(`{ id: id, batch: true, reply: '{"acks":[{{ids}}],"upto":{{sequence}}}' }`),
    );
    const one = await sender(run);
    run.output().hold();
    await send(one.client, '{"id":0}');
    await until('the output to be asked', () => run.output().writes > 0);
    const all = range(1, 2500).map((id) => (id % 2 === 0 ? `{"id":${id}}` : `{"id":"\\"${id}\\""}`));
    await send(one.client, ...all);
    run.output().release();
    await run.output().count(2501);
    await until(
      'all ids',
      () => (one.values as { acks: unknown[] }[]).flatMap(({ acks }) => acks).length === 2501,
    );
    const values = one.values as { acks: unknown[]; upto: number }[];
    expect(values.flatMap(({ acks }) => acks)).toEqual([
      0,
      ...range(1, 2500).map((id) => (id % 2 === 0 ? id : `"${id}"`)),
    ]);
    expect(one.replies.length).toBeLessThan(100);
    expect(Math.max(...values.map(({ acks }) => acks.length))).toBeLessThanOrEqual(1000);
    expect(values.at(-1)!.upto).toBe(2501);
  });

  test('the number is the last one before which everything is settled, even if batches are confirmed out of order', async () => {
    // Rejected messages hold their batch until error_output has them, while the next go on.
    const run = await startEngine(
      server(
        `{ batch: true, reply: 'upto {{sequence}}', reject_reply: 'nack {{sequence}}' }`,
        errors,
        'codec: { type: json }',
      ),
    );
    const one = await sender(run);
    run.output('errors').hold();
    await send(one.client, '1', '{');
    await run.output().count(1);
    for (const id of range(3, 6)) {
      await send(one.client, String(id));
      await run.output().count(id - 1);
    }
    await one.roundTrip();
    // 1 is in one batch with 2, or was confirmed before it.
    expect(one.replies.filter((reply) => reply !== 'upto 1')).toEqual([]);
    run.output('errors').release();
    await until('the last', () => one.replies.includes('upto 6'));
    const replies = one.replies.filter((reply) => reply !== 'upto 1');
    expect(replies[0]).toBe('nack 2');
    expect(replies.at(-1)).toBe('upto 6');
    expect(replies).toHaveLength(2);
  });
});

describe('holding', () => {
  test('a session with max_unacknowledged messages is not read until half of them are confirmed; others are', async () => {
    const run = await startEngine(
      server(`{ reply: 'ack {{id}}', max_unacknowledged: 10 }`, 'in_flight: { messages: 100000 }'),
    );
    const [eager, modest] = [await sender(run), await sender(run)];
    run.output().hold();
    const payload = 'x'.repeat(100_000);
    for (let index = 0; index < 200; index++) eager.client.socket.send(payload);
    await until('the sender to be held back', () => eager.client.socket.bufferedAmount > 0);
    await send(modest.client, 'm');
    await until('the other’s message', async () => {
      const { messages } = await run.inFlight();
      return messages > 10 && messages < 30;
    });
    expect(eager.client.socket.bufferedAmount).toBeGreaterThan(0);
    run.output().release();
    expect(await modest.count(1)).toEqual(['ack 1']);
    expect((await eager.count(200)).at(-1)).toBe('ack 200');
  });

  test('one at a time', async () => {
    const run = await startEngine(server(`{ reply: 'ack {{id}}', max_unacknowledged: 1 }`));
    const one = await sender(run);
    for (const id of range(1, 300)) one.client.socket.send(String(id));
    expect(await one.count(300)).toEqual(range(1, 300).map((id) => `ack ${id}`));
  });

  test('a client that never reads its acknowledgements is not read either; others are, and it goes on when it reads', async () => {
    const run = await startEngine(
      server(
        `{ id: id, reply: '{"ack":"{{id}}"}' }`,
        'in_flight: { messages: 100000 }',
        'ping_interval: 50ms\n      ping_timeout: 50ms',
      ),
    );
    const deaf = await rawUpgrade(await run.url());
    deaf.socket.pause();
    const id = 'x'.repeat(4000);
    const messages = Buffer.concat(
      range(1, 50).map((number) => frame('text', `{"id":"${number}${id}"}`, { mask: true })),
    );
    let sent = 0;
    // 80 MB of acknowledgements would not fit into any socket's buffer.
    for (; sent < 400; sent++) {
      if (!deaf.socket.write(messages) && deaf.socket.writableLength > 4_000_000) break;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until('it to be held', () => deaf.socket.writableLength > 0);
    const other = await sender(run);
    await send(other.client, '{"id":"o"}');
    await other.count(1);
    await run.idle();
    const before = run.output().messages.length;
    await send(other.client, '{"id":"p"}');
    await other.count(2);
    await run.idle();
    expect(run.output().messages).toHaveLength(before + 1);
    expect(before).toBeLessThan(sent * 50);
    // Nor is it taken for dead.
    expect(deaf.socket.destroyed).toBe(false);
    deaf.socket.resume();
    await until('all replies', () => deaf.messages.length === (sent + (sent < 400 ? 1 : 0)) * 50, {
      state: () => `${deaf.messages.length} of ${sent * 50}`,
    });
  });
});

describe('at shutdown', () => {
  test('messages taken in are acknowledged before the close with 1001', async () => {
    const run = await startEngine(server(byId));
    const one = await sender(run);
    run.output().hold();
    await send(one.client, '{"id":"a"}', '{"id":"b"}');
    await until('the output to be asked', () => run.output().writes > 0);
    const ended = run.stop();
    await roundTripOrHeld(run);
    expect(one.client.socket.readyState).toBe(1);
    run.output().release();
    await ended;
    expect(await one.client.closed).toEqual({ code: 1001, reason: 'going away' });
    expect(one.replies).toEqual(['{"ack":"a"}', '{"ack":"b"}']);
  });

  test('it waits for `drain.timeout` at most', async () => {
    const run = await startEngine(server(byId, '', 'drain: { timeout: 300ms }'));
    const one = await sender(run);
    run.output().hold();
    await send(one.client, '{"id":"a"}');
    await until('the output to be asked', () => run.output().writes > 0);
    const ended = run.stop();
    expect((await one.client.closed).code).toBe(1001);
    expect(one.replies).toEqual([]);
    run.output().release();
    await ended;
    expect(run.output().texts).toEqual(['{"id":"a"}']);
  });

  test('messages in the buffer are acknowledged, too', async () => {
    const run = await startEngine(server(byId, 'buffer: { type: memory, capacity: 1000, timeout: 1h }'));
    const one = await sender(run);
    await send(one.client, '{"id":"a"}');
    await run.metricIs(1, 'millrace_state_messages');
    await run.stop();
    expect(await one.client.closed).toEqual({ code: 1001, reason: 'going away' });
    expect(one.replies).toEqual(['{"ack":"a"}']);
  });

  /** Resolves when the stream is draining. */
  async function roundTripOrHeld(run: Run): Promise<void> {
    await until('the drain', async () => (await run.http('/readiness')).status === 503);
  }
});

test('a sink that is killed takes nothing: the acknowledgement comes when it is back and has the message', async () => {
  const sink = await new FaultServer().up();
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ack: ${byId} }
    output: { type: websocket, url: "${sink.url}", reconnect: { initial: 1ms, max: 20ms } }
`);
  const one = await sender(run);
  await send(one.client, '{"id":"a"}');
  await one.count(1);
  await sink.down();
  await run.logged(/connection|connect/, ({ level, stage }) => level >= 40 && stage === 'output');
  await send(one.client, '{"id":"b"}');
  await until('the message', async () => (await run.inFlight()).messages === 1);
  await one.roundTrip();
  expect(one.replies).toHaveLength(1);
  await sink.up();
  expect(await one.count(2)).toEqual(['{"ack":"a"}', '{"ack":"b"}']);
  expect(sink.peers.at(-1)!.texts).toEqual(['{"id":"b"}']);
});

test('a session that has gone gets nothing, and nobody is harmed', async () => {
  const run = await startEngine(server(byId));
  const [gone, other] = [await sender(run), await sender(run)];
  run.output().hold();
  await send(gone.client, '{"id":"a"}');
  await until('the output to be asked', () => run.output().writes > 0);
  await send(other.client, '{"id":"b"}');
  gone.client.socket.terminate();
  await until('its end', async () => (await run.metric('millrace_connections_open', 'stage="input"')) === 1);
  run.output().release();
  expect(await other.count(1)).toEqual(['{"ack":"b"}']);
  await run.idle();
  await run.metricIs(1, 'millrace_acks_sent_total');
});

test('lifecycle events are not acknowledged, and do not count in the number', async () => {
  const run = await startEngine(server(`{ reply: 'ack {{id}}' }`, '', 'lifecycle_events: true'));
  const one = await sender(run);
  await send(one.client, 'a', 'b');
  expect(await one.count(2)).toEqual(['ack 1', 'ack 2']);
  await run.output().count(3);
  one.client.socket.close();
  await run.output().count(4);
  await run.idle();
  expect(one.replies).toHaveLength(2);
});

test('a client that waits for its acknowledgement is not idle', async () => {
  const run = await startEngine(server(`{ reply: 'ack {{id}}' }`, '', 'limits: { idle_timeout: 100ms }'));
  const one = await sender(run);
  run.output().hold();
  await send(one.client, 'a');
  await until('the output to be asked', () => run.output().writes > 0);
  const waiting = performance.now();
  await until('half a second', () => performance.now() - waiting > 500);
  expect(one.client.socket.readyState).toBe(1);
  run.output().release();
  expect(await one.count(1)).toEqual(['ack 1']);
  expect(await one.client.closed).toEqual({ code: 1008, reason: 'idle' });
});

test('a message that a rate holds back is acknowledged when it has come in', async () => {
  const run = await startEngine(
    server(`{ reply: 'ack {{id}}' }`, '', 'limits: { messages_per_second: 100, bytes_per_second: 100KiB }'),
  );
  const one = await sender(run);
  for (const id of range(1, 150)) one.client.socket.send(String(id));
  expect(await one.count(150)).toEqual(range(1, 150).map((id) => `ack ${id}`));
});

test('an output that replies to the session: its answer and the acknowledgement both come', async () => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ack: { reply: 'ack {{id}}' }, compression: true }
    output: { type: websocket, mode: reply }
`);
  const one = new Sender(await connectClient(await run.url(), { perMessageDeflate: true }));
  for (const id of range(1, 100)) one.client.socket.send(`m${id}`);
  await one.count(200);
  expect(one.replies.filter((reply) => reply.startsWith('ack'))).toEqual(
    range(1, 100).map((id) => `ack ${id}`),
  );
  expect(one.replies.filter((reply) => reply.startsWith('m'))).toEqual(range(1, 100).map((id) => `m${id}`));
});

test('a Python client that sends the next message when the last is acknowledged, and repeats unacknowledged ones', async () => {
  const run = await startEngine(server(byId));
  const script = `
import asyncio, json, sys
async def main():
    async with websockets.connect(sys.argv[1]) as ws:
        for n in range(200):
            await ws.send(json.dumps({"id": f"m-{n}"}))
            assert json.loads(await asyncio.wait_for(ws.recv(), 10)) == {"ack": f"m-{n}"}
        for n in range(200, 1000):
            await ws.send(json.dumps({"id": f"m-{n}"}))
        waiting = {f"m-{n}" for n in range(200, 1000)}
        while waiting:
            waiting.remove(json.loads(await asyncio.wait_for(ws.recv(), 10))["ack"])
        print("acknowledged")
asyncio.run(main())
`;
  const tool = python(script, await run.url());
  await tool.line(/^acknowledged$/);
  expect(run.output().values).toEqual(range(0, 999).map((n) => ({ id: `m-${n}` })));
});

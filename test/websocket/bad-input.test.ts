import { isUtf8 } from 'node:buffer';
import { expect, test } from 'vitest';
import { expectLetter, openFeed, type Payload } from '../support/bad-input.ts';
import { startEngine } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { hostile, odd } from '../support/payload-cases.ts';
import { rawUpgrade } from '../support/peers.ts';

const invalidJson = { code: 'MILLRACE_CODEC_INVALID_JSON', stage: 'codec' };
const invalidUtf8 = { code: 'MILLRACE_CODEC_INVALID_UTF8', stage: 'codec' };

const wrong: readonly (readonly [string, readonly Payload[]])[] = [
  ['malformed JSON', ['{"a":', '{a:1}', "{'a':1}", '{"a":1,}', 'NaN', '01', 'tru']],
  ['an empty message', ['', Buffer.alloc(0)]],
  ['a byte order mark', ['\ufeff{"a":1}']],
  ['a NUL in a string', ['{"a":"\0"}', '\0', '{"a":1}\0']],
  ['a line break in a string', ['{"a":"x\ny"}', '{"a":"x\r\ny"}']],
  [
    'bytes that are not UTF-8',
    [Buffer.from('{"a":"\xff"}', 'latin1'), Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
  ],
  ['two values in one message', ['{"a":1}{"b":2}', '{"a":1}\n{"b":2}', '1 2', '{"a":1},{"b":2}']],
  ...hostile.map(([title, payloads]) => [`crafted: ${title}`, payloads] as const),
];

const isText = (payload: Payload): boolean => isUtf8(Buffer.from(payload as string));

test.each(wrong)(
  '%s: each is a dead letter, its neighbours come through exactly and in order',
  async (_, payloads) => {
    const feed = await openFeed();
    const good = payloads.map((__, index) => `{"neighbour":${index}}`);
    // Between good ones each, and then all in a row between two.
    feed.send(...payloads.flatMap((payload, index) => [good[index]!, payload]), '{"last":1}');
    feed.send(...payloads, '{"end":1}');
    const { texts, letters } = await feed.results();
    expect(texts).toEqual([...good, '{"last":1}', '{"end":1}']);
    expect(letters).toHaveLength(2 * payloads.length);
    const firstOfRow = 2 * payloads.length + 2;
    for (const [index, payload] of payloads.entries()) {
      const error = isText(payload) ? invalidJson : invalidUtf8;
      expectLetter(feed.run, letters[index], payload, 2 * index + 2, error);
      expectLetter(feed.run, letters[payloads.length + index], payload, firstOfRow + index, error);
    }
  },
);

test('correct messages come through byte for byte, however odd', async () => {
  const feed = await openFeed();
  const numbers = [
    '{"id":9007199254740993}',
    '[12345678901234567890123456789012345678901234567890, 0.1000000000000000055511151231257827]',
  ];
  feed.send(...odd, ...numbers, '{"a":"\\u0000\\n"}');
  const { texts, letters } = await feed.results();
  expect(texts).toEqual([...odd, ...numbers, '{"a":"\\u0000\\n"}']);
  expect(letters).toEqual([]);
});

test('without `error_output` a wrong message is in the log, cut at 1 KiB, and counted', async () => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json } }
    output: { type: collect }
`);
  const peer = await rawUpgrade(await run.url());
  peer.socket.write(
    Buffer.concat(['{', `{${'x'.repeat(5000)}`, '{}'].map((each) => frame('text', each, { mask: true }))),
  );
  expect(await run.output().count(1)).toEqual(['{}']);
  const lines = run.log.filter(({ msg }) => msg.startsWith('message rejected'));
  expect(lines).toMatchObject([
    { level: 40, code: 'MILLRACE_CODEC_INVALID_JSON', stage: 'codec', payload: '{' },
    {
      level: 40,
      code: 'MILLRACE_CODEC_INVALID_JSON',
      stage: 'codec',
      payload: `{${'x'.repeat(1023)}… (5001 bytes)`,
    },
  ]);
  await run.metricIs(2, 'millrace_dead_letters_total', 'stage="codec"', 'MILLRACE_CODEC_INVALID_JSON');
});

test.each([
  [1007, 'invalid UTF-8 in a text frame', frame('text', Buffer.from('"\xff"', 'latin1'), { mask: true })],
  [1009, 'an oversized frame', frame('text', '', { mask: true, declared: 2 ** 31 })],
])('%i: %s ends its connection and no other; earlier messages come through', async (code, _, bytes) => {
  const feed = await openFeed();
  const bad = await rawUpgrade(await feed.run.url());
  bad.socket.write(Buffer.concat([frame('text', '{"from":"bad"}', { mask: true }), bytes]));
  expect(await bad.closeCode()).toBe(code);
  feed.send('{"from":"good"}');
  expect((await feed.run.output().count(2)).toSorted()).toEqual(['{"from":"bad"}', '{"from":"good"}']);
  expect(await feed.run.metric('millrace_connections_open', 'stage="input"')).toBeGreaterThanOrEqual(1);
  expect(feed.run.output('errors').messages).toEqual([]);
});

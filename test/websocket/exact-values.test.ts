import { describe, expect, test } from 'vitest';
import { configMistakes, startEngine } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { FaultServer, rawUpgrade, send } from '../support/peers.ts';
import { sender } from '../support/senders.ts';

const client = (url: string, fields: string): string => `
streams:
  - input: { type: websocket, url: "${url}", reconnect: { initial: 1ms, max: 20ms }, ${fields} }
    output: { type: collect }
`;
const server = (fields: string): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /feed, ${fields} }
    output: { type: collect }
`;

/** The first message of a client with these fields, after `greeting`. */
async function firstOf(fields: string, greeting?: string, env: Record<string, string> = {}): Promise<string> {
  const peer = await new FaultServer((each) => {
    each.accept(greeting === undefined ? {} : { then: frame('text', greeting) });
  }).up();
  await startEngine(client(peer.url, fields), env);
  return (await (await peer.peer(0)).count(1))[0]!;
}

describe('numbers of the file', () => {
  const value =
    '{ id: 9007199254740993, price: 0.10, big: 123456789012345678901234567890, e: 1e2, z: [1.0] }';
  const written =
    '{"id":9007199254740993,"price":0.10,"big":123456789012345678901234567890,"e":1e2,"z":[1.0]}';

  test('reach the server in a step, a ping and an answer with their digits', async () => {
    expect(await firstOf(`on_open: [{ send: ${value} }]`)).toBe(written);
    expect(await firstOf(`heartbeat: { send: ${value}, interval: 5ms }`)).toBe(written);
    expect(await firstOf(`heartbeat: { reply: [{ match: go, send: ${value} }] }`, 'go')).toBe(written);
  });

  test('reach a client in a welcome, an ack and a negative ack with their digits', async () => {
    const run = await startEngine(
      `${server(`codec: { type: json }, welcome: ${value}, ack: { reply: ${value}, reject_reply: { no: 0.10 } }`)}    error_output: { type: collect, name: errors }`,
    );
    const peer = await rawUpgrade(await run.url());
    peer.socket.write(Buffer.concat(['1', '{'].map((text) => frame('text', text, { mask: true }))));
    const texts = await peer.count(3);
    expect(texts[0]).toBe(written);
    expect(texts.slice(1).toSorted()).toEqual(['{"no":0.10}', written].toSorted());
  });

  test('match messages that have their value to the last digit, and nothing else', async () => {
    const peer = await new FaultServer().up();
    const run = await startEngine(
      client(
        peer.url,
        'heartbeat: { ignore: [{ channel_id: 1256321578362011641 }, { p: [0.10] }, { q: 1.0 }] }',
      ),
    );
    const near = [
      '{"channel_id":1256321578362011640}',
      '{"channel_id":1256321578362011600}',
      '{"channel_id":"1256321578362011641"}',
      '{"p":[0.1000000000000000055511151231257827]}',
      '{"q":"1"}',
      '{"q":1.0000000000000000001}',
    ];
    const equal = [
      '{"channel_id":1256321578362011641}',
      '{"a":1, "channel_id" : 1.256321578362011641e18}',
      '{"channel_id":1256321578362011641.000}',
      '{"p":[0.1,2]}',
      '{"p":[1e-1]}',
      '{"q":1}',
      '{"q":10e-1}',
      '{"q":0.01E+2}',
    ];
    const connection = await peer.peer(0);
    for (const text of [...equal, ...near, 'end']) connection.socket.write(frame('text', text));
    expect(await run.output().count(near.length + 1)).toEqual([...near, 'end']);
  });

  test('decide what a step expects and rejects', async () => {
    const fields = 'on_open: [{ expect: { id: 9007199254740993 }, reject: [{ code: 9007199254740995 }] }]';
    const peer = await new FaultServer((each) => {
      const texts = ['{"code":9007199254740996}', '{"id":9007199254740992}', '{"id":9007199254740993}'];
      each.accept({ then: Buffer.concat(texts.map((text) => frame('text', text))) });
    }).up();
    const run = await startEngine(client(peer.url, fields));
    expect(await run.output().count(2)).toEqual(['{"code":9007199254740996}', '{"id":9007199254740992}']);
    await run.logged(/^input websocket connected/);
    const refusing = await new FaultServer((each) => {
      each.accept({ then: frame('text', '{"code":9007199254740995.0}') });
    }).up();
    await (
      await startEngine(client(refusing.url, fields))
    ).logged(/the server sent a message that `reject` names/);
  });
});

describe('the words of a peer are filled into', () => {
  const attack = '1,"op":"cancel_all"';

  test.each([
    [`'{"pong":{{json:ping}}}'`, JSON.stringify({ ping: attack }), JSON.stringify({ pong: attack })],
    [
      `'{"pong":"{{json:ping}}"}'`,
      JSON.stringify({ ping: '","op":"x' }),
      JSON.stringify({ pong: '","op":"x' }),
    ],
    [`'{"pong":{{json:ping}}}'`, '{"ping":9007199254740993.10}', '{"pong":9007199254740993.10}'],
    [`{ pong: "{{json:ping}}" }`, '{"ping":9007199254740993.10}', '{"pong":9007199254740993.10}'],
    [`{ pong: "{{json:ping}}" }`, '{"ping":{"a": [1.0, "x\\u0022"]} }', '{"pong":{"a": [1.0, "x\\u0022"]}}'],
    [`{ pong: "{{json:ping}}" }`, '{"ping":[]}', '{"pong":[]}'],
    [`{ pong: "{{json:ping}}" }`, '{"ping":true}', '{"pong":true}'],
    [`{ pong: "{{json:ping}}" }`, '{"ping":"9"}', '{"pong":"9"}'],
    [`{ pong: "{{json:ping}}" }`, JSON.stringify({ ping: attack }), JSON.stringify({ pong: attack })],
    [`{ pong: "no {{json:ping}}" }`, '{"ping":9.10}', '{"pong":"no 9.10"}'],
    [`{ pong: "{{json:ping:-0}}", or: "{{json:x:-a b}}" }`, '{"ping":null}', '{"pong":0,"or":"a b"}'],
    [
      `'PONG {{json:ping}}'`,
      JSON.stringify({ ping: '1\nCANCEL all\u0085\u0000' }),
      String.raw`PONG 1\nCANCEL all\u0085\u0000`,
    ],
    [`'42["pong",{{json:ping}}]'`, JSON.stringify({ ping: '"],["x' }), String.raw`42["pong","\"],[\"x"]`],
    [
      `"SEND\\n\\n{\\"a\\":\\"{{json:ping}}\\"}\\0"`,
      JSON.stringify({ ping: 'x"y' }),
      'SEND\n\n{"a":"x\\"y"}\0',
    ],
  ])('an answer: %s to %s', async (answer, ping, expected) => {
    expect(await firstOf(`heartbeat: { reply: [{ match: { }, send: ${answer} }] }`, ping)).toBe(expected);
  });

  test.each([
    [
      `'{"room":"{{meta:query.q}}"}'`,
      'x","admin":true,"y":"',
      '{"room":"x\\",\\"admin\\":true,\\"y\\":\\""}',
    ],
    [`'{"room":{{meta:query.q}}}'`, '1,"admin":true', '{"room":"1,\\"admin\\":true"}'],
    [`'{"room":{{meta:query.q}}}'`, '{"admin":true}', '{"room":"{\\"admin\\":true}"}'],
    [`{ room: "{{meta:query.q}}" }`, '1', '{"room":"1"}'],
    [`'WELCOME {{meta:query.q}}'`, 'x\r\nADMIN', String.raw`WELCOME x\r\nADMIN`],
  ])('a welcome: %s with %s', async (welcome, q, expected) => {
    const run = await startEngine(server(`welcome: ${welcome}, metadata: { query: [q] }`));
    const peer = await rawUpgrade(`${await run.url()}?q=${encodeURIComponent(q)}`);
    expect(await peer.count(1)).toEqual([expected]);
  });

  test('a negative ack, whatever the message and the reason are', async () => {
    const run = await startEngine(
      `${server(`codec: { type: json }, ack: { id: id, reply: ok, reject_reply: '{"id":{{id:-null}},"why":{{reason}},"n":"{{sequence}}","code":{{code}}}' }`)}    error_output: { type: collect, name: errors }`,
    );
    const one = await sender(run);
    await send(one.client, '"', '{"id":"a"}x');
    const replies = (await one.count(2)).map((text) => JSON.parse(text) as Record<string, unknown>);
    expect(replies.map(({ id, n, code }) => [id, n, code])).toEqual([
      [null, '1', 'MILLRACE_CODEC_INVALID_JSON'],
      [null, '2', 'MILLRACE_CODEC_INVALID_JSON'],
    ]);
  });
});

describe('variables, files and the time', () => {
  test.each([
    [
      `'{"id":{{env:ID}},"s":"{{env:ID}}"}'`,
      '9007199254740993',
      '{"id":9007199254740993,"s":"9007199254740993"}',
    ],
    [`'{"id":{{env:ID}}}'`, 'a"b', '{"id":"a\\"b"}'],
    [`'{"id":{{env:ID}}}'`, '{"a":1}', '{"id":{"a":1}}'],
    // A key of digits is no number.
    [`{ id: "{{env:ID}}" }`, '0123', '{"id":"0123"}'],
    [`{ id: "{{env:ID}}" }`, '123', '{"id":"123"}'],
    [`'LOGIN {{env:ID}}'`, 'a\nb', 'LOGIN a\nb'],
    [`'{{env:ID}}'`, '{"a":\n1}', '{"a":\n1}'],
  ])('%s with %s', async (message, ID, expected) => {
    expect(await firstOf(`on_open: [{ send: ${message} }]`, undefined, { ID })).toBe(expected);
  });

  test('the time in numbers is a number', async () => {
    const text = await firstOf(
      'on_open: [{ send: { ms: "{{now_ms}}", s: "{{now_s}}", now: "{{now}}", t: "t{{now_s}}" } }]',
    );
    expect(text).toMatch(/^\{"ms":\d{13},"s":\d{10},"now":"[\d:.TZ-]+","t":"t\d{10}"\}$/);
  });

  test('`${NAME}` is text in an object, and its digits in JSON as text', async () => {
    const fields = `on_open: [{ send: { id: "\${ID}" } }, { send: '{"id":\${ID}}' }]`;
    const peer = await new FaultServer().up();
    await startEngine(client(peer.url, fields), { ID: '9007199254740993.10' });
    expect(await (await peer.peer(0)).count(2)).toEqual([
      '{"id":"9007199254740993.10"}',
      '{"id":9007199254740993.10}',
    ]);
  });
});

test.each([
  [
    `'{"a":1{{json:x}}}'`,
    'a {{…}} beside other characters in JSON; expected it in quotes, or as a value of its own',
  ],
  [
    `'{"a":-{{json:x}}}'`,
    'a {{…}} beside other characters in JSON; expected it in quotes, or as a value of its own',
  ],
  [`'{"a":{{json:x}}{{json:y}}}'`, 'it begins as JSON but is not JSON'],
  [`'{"a":{{json:x}},}'`, 'it begins as JSON but is not JSON'],
  [`'{ {{json:x}}:1}'`, 'it begins as JSON but is not JSON'],
])('%s could not be filled in safely: it is a mistake', (answer, why) => {
  const [mistake] = configMistakes(
    client('ws://h/', `heartbeat: { reply: [{ match: go, send: ${answer} }] }`),
  );
  expect(mistake).toContain('heartbeat.reply[0].send: ');
  expect(mistake).toContain(why);
});

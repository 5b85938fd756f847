import { describe, expect, test } from 'vitest';
import { configMistakes, startEngine } from '../support/engine.ts';
import { opcodes } from '../support/frames.ts';
import { connectClient, rawUpgrade, send, type Client } from '../support/peers.ts';
import { python } from '../support/tools.ts';
import { until } from '../support/until.ts';

const server = (fields: string, more = ''): string => `
streams:
  - input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      path: /rooms/:room
${fields.replaceAll(/^/gm, '      ')}
    output: { type: collect }
${more}
`;

const urlOf = async (run: Awaited<ReturnType<typeof startEngine>>, room = 'blue'): Promise<string> =>
  `ws://127.0.0.1:${await run.port()}/rooms/${room}`;

/** The first message that comes. */
function first(client: Client): Promise<string> {
  return new Promise((resolve) =>
    client.socket.once('message', (data) => resolve((data as Buffer).toString())),
  );
}

describe('welcome', () => {
  test('text, filled in for each session', async () => {
    const run = await startEngine(
      server('welcome: "{{meta:param.room}} {{meta:session_id}} {{now_ms}} {{{{x}}"'),
    );
    const before = Date.now();
    const peer = await rawUpgrade(await urlOf(run, 'a%7B%7Bnow%7D%7D'));
    const [text] = await peer.count(1);
    const [, id, at] = /^a\{\{now\}\} ([0-9a-f-]{36}) (\d+) \{\{x\}\}$/.exec(text!)!;
    expect(Number(at)).toBeGreaterThanOrEqual(before);
    expect(Number(at)).toBeLessThanOrEqual(Date.now());
    peer.socket.end();
    const client = await connectClient(await urlOf(run));
    await send(client, 'hello');
    await run.output().count(1);
    expect(run.output().messages[0]!.ext['session_id']).not.toBe(id);
    expect(peer.messages[0]!.opcode).toBe(opcodes.text);
  });

  test('JSON keeps its structure, whatever is filled in', async () => {
    const welcome =
      'welcome: { hello: "{{meta:header.x-name}}", time: "{{now}}", list: [1, "{{now_s}}", null] }';
    const run = await startEngine(server(`${welcome}\nmetadata: { headers: [x-name] }`));
    const name = '"}, {"admin": "true';
    const peer = await rawUpgrade(await urlOf(run), { 'X-Name': name });
    const [text] = await peer.count(1);
    expect(JSON.parse(text!)).toEqual({
      hello: name,
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string,
      list: [1, expect.any(Number) as number, null],
    });
  });

  test('base64 goes out as a binary frame', async () => {
    const run = await startEngine(server('welcome: { base64: "AAEC/w==" }'));
    const peer = await rawUpgrade(await urlOf(run));
    await peer.count(1);
    expect(peer.messages[0]).toEqual({ opcode: opcodes.binary, payload: Buffer.from([0, 1, 2, 255]) });
  });

  test('a Python client and a fast sender both get it first', async () => {
    const run = await startEngine(
      server('welcome: hello', '').replace('port: 0', 'port: 0\n      ping_interval: 5ms'),
    );
    const script = `
import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1]) as ws:
        await ws.send("from python")
        print("got", await ws.recv())
asyncio.run(main())
`;
    expect(await python(script, await urlOf(run)).line(/^got/)).toBe('got hello');
    const peer = await rawUpgrade(await urlOf(run));
    await until('a ping', () => peer.pings > 0);
    expect(peer.frames[0]).toEqual({ opcode: opcodes.text, payload: Buffer.from('hello') });
    expect(await run.output().count(1)).toEqual(['from python']);
  });

  test('without a value there is no welcome, which is logged once; the client may stay', async () => {
    const run = await startEngine(
      server('welcome: "hello {{meta:header.x-name}}"\nmetadata: { headers: [x-name] }'),
    );
    const nameless = [await connectClient(await urlOf(run)), await connectClient(await urlOf(run))];
    const named = await rawUpgrade(await urlOf(run), { 'X-Name': 'Ada' });
    expect(await named.count(1)).toEqual(['hello Ada']);
    await send(nameless[1]!, 'still here');
    expect(await run.output().count(1)).toEqual(['still here']);
    const lines = run.log.filter(({ msg }) => msg.includes('welcome'));
    expect(lines.map(({ msg }) => msg)).toEqual([
      'a client gets no welcome message: {{meta:header.x-name}} has no value now; give it a default, as {{meta:header.x-name:-default}}',
    ]);
  });

  test('an unknown name and a missing message are mistakes at load', () => {
    expect(configMistakes(server('welcome: "{{nme}}"'))).toEqual([
      expect.stringMatching(/input\.welcome: a \{\{…\}\} of an unknown name; known here: \{\{meta:…\}\}/),
    ]);
    expect(configMistakes(server('welcome: null'))).toEqual([expect.stringMatching(/welcome: no message/)]);
    expect(configMistakes(server('welcome: { base64: "?" }'))).toEqual([
      expect.stringMatching(/welcome\.base64: .*not base64/),
    ]);
  });

  test('a name that no session has is a mistake at load, unless there is a default', () => {
    const mistakes = (welcome: string): string[] => configMistakes(server(`welcome: ${welcome}`));
    const none = 'streams[0].input.welcome: {{meta:';
    expect(mistakes('"{{meta:param.rom}}"')).toEqual([
      `${none}param.rom}}: no session has it: /rooms/:room has no parameter :rom`,
    ]);
    expect(mistakes('{ a: [1, "{{meta:header.x-name}}"] }')).toEqual([
      `${none}header.x-name}}: no session has it: add it to \`metadata.headers\``,
    ]);
    expect(mistakes('"{{meta:query.name}}"')).toEqual([
      `${none}query.name}}: no session has it: add it to \`metadata.query\``,
    ]);
    expect(mistakes('"{{meta:claim.role}}"')).toEqual([
      `${none}claim.role}}: no session has it: claims need \`auth: { type: jwt }\``,
    ]);
    expect(mistakes('"{{meta:sesion_id}}"')).toEqual([expect.stringContaining(`${none}sesion_id}}: `)]);
    expect(mistakes('"{{meta:param.room}} {{meta:subject:-guest}} {{meta:protocol}}"')).toEqual([]);
  });

  test('with compression it comes first as well', async () => {
    const run = await startEngine(server(`welcome: "${'hello '.repeat(500)}"\ncompression: true`));
    const client = await connectClient(await urlOf(run), { perMessageDeflate: true });
    expect(await first(client)).toBe('hello '.repeat(500));
  });
});

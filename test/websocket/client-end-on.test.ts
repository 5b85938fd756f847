import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cli } from '../support/cli.ts';
import { configMistakes, startEngine } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { FaultServer, type RawPeer } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { wsServer } from '../support/ws-server.ts';

const dir = tempDir();

function close(code: number): Buffer {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(code);
  return frame('close', payload);
}

/** Sends two messages and closes, in the packet of the handshake. */
const finite =
  (code: number) =>
  (peer: RawPeer): void =>
    void peer.accept({ then: Buffer.concat([frame('text', 'a'), frame('text', 'b'), close(code)]) });

const input = (url: string, more = ''): string => `
streams:
  - input: { type: websocket, url: ${url}, reconnect: { initial: 1ms, max: 5ms, end_on: [1000, '4000-4009'] }${more} }
    output: { type: collect }
`;

test.each([1000, 4005])(
  'a server that closes with %d has sent everything: the stream ends without an error',
  async (code) => {
    const server = await new FaultServer(finite(code)).up();
    const run = await startEngine(input(`"${server.url}"`));
    expect(await run.ended).toEqual({ failed: [], left: [] });
    expect(run.output().texts).toEqual(['a', 'b']);
    expect(server.peers).toHaveLength(1);
    expect(run.log.filter(({ level }) => level >= 40)).toEqual([]);
  },
);

test('messages in the pipeline are written first', async () => {
  const server = await wsServer((socket) => {
    socket.send('last');
    socket.close(1000, 'done');
  });
  const run = await startEngine(input(`"${server.url}"`, ', on_open: [{ send: go }]'));
  run.output().hold();
  await run.logged(/^connection closed with 1000/);
  expect(run.output().texts).toEqual([]);
  run.output().release();
  expect(await run.ended).toEqual({ failed: [], left: [] });
  expect(run.output().texts).toEqual(['last']);
});

test.each([
  ['another code', 1001],
  ['the end without a close', undefined],
])('with %s it connects again', async (_, code) => {
  let connections = 0;
  const server = await new FaultServer((peer) => {
    connections++;
    if (connections === 3) return finite(1000)(peer);
    peer.accept({ then: code === undefined ? frame('text', 'x') : close(code) });
    if (code === undefined) peer.socket.end();
  }).up();
  const run = await startEngine(input(`"${server.url}"`));
  expect(await run.ended).toEqual({ failed: [], left: [] });
  expect(connections).toBe(3);
});

test('an input of several URLs ends when all have, and is ready for the others meanwhile', async () => {
  const [one, two] = [await new FaultServer(finite(1000)).up(), await new FaultServer().up()];
  const run = await startEngine(input(`["${one.url}", "${two.url}"]`));
  await run.output().count(2);
  const peer = await two.peer(0);
  await run.logged(/^connection closed with 1000/);
  expect((await run.http('/readiness')).status).toBe(200);
  peer.socket.write(Buffer.concat([frame('text', 'c'), close(1000)]));
  expect(await run.ended).toEqual({ failed: [], left: [] });
  expect(run.output().texts.toSorted()).toEqual(['a', 'b', 'c']);
});

test('with `redundancy` and `dedupe`, each message is there once', async () => {
  const server = await new FaultServer(
    (peer) =>
      void peer.accept({
        then: Buffer.concat([frame('text', '{"id":1}'), frame('text', '{"id":2}'), close(1000)]),
      }),
  ).up();
  const run = await startEngine(input(`"${server.url}"`, ', redundancy: 2, dedupe: { key: id }'));
  expect(await run.ended).toEqual({ failed: [], left: [] });
  expect(run.output().texts.toSorted()).toEqual(['{"id":1}', '{"id":2}']);
});

test('`millrace run` exits with 0, and the file has everything', async () => {
  const server = await wsServer((socket) => {
    for (let n = 0; n < 1000; n++) socket.send(String(n));
    socket.close(1000);
  });
  const out = join(dir.path, 'out.txt');
  const file = dir.file(
    'finite.yaml',
    `
health_check: { enabled: false }
streams:
  - input: { type: websocket, url: "${server.url}", on_open: [{ send: go }], reconnect: { end_on: [1000] } }
    output: { type: file, path: "${out}" }
`,
  );
  const { code, stderr } = await cli(['run', file]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.not.stringMatching(/WARN|ERROR/) });
  expect(readFileSync(out, 'utf8').split('\n').slice(0, -1)).toEqual(
    Array.from({ length: 1000 }, (_, n) => String(n)),
  );
  expect(server.connections).toHaveLength(1);
});

test('mistakes', () => {
  const mistakes = (fields: string): string[] =>
    configMistakes(`[{ input: { type: websocket, url: "ws://h/", reconnect: { ${fields} } } }]`);
  expect(mistakes("end_on: ['1000-1001'], stop_on: { close_codes: [1001] }")).toEqual([
    '[0].input.reconnect.end_on[0]: 1001 is also in `stop_on`; it cannot both end the stream and fail it',
  ]);
  expect(mistakes('end_on: [1006]')).toEqual([expect.stringMatching(/1006 is never sent/)]);
  expect(
    configMistakes(
      '[{ input: { type: generate, context: x }, output: { type: websocket, url: "ws://h/", reconnect: { end_on: [1000] } } }]',
    ),
  ).toEqual([
    '[0].output.reconnect.end_on: is for an input; an output ends when there is nothing more to write',
  ]);
});

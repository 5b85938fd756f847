import { expect, test } from 'vitest';
import { configMistakes, startEngine } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { FaultServer } from '../support/peers.ts';

/** A text message in so many frames. */
function inFragments(count: number): Buffer {
  const parts = Array.from({ length: count }, (_, index) =>
    frame(index === 0 ? 'text' : 'continuation', 'x', { fin: index === count - 1 }),
  );
  return Buffer.concat(parts);
}

const quick = 'reconnect: { initial: 1ms, max: 5ms }';

test('`limits.fragments` of a client: a message in more frames closes its connection with 1008', async () => {
  const server = await new FaultServer((peer) => {
    peer.accept({ then: Buffer.concat([inFragments(10), inFragments(11)]) });
  }).up();
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "${server.url}", limits: { fragments: 10 }, ${quick} }
    output: { type: collect }
`);
  expect((await run.output().count(1))[0]).toBe('x'.repeat(10));
  expect(await (await server.peer(0)).closeCode()).toBe(1008);
  await run.logged(
    /^input lost its connection: .*closed the connection .* with 1008: Too many message fragments/,
  );
  expect(run.output().texts).not.toContain('x'.repeat(11));
});

test('and of an output', async () => {
  const server = await new FaultServer((peer) => void peer.accept({ then: inFragments(3) })).up();
  await startEngine(`
streams:
  - input: { type: generate, count: 1, context: hi }
    output: { type: websocket, url: "${server.url}", limits: { fragments: 2 }, ${quick} }
`);
  expect(await (await server.peer(0)).closeCode()).toBe(1008);
});

test('without it there may be 16,384', async () => {
  const server = await new FaultServer((peer) => {
    peer.accept({ then: Buffer.concat([inFragments(16_384), inFragments(16_385)]) });
  }).up();
  const run = await startEngine(`
streams:
  - input: { type: websocket, url: "${server.url}", reconnect: { max_attempts: 1 } }
    output: { type: collect }
`);
  expect(await (await server.peer(0)).closeCode()).toBe(1008);
  expect(await run.output().count(1)).toEqual(['x'.repeat(16_384)]);
});

test('the other limits are for servers', () => {
  const mistakes = (fields: string): string[] =>
    configMistakes(`[{ input: { type: websocket, url: "ws://h/", ${fields} } }]`);
  expect(mistakes('limits: { fragments: 10 }')).toEqual([]);
  expect(mistakes('limits: { fragments: 10, connections: 5, idle_timeout: 5s }')).toEqual([
    '[0].input.limits.connections: only for `mode: server`; this is `mode: client`',
    '[0].input.limits.idle_timeout: only for `mode: server`; this is `mode: client`',
  ]);
  expect(
    configMistakes(
      '[{ input: { type: generate, context: x }, output: { type: websocket, url: "ws://h/", limits: { connections: 5 } } }]',
    ),
  ).toEqual(['[0].output.limits.connections: only for `mode: server`; this is `mode: client`']);
});

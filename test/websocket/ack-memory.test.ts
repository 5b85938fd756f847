import { expect, test } from 'vitest';
import { frame } from '../support/frames.ts';
import { rawUpgrade } from '../support/peers.ts';
import { pour } from '../support/pour.ts';
import { MIB, serverYaml, victims, whileOthersWork } from '../support/victim.ts';

const { start } = victims();

test('clients that flood and never read their acknowledgements are held, and memory stays bounded while others work', async () => {
  const victim = await start(
    serverYaml(`ack: { id: id, reply: '{"ack":"{{id}}"}' }`, 'messages: 20000, bytes: 8MiB'),
  );
  const url = await victim.url();
  const peers = await Promise.all(Array.from({ length: 10 }, () => rawUpgrade(url)));
  for (const { socket } of peers) socket.pause();
  const id = 'x'.repeat(2000);
  const flood = Buffer.concat(
    Array.from({ length: 100 }, (_, number) => frame('text', `{"id":"${number}${id}"}`, { mask: true })),
  );
  const growth = await whileOthersWork(victim, async (others) => {
    const over = others.messages(150);
    await Promise.all(peers.map(({ socket }) => pour(socket, flood, over)));
  });
  // Messages in flight when a client is held may still get replies: a quarter of `in_flight` for each client.
  expect(growth).toBeLessThan(128 * MIB);
  expect(peers.map(({ socket }) => socket.destroyed)).toEqual(peers.map(() => false));
  for (const { socket } of peers) socket.destroy();
});

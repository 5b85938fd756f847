import { expect, test } from 'vitest';
import type { Delivery } from '../../src/message/delivery.ts';
import { joinDeliveries } from '../../src/message/delivery.ts';
import { freePort, connectClient, send } from '../support/peers.ts';
import { Sender } from '../support/senders.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';
import { engineFor, testOutput, testProcessor, textsOf } from './harness.ts';

const dir = tempDir();

/** Keeps everything as state until the message `enough`. */
function hoarding() {
  const held: Delivery[] = [];
  let flushAt: number | undefined;
  const definition = testProcessor('hoard', {
    ordered: true,
    get flushAt() {
      return flushAt;
    },
    process: (batch, { keep }) => {
      const receipt = keep();
      receipt.park();
      held.push({ batch, receipt });
      if (textsOf(batch).includes('enough')) flushAt = performance.now();
      return [];
    },
    flush: () => {
      flushAt = undefined;
      return joinDeliveries(held.splice(0));
    },
  });
  return { definition, count: () => held.reduce((sum, { batch }) => sum + batch.length, 0) };
}

test.each([
  ['without a log', ''],
  ['with a log', 'durability: { enabled: true, path: "LOG" }'],
])('messages kept as state are not in flight, whoever counts them: %s', async (name, durability) => {
  const port = await freePort();
  const hoard = hoarding();
  const written: string[] = [];
  const output = testOutput('collect', {
    write: (batch) => {
      written.push(...textsOf(batch));
      return Promise.resolve();
    },
  });
  const engine = engineFor(
    `streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: ${port}, ack: { reply: 'ack {{sequence}}' } }
    in_flight: { messages: 10 }
    buffer: { type: memory, capacity: 5, timeout: 10ms }
    pipeline: { processors: [{ type: hoard }] }
    output: { type: collect }
    ${durability.replace('LOG', `${dir.path}/${name}`)}`,
    [hoard.definition, output],
  );
  expect(await engine.prepare()).toEqual([]);
  const ended = engine.run();
  await until('it to listen', () => engine.health()[0]!.ready);
  const senders = await Promise.all(
    [1, 2].map(async () => new Sender(await connectClient(`ws://127.0.0.1:${port}/`))),
  );
  const texts = Array.from({ length: 200 }, (_, index) => String(index));
  for (const { client } of senders) await send(client, ...texts);
  await until('all to be kept', () => hoard.count() === 400, { state: () => `${hoard.count()} are` });
  expect(engine.health()[0]!.ready).toBe(true);
  // It is not safe anywhere yet.
  for (const sender of senders) expect(sender.replies).toEqual([]);
  for (const { client } of senders) await send(client, 'enough');
  for (const sender of senders) {
    const numbers = Array.from({ length: 201 }, (_, index) => `ack ${index + 1}`);
    expect((await sender.count(201)).toSorted()).toEqual(numbers.toSorted());
  }
  engine.stop();
  expect(await ended).toEqual({ failed: [], left: [] });
  expect(written.toSorted()).toEqual([...texts, 'enough', ...texts, 'enough'].toSorted());
});

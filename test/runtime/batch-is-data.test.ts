import { expect, test } from 'vitest';
import type { Batch } from '../../src/message/batch.ts';
import { connectClient, freePort, send } from '../support/peers.ts';
import { RELIABLE, rawClient } from '../support/pubsub.ts';
import { until } from '../support/until.ts';
import { engineFor, testOutput } from './harness.ts';

test('a batch that an output gets can be cloned whole, whoever sent it and whoever waits for its acknowledgement', async () => {
  const port = await freePort();
  const batches: Batch[] = [];
  const output = testOutput('collect', {
    write: (batch) => {
      batches.push(batch);
      return Promise.resolve();
    },
  });
  const engine = engineFor(
    `streams:
  - input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: ${port}
      protocols: [${RELIABLE}, other]
      lifecycle_events: true
      ack: { reply: 'ack {{sequence}}', reject_reply: 'nack {{sequence}}' }
      dedupe: { key: id, per: all }
    output: { type: collect }`,
    [output],
  );
  expect(await engine.prepare()).toEqual([]);
  const ended = engine.run();
  await until('it to listen', () => engine.health()[0]!.ready);
  const url = `ws://127.0.0.1:${port}/`;
  await send(await connectClient(url, { protocols: ['other'] }), '{"id":1}', '{"id":2}');
  const client = await rawClient(url);
  client.say({ type: 'sendToGroup', group: 'room', dataType: 'json', data: { id: 3 }, ackId: 1 });
  await client.got({ ackId: 1 });
  await until('all messages', () => batches.flatMap((batch) => batch.payloads).length >= 5);
  engine.stop();
  await ended;
  for (const { runs, payloads } of batches) {
    expect(structuredClone({ runs, payloads: payloads.map((payload) => [...payload]) })).toEqual({
      runs,
      payloads: payloads.map((payload) => [...payload]),
    });
  }
});

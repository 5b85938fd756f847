import { describe, expect, test } from 'vitest';
import { Batch } from '../../src/message/batch.ts';
import type { Delivery } from '../../src/message/delivery.ts';
import { parseJsonPath } from '../../src/message/json-path.ts';
import { createReceipt } from '../../src/message/receipt.ts';
import { Dedupe } from '../../src/delivery/dedupe.ts';
import { configMistakes, startEngine } from '../support/engine.ts';
import { basic } from '../support/handshakes.ts';
import { send } from '../support/peers.ts';
import { sender } from '../support/senders.ts';
import { until } from '../support/until.ts';

const server = (dedupe: string, fields = '', more = ''): string => `
streams:
  - input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      dedupe: ${dedupe}
      ${fields}
    output: { type: collect }
    ${more}
`;

const users = 'auth: { type: basic, users: { ann: pass, bob: pass } }';
const acks = `ack: { id: id, reply: 'ack {{id}}', reject_reply: 'nack {{id}}' }`;

describe('the owner of keys', () => {
  test('a server’s senders that count from 1 lose nothing to each other', async () => {
    const run = await startEngine(server('{ key: id }'));
    const [one, two] = [await sender(run), await sender(run)];
    await send(one.client, '{"id":1,"from":1}', '{"id":1,"from":1}');
    await send(two.client, '{"id":1,"from":2}', '{"id":2,"from":2}');
    await run.output().count(3);
    await run.metricIs(1, 'millrace_messages_dropped_total', 'reason="duplicate"');
    expect(run.output().texts.toSorted()).toEqual([
      '{"id":1,"from":1}',
      '{"id":1,"from":2}',
      '{"id":2,"from":2}',
    ]);
  });

  test('a subject has the same keys on its next connection', async () => {
    const run = await startEngine(server('{ key: id }', `${users}\n      ${acks}`));
    const one = await sender(run, basic('ann', 'pass'));
    await send(one.client, '{"id":"x"}');
    await one.count(1);
    one.client.socket.close();
    await one.client.closed;
    const again = await sender(run, basic('ann', 'pass'));
    const other = await sender(run, basic('bob', 'pass'));
    await send(again.client, '{"id":"x"}', '{"id":"y"}');
    await send(other.client, '{"id":"x"}');
    expect(await again.count(2)).toEqual(['ack x', 'ack y']);
    expect(await other.count(1)).toEqual(['ack x']);
    await run.metricIs(1, 'millrace_messages_dropped_total', 'reason="duplicate"');
    expect(run.output().messages.map(({ ext }) => ext['subject'])).toHaveLength(3);
  });

  test('a session has its own keys', async () => {
    const run = await startEngine(server('{ key: id, per: session }', users));
    const [one, two] = [await sender(run, basic('ann', 'pass')), await sender(run, basic('ann', 'pass'))];
    await send(one.client, '{"id":"x"}', '{"id":"x"}', '{"id":"y"}');
    await run.output().count(2);
    await send(two.client, '{"id":"x"}');
    expect(await run.output().count(3)).toEqual(['{"id":"x"}', '{"id":"y"}', '{"id":"x"}']);
  });

  test('combinations that make no sense are mistakes at load', () => {
    expect(configMistakes(server('{ key: id, per: subject }'))).toEqual([
      expect.stringMatching(/dedupe\.per: needs `auth`; without it, no session has a subject/),
    ]);
    const client = (more: string): string =>
      `streams: [{ input: { type: websocket, url: "ws://a/", ${more} }, output: { type: collect } }]`;
    expect(configMistakes(client('dedupe: { key: id, per: subject }'))).toEqual([
      expect.stringMatching(/dedupe\.per: only the clients of a server have a subject/),
    ]);
    expect(configMistakes(client('redundancy: 2, dedupe: { key: id, per: session }'))).toEqual([
      expect.stringMatching(
        /dedupe\.per: with `redundancy`, a message comes on several sessions; expected `all`/,
      ),
    ]);
  });
});

describe('a message that comes again', () => {
  test('is acknowledged when the first is, and not passed on', async () => {
    const run = await startEngine(server('{ key: id, per: all }', acks));
    const [one, two] = [await sender(run), await sender(run)];
    run.output().hold();
    await send(one.client, '{"id":"x"}');
    await until('the output to be asked', () => run.output().writes > 0);
    await send(two.client, '{"id":"x"}', '{"id":"x"}');
    await until('all three', async () => (await run.inFlight()).messages === 3);
    await two.roundTrip();
    expect([...one.replies, ...two.replies]).toEqual([]);
    run.output().release();
    expect(await two.count(2)).toEqual(['ack x', 'ack x']);
    expect(await one.count(1)).toEqual(['ack x']);
    await send(two.client, '{"id":"x"}');
    await two.count(3);
    await run.idle();
    expect(run.output().texts).toEqual(['{"id":"x"}']);
  });

  test('is rejected to its sender if the first was, and is not in error_output again', async () => {
    const sql = `pipeline: { processors: [{ type: sql, query: "SELECT id, CASE WHEN id = 'bad' THEN error('no') ELSE 1 END AS v FROM flow" }] }`;
    const run = await startEngine(
      server(
        '{ key: id, per: all }',
        `${acks}\n      codec: { type: json }`,
        `${sql}\n    error_output: { type: collect, name: errors }`,
      ),
    );
    const one = await sender(run);
    run.output('errors').hold();
    await send(one.client, '{"id":"bad"}');
    await until('error_output to be asked', () => run.output('errors').writes > 0);
    await send(one.client, '{"id":"bad"}', '{"id":"good"}');
    await run.output().count(1);
    await one.roundTrip();
    expect(one.replies.filter((reply) => reply !== 'ack good')).toEqual([]);
    run.output('errors').release();
    await one.count(3);
    await send(one.client, '{"id":"bad"}', '{"id":"good"}');
    await one.count(5);
    expect(one.replies.toSorted()).toEqual(['ack good', 'ack good', 'nack bad', 'nack bad', 'nack bad']);
    expect(run.output('errors').messages).toHaveLength(1);
    await run.idle();
  });

  test('counts as new when the first was not taken', () => {
    const dedupe = new Dedupe({
      path: parseJsonPath('id')!,
      per: 'all',
      window: 60_000,
      maxKeys: 2,
      space: 'a',
      formerSpace: 'b',
      durability: undefined,
      dropped: () => {},
    });
    const ended: unknown[] = [];
    const delivery = (...ids: string[]): Delivery => ({
      batch: new Batch(
        ids.map((id) => Buffer.from(`{"id":"${id}"}`)),
        { runs: [{ start: 0, origin: { source: '', ext: {} }, time: 0, sequence: 1 }] },
      ),
      receipt: createReceipt({ settled: (error) => ended.push(error ?? 'taken') }),
    });
    const failed = new Error('disk');
    const first = dedupe.filter(delivery('a', 'b'))!;
    expect(dedupe.filter(delivery('a'))).toBeUndefined();
    expect(ended).toEqual([]);
    first.receipt.failed(failed);
    expect(ended).toEqual([failed, failed]);
    expect(dedupe.size).toBe(0);
    const again = dedupe.filter(delivery('b', 'a', 'c'))!;
    expect(again.batch.length).toBe(3);
    again.receipt.done();
    expect(dedupe.filter(delivery('a', 'c'))).toBeUndefined();
    // `max_keys` has put the oldest out.
    expect(dedupe.filter(delivery('b'))?.batch.length).toBe(1);
    expect(dedupe.size).toBe(2);
  });
});

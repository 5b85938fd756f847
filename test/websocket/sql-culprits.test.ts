import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { send } from '../support/peers.ts';
import { sender } from '../support/senders.ts';

const NINES = '9'.repeat(38);
const told = { MILLRACE_PROCESSOR_FAILED: 'the message could not be processed' };

const windows = (query: string): string => `
streams:
  - input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      codec: { type: json }
      ack: { id: id, reply: { ack: '{{id}}' }, reject_reply: { nack: '{{id}}', code: '{{code}}', reason: '{{reason}}' } }
    buffer: { type: tumbling_window, interval: 2s }
    pipeline: { processors: [ { type: sql, query: "${query}" } ] }
    output: { type: collect }
    error_output: { type: collect, name: errors }
`;

interface Row {
  readonly account: string;
  readonly s: number;
}

test('two messages that overflow a sum are rejected, and the window of everybody else goes on', async () => {
  const run = await startEngine(windows('SELECT account, sum(amount) AS s FROM flow GROUP BY account'));
  const [good, other, bad] = [await sender(run), await sender(run), await sender(run)];
  // The three are in one window, unless it ends just then; repeated ones are in a later window.
  for (let round = 0; run.output('errors').messages.length < 2; round++) {
    await send(good.client, `{"id":"g${round}","account":"g","amount":11}`);
    await send(other.client, `{"id":"o${round}","account":"o","amount":22}`);
    await send(
      bad.client,
      `{"id":"b${round}","account":"b","amount":${NINES}}`,
      `{"id":"c${round}","account":"b","amount":${NINES}}`,
    );
    await Promise.all([good.count(round + 1), other.count(round + 1), bad.count(2 * round + 2)]);
  }
  const rows = run.output().values as Row[];
  const sum = (account: string): number =>
    rows.filter((row) => row.account === account).reduce((all, { s }) => all + s, 0);
  expect([sum('g'), sum('o')]).toEqual([11 * good.replies.length, 22 * other.replies.length]);
  expect([...good.replies, ...other.replies].join()).not.toContain('nack');
  const nacks = bad.values.filter((value) => Object.hasOwn(value as object, 'nack'));
  expect(nacks).toHaveLength(2);
  for (const nack of nacks) {
    const { code, reason } = nack as { code: keyof typeof told; reason: string };
    expect(reason).toBe(told[code]);
  }
});

import { setImmediate, setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import { startEngine } from '../support/engine.ts';
import type { Collector } from '../support/collect-output.ts';
import { flood } from '../support/flooder.ts';
import { connectClient, send, type Client } from '../support/peers.ts';
import { standstill, until } from '../support/until.ts';

const SLOW = 1000;
const ROUNDS = 5;
const IN_FLIGHT = 10_000;
const SHARE = 0.1;
/** The flood’s messages. */
const SIZE = 126;
/** The most that one read of a socket can bring, after which it is not read again. */
const CHUNK = Math.ceil((64 * 1024) / SIZE);

/** Lets one write of the output through now and then, until the test is over; none while it is told to `stand`. */
function slowDown(output: Collector): { stand: boolean } {
  const over = new AbortController();
  const state = { stand: false };
  afterTest(() => {
    over.abort();
    output.release();
  });
  output.hold();
  const step = async (): Promise<void> => {
    await setTimeout(5);
    if (!state.stand) output.release();
    await setImmediate();
    if (over.signal.aborted) return;
    output.hold();
    await step();
  };
  void step();
  return state;
}

test('a flood does not starve a thousand quiet senders: each message waits for a share of the flood, not for all of it', async () => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, limits: { in_flight_share: ${SHARE} } }
    output: { type: collect }
    in_flight: { messages: ${IN_FLIGHT} }
`);
  const url = await run.url();
  const clients: Client[] = [];
  while (clients.length < SLOW) {
    clients.push(...(await Promise.all(Array.from({ length: 100 }, () => connectClient(url)))));
  }
  const output = run.output();
  let flooded = 0;
  let seen = 0;
  /** How many of the flood's messages have come out. */
  const count = (): number => {
    for (; seen < output.messages.length; seen++)
      if (output.messages[seen]!.payload.length === SIZE) flooded++;
    return flooded;
  };
  const pace = slowDown(output);
  const flooder = flood(url, 1, SIZE);
  await until('the flood to have come and to be held', async () => {
    return count() > IN_FLIGHT && (await flooder.state()).blocked === 1;
  });

  const sentAt = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    // Nothing comes out until what is read of them has been, however busy the machine is.
    pace.stand = true;
    for (const [index, client] of clients.entries()) {
      await send(client, `${index}/${round}`);
    }
    await standstill('what can be read to have been', async () => (await run.inFlight()).messages);
    const before = count();
    for (const index of clients.keys()) sentAt.set(`${index}/${round}`, before);
    pace.stand = false;
  }
  await until('all of the slow ones’ messages', () => output.messages.length - count() >= SLOW * ROUNDS, {
    timeout: 60_000,
    state: () => `${output.messages.length - count()} came`,
  });
  await flooder.stop();

  let before = 0;
  let longest = 0;
  const rounds = clients.map(() => 0);
  for (const { payload } of output.messages) {
    if (payload.length === SIZE) {
      before++;
      continue;
    }
    const text = Buffer.from(payload).toString();
    longest = Math.max(longest, before - sentAt.get(text)!);
    const [index, round] = text.split('/').map(Number) as [number, number];
    expect(round, text).toBe(rounds[index]);
    rounds[index] = round + 1;
  }
  expect(rounds.every((each) => each === ROUNDS)).toBe(true);
  // The flood's share of in_flight, the read that went beyond it, and a few that came while the message was on its
  // way. Without a share of its own the flood fills all that may be in flight, and again while the others are not read.
  expect(longest).toBeLessThanOrEqual(IN_FLIGHT * SHARE + 6 * CHUNK);
  expect(IN_FLIGHT * SHARE + 6 * CHUNK).toBeLessThan(IN_FLIGHT / 2);
  expect(clients.filter(({ socket }) => socket.readyState !== socket.OPEN)).toEqual([]);
  expect(await run.metric('millrace_connections_open', 'stage="input"')).toBe(SLOW + 1);
}, 120_000);

test('a session that fills its share does not block the others when it leaves', async () => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0 }
    output: { type: collect }
    in_flight: { messages: 100 }
`);
  const url = await run.url();
  run.output().hold();
  for (let round = 0; round < 10; round++) {
    const greedy = await connectClient(url);
    await send(greedy, ...Array.from({ length: 5 }, () => 'greedy'));
    greedy.socket.close();
    await greedy.closed;
  }
  run.output().release();
  await run.output().count(50);
  await run.idle();
  const last = await connectClient(url);
  await send(last, ...Array.from({ length: 100 }, () => 'last'));
  await run.output().count(150);
});

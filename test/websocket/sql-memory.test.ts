import { expect, test } from 'vitest';
import { connectClient, send } from '../support/peers.ts';
import { peakMemory } from '../support/process-memory.ts';
import { until } from '../support/until.ts';
import { MIB, victims, type Victim } from '../support/victim.ts';

/** The growth of a process that a query may cause at these limits; without bounds it is gigabytes. */
const BOUND = 900 * MIB;

const { start } = victims();

const server = (query: string, buffer = ''): string => `
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json } }
    ${buffer}
    pipeline: { processors: [ { type: sql, query: "${query}" } ] }
    output: { type: drop }
    in_flight: { bytes: 1MiB }
`;

async function settled(victim: Victim, received: number): Promise<void> {
  await until(
    'all messages to be settled',
    async () =>
      (await victim.metric('millrace_input_messages_total')) === received &&
      (await victim.inFlight('stream-0')) === 0 &&
      (await victim.metric('millrace_state_messages')) === 0,
    { timeout: 60_000 },
  );
}

test('a message of half a megabyte of names, and ten thousand small ones', async () => {
  const victim = await start(server('SELECT *, 1 AS one FROM flow'));
  const { socket, ...client } = await connectClient(await victim.url());
  await send({ socket, ...client }, '{"n":0}');
  await settled(victim, 1);
  const before = victim.memory;
  const names = Array.from({ length: 499 }, (_, n) => `"${n}${'x'.repeat(1000)}":${n}`);
  await send({ socket, ...client }, `{${names.join(',')}}`);
  await settled(victim, 2);
  for (let n = 0; n < 10_000; n++) socket.send(`{"n":${n}}`);
  await settled(victim, 10_002);
  expect(peakMemory(victim.child.pid!) - before).toBeLessThan(BOUND);
});

test('a window of 350 KB that is joined with itself', async () => {
  const victim = await start(
    server(
      'SELECT a.n AS x, b.n AS y, a.t AS t, b.t AS u FROM flow a, flow b',
      'buffer: { type: tumbling_window, interval: 1s }',
    ),
  );
  const { socket } = await connectClient(await victim.url());
  const before = victim.memory;
  for (let n = 0; n < 6000; n++) socket.send(`{"n":${n},"t":"${'x'.repeat(40)}"}`);
  await settled(victim, 6000);
  expect(await victim.metric('millrace_dead_letters_total', 'code="MILLRACE_SQL_TOO_LARGE"')).toBeGreaterThan(
    0,
  );
  expect(peakMemory(victim.child.pid!) - before).toBeLessThan(BOUND);
});

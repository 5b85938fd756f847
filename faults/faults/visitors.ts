import { once } from 'node:events';
import { WebSocket } from 'ws';
import type { Arena } from '../arena.ts';
import type { Lane } from '../lane.ts';
import { underLoad } from '../load.ts';
import { sleep, until } from '../wait.ts';

/** The connections that the input accepts; the senders need six, and one listens. */
const CONNECTIONS = 20;
/** Visitors at a time. */
const VISITORS = 10;
/** Milliseconds. */
const PATIENCE = 15_000;

async function visit({ url }: Lane): Promise<WebSocket> {
  const socket = new WebSocket(url, { perMessageDeflate: false, handshakeTimeout: PATIENCE });
  socket.on('error', () => {});
  await Promise.race([
    once(socket, 'open'),
    once(socket, 'close').then(() => {
      throw new Error('a client cannot connect while the output is stalled');
    }),
  ]);
  return socket;
}

/** Resolves when senders are held back: nothing has been acknowledged for a second. */
async function held(lane: Lane): Promise<void> {
  let last = -1;
  let since = performance.now();
  await until(
    'the senders to be held',
    () => {
      if (lane.acknowledged !== last) since = performance.now();
      last = lane.acknowledged;
      return performance.now() - since > 1000;
    },
    60_000,
  );
}

/** Clients of a stream come and go while its senders are held. @returns how many did */
async function comeAndGo(arena: Arena, lane: Lane, listener: WebSocket): Promise<number> {
  let pongs = 0;
  listener.on('pong', () => pongs++);
  await held(lane);
  const stays = lane.senders.length + 1;
  const end = performance.now() + arena.effort.seconds * 1000;
  let visits = 0;
  let pings = 0;
  do {
    const visitors = await Promise.all(Array.from({ length: VISITORS }, () => visit(lane)));
    for (const [index, visitor] of visitors.entries()) {
      if (index % 2 === 0) visitor.terminate();
      else visitor.close();
    }
    visits += VISITORS;
    listener.ping();
    pings++;
    await until(
      'clients that have left to be gone',
      async () => (await open(arena, lane)) <= stays,
      PATIENCE,
    );
    await sleep(arena.random.between(0, 200));
  } while (performance.now() < end);
  await until(`an answer to each of ${pings} pings`, () => pongs >= pings, PATIENCE);
  if (listener.readyState !== WebSocket.OPEN) lane.problems.push('a client that only listens was cut');
  return visits;
}

export const visitorsComeAndGo = underLoad({
  name: 'sink stopped, clients come and go',
  what: 'SIGSTOP of a sink that confirms for as long as `--seconds` says; meanwhile ten clients at a time connect and leave, half of them without a close frame, and one that only listens pings. The input accepts 20 connections: each client must get in, the engine must notice each that leaves, and each ping must be answered',
  uses: 'seconds',
  options: {
    output: 'confirmed',
    input: `limits: { connections: ${CONNECTIONS} }`,
    stream: 'in_flight: { messages: 500 }',
    durability: 'max_bytes: 1MiB',
  },
  together: true,
  harm: async (arena) => {
    const listeners = await Promise.all(arena.lanes.map(visit));
    await arena.flows();
    for (const { sink } of arena.lanes) sink.stop();
    const visits = await Promise.all(
      arena.lanes.map((lane, index) => comeAndGo(arena, lane, listeners[index]!)),
    );
    for (const { sink } of arena.lanes) sink.resume();
    await arena.flows();
    for (const listener of listeners) listener.terminate();
    arena.progress(`${visits.join(', ')} clients came and went`);
    return visits;
  },
});

/** The number of open connections of a stream's input, as the engine reports it. */
async function open({ engine }: Arena, { stream }: Lane): Promise<number> {
  const metric = new RegExp(
    `^millrace_connections_open\\{[^}]*stream="${stream}",stage="input"[^}]*\\} (\\d+)`,
    'm',
  );
  return Number(metric.exec(await engine.metrics())?.[1] ?? 0);
}

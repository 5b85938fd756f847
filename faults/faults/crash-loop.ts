import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import type { Arena } from '../arena.ts';
import { POISON } from '../crasher.ts';
import type { Lane } from '../lane.ts';
import { underLoad } from '../load.ts';
import { until } from '../wait.ts';

/** Three ends for the message alone, and as many to find it among all messages that were in processing. */
const MOST_STARTS = 6;
const LETTERS = 'dead-letters.jsonl';

/** Sends a message that ends the engine, once. */
async function sendPoison(arena: Arena, id: string): Promise<void> {
  const { engine, lane } = arena;
  const socket = new WebSocket(lane.url, { perMessageDeflate: false });
  socket.on('error', () => {});
  await once(socket, 'open');
  socket.send(`{"id":"${id}","kind":${POISON}}`);
  await until('a message to end the engine', () => engine.ending !== undefined, 60_000);
  socket.terminate();
}

/** The id and the code of every dead letter. */
function letters({ folder }: Lane): string[] {
  const path = join(folder, LETTERS);
  const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : [];
  return lines.map((line) => {
    const { payload, error } = JSON.parse(line) as { payload: string; error: { code: string } };
    return `${(JSON.parse(payload) as { id: string }).id} ${error.code}`;
  });
}

export const crashLoop = underLoad({
  name: 'a message ends the engine',
  what: 'a message in which a processor ends the engine with signal 11, as a fault in native code does, once a round; the engine is started again until it lives, six times at most. That message must be in `error_output`, and no other may',
  modes: ['stored', 'delivered'],
  options: {
    stream: (folder) => `pipeline: { processors: [{ type: crasher }] }
    error_output: { type: file, path: "${join(folder, LETTERS)}", sync: true }`,
  },
  harm: async (arena) => {
    const expected: string[] = [];
    for (let round = 1; round <= arena.effort.rounds; round++) {
      await arena.flows();
      const id = `poison-${round}`;
      await sendPoison(arena, id);
      expected.push(`${id} MILLRACE_PROCESSOR_CRASHED`);
      let starts = 1;
      while (!(await arena.startEngine({ mayEnd: true }))) {
        if (++starts > MOST_STARTS) throw new Error(`round ${round}: died at ${MOST_STARTS} starts in a row`);
      }
      await arena.flows();
      await until('the dead letter', () => letters(arena.lane).length >= expected.length, 20_000);
      arena.progress(`lives at start ${starts}, round ${round}`);
    }
    const found = letters(arena.lane);
    if (String(found) !== String(expected)) arena.problems.push(`error_output has ${found.join(', ')}`);
    return arena.effort.rounds;
  },
});

export const killedAgain = underLoad({
  name: 'killed five times in a row',
  what: '`kill -9` of the engine under load, and four times more at random moments of the next starts, once a round, with a processor that no message ends: the engine may blame none of them',
  modes: ['stored', 'delivered'],
  options: {
    stream: (folder) => `pipeline: { processors: [{ type: crasher }] }
    error_output: { type: file, path: "${join(folder, LETTERS)}", sync: true }`,
  },
  together: true,
  harm: async (arena) => {
    for (let round = 1; round <= arena.effort.rounds; round++) {
      await arena.flows();
      await arena.engine.kill();
      for (let kill = 2; kill <= 5; kill++) {
        const starting = arena.startEngine({ mayEnd: true });
        await arena.pause(200, 1500);
        await arena.engine.kill();
        await starting;
      }
      await arena.startEngine();
      arena.progress(`five kills, round ${round}`);
    }
    await arena.flows();
    for (const lane of arena.lanes) {
      const found = letters(lane);
      if (found.length > 0) lane.problems.push(`error_output has ${found.join(', ')}`);
    }
    return arena.effort.rounds * 5;
  },
});

import type { Arena } from '../arena.ts';
import { underLoad } from '../load.ts';

async function killAgainAndAgain(arena: Arena): Promise<number> {
  for (let round = 1; round <= arena.effort.rounds; round++) {
    await arena.flows();
    await arena.pause(0, 400);
    await arena.engine.kill();
    await arena.startEngine();
    arena.progress(`kill ${round}`);
  }
  return arena.effort.rounds;
}

export const engineKilled = underLoad({
  name: 'engine killed',
  what: '`kill -9` of the engine at a random moment, once a round',
  together: true,
  harm: killAgainAndAgain,
});

export const windowKilled = underLoad({
  name: 'killed in mid-window',
  what: '`kill -9` of an engine with a one-second window as its buffer (`tumbling_window`), once a round',
  options: { stream: 'buffer: { type: tumbling_window, interval: 1s }' },
  together: true,
  harm: killAgainAndAgain,
});

/** While it starts, it reads the log and cuts off a torn end, and may be killed at that too. */
export const startKilled = underLoad({
  name: 'killed while it starts',
  what: '`kill -9` of the engine under load, and once more within the first second of its next start: two kills a round',
  modes: ['stored', 'delivered'],
  together: true,
  harm: async (arena) => {
    for (let round = 1; round <= arena.effort.rounds; round++) {
      await arena.flows();
      await arena.engine.kill();
      const starting = arena.startEngine({ mayEnd: true });
      await arena.pause(200, 900);
      await arena.engine.kill();
      await starting;
      await arena.startEngine();
      arena.progress(`two kills, round ${round}`);
    }
    return arena.effort.rounds * 2;
  },
});

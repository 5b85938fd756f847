import { existsSync, globSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Arena } from '../arena.ts';
import { underLoad } from '../load.ts';

const STEPS = [3600, -3600, 86_400 * 400, -86_400 * 30, 1, -2] as const;

/** The library that gives a process another time: an offset in seconds, read from a file. */
function clockOf(arena: Arena) {
  const library = globSync('/usr/lib/*/faketime/libfaketime.so.1')[0];
  if (library === undefined || !existsSync(library)) {
    throw new Error('libfaketime is missing; this fault needs it: apt-get install faketime');
  }
  const file = join(arena.folder, 'clock');
  return {
    set: (seconds: number): void => writeFileSync(file, `${seconds < 0 ? '' : '+'}${seconds}\n`),
    env: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
  };
}

export const clockJumps = underLoad({
  name: 'clock jumps',
  what: 'the wall clock of the engine jumps by an hour, a month or a year, forwards or back (libfaketime), six times a round; a `kill -9` after every sixth',
  options: { stream: 'buffer: { type: tumbling_window, interval: 1s }' },
  together: true,
  harm: async (arena) => {
    const clock = clockOf(arena);
    let now = 0;
    clock.set(now);
    await arena.engine.kill();
    await arena.startEngine({ env: clock.env });
    for (let round = 1; round <= arena.effort.rounds; round++) {
      for (const step of STEPS) {
        await arena.flows();
        clock.set((now += arena.random.pick([step, -step])));
      }
      await arena.flows();
      await arena.engine.kill();
      await arena.startEngine({ env: clock.env });
      arena.progress(`six jumps, round ${round}`);
    }
    return arena.effort.rounds * STEPS.length;
  },
});

import { underLoad } from '../load.ts';
import { until } from '../wait.ts';

/** The call at which the engine dies, as strace counts calls: each kind separately. */
function callOf(round: number): { readonly call: 'fsync' | 'fdatasync'; readonly when: number } {
  // A start syncs the folder twice: for the folder itself and for a new file. All other syncs are of data.
  if (round <= 4) return { call: round % 2 === 1 ? 'fsync' : 'fdatasync', when: Math.ceil(round / 2) };
  return { call: 'fdatasync', when: round - 2 };
}

export const killedAtFsync = underLoad({
  name: 'killed at an fsync',
  what: '`kill -9` as the engine begins its k-th `fsync` (of a folder) or `fdatasync` (of data) since it started (strace), for k = 1, 2, 3 and so on, one a round',
  modes: ['stored', 'delivered'],
  harm: async (arena) => {
    await arena.engine.kill();
    for (let round = 1; round <= arena.effort.rounds; round++) {
      const { call, when } = callOf(round);
      // With --seccomp-bpf, strace does not send signals.
      await arena.startEngine({
        strace: ['-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${when}`],
      });
      const { engine } = arena;
      await until(`${call} ${when}`, () => engine.ending !== undefined, 60_000);
      if (engine.ending?.signal !== 'SIGKILL') {
        arena.problems.push(
          `should have been killed at ${call} ${when}, but ended before: ${engine.lastWords}`,
        );
      }
      arena.progress(`killed at ${call} ${when}`);
    }
    await arena.startEngine();
    await arena.flows();
    return arena.effort.rounds;
  },
});

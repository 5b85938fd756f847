import { underLoad } from '../load.ts';

export const terminated = underLoad({
  name: 'SIGTERM under load',
  what: 'SIGTERM while senders send, and a new start, once a round; it must exit with 0, and nothing may come out twice',
  once: true,
  together: true,
  harm: async (arena) => {
    for (let round = 1; round <= arena.effort.rounds; round++) {
      await arena.flows();
      await arena.pause(0, 300);
      const { code, signal } = await arena.engine.terminate();
      if (code !== 0) {
        arena.problems.push(`round ${round}: SIGTERM: exit ${code ?? signal}: ${arena.engine.lastWords}`);
      }
      await arena.startEngine();
      arena.progress(`SIGTERM ${round}`);
    }
    return arena.effort.rounds;
  },
});

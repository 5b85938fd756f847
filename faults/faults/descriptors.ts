import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Arena } from '../arena.ts';
import { underLoad } from '../load.ts';
import { until } from '../wait.ts';

function limitDescriptors({ engine }: Arena, soft: number): void {
  const { status, stderr } = spawnSync('prlimit', [`--pid=${engine.pid}`, `--nofile=${soft}:`], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`cannot limit the descriptors of the engine: ${stderr}`);
}

export const descriptorsGone = underLoad({
  name: 'no file descriptor left',
  what: 'the engine may open no more files and sockets (EMFILE, by prlimit) until the log needs one and says so, once a round; the input waits, and continues by itself when the limit is lifted',
  modes: ['stored', 'delivered'],
  // Log files of 1 MiB, so that the log soon needs the next one.
  options: { durability: 'max_bytes: 16MiB', rate: 1000 },
  harm: async (arena) => {
    for (let round = 1; round <= arena.effort.rounds; round++) {
      await arena.flows();
      const { engine } = arena;
      const limits = readFileSync(`/proc/${engine.pid}/limits`, 'utf8');
      const before = Number(/Max open files +(\d+)/.exec(limits)![1]);
      const told = (): number =>
        engine.log.filter(({ msg }) => msg.includes('waits for a free file descriptor')).length;
      const times = told();
      limitDescriptors(arena, 1);
      await until('the log to say that it waits', () => told() > times, 90_000);
      await arena.pause(0, 1000);
      limitDescriptors(arena, before);
      await until('readiness to say 200', async () => (await engine.readiness()).status === 200, 30_000);
      await arena.flows(200);
      if (engine.ending !== undefined) arena.problems.push(`ended for EMFILE: ${engine.lastWords}`);
      arena.progress(`descriptors ran out and came back, round ${round}`);
    }
    return arena.effort.rounds;
  },
});

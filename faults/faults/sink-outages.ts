import type { Arena } from '../arena.ts';
import { underLoad } from '../load.ts';
import { sleep } from '../wait.ts';

async function pauseSink(arena: Arena): Promise<number> {
  await arena.flows();
  for (const { sink } of arena.lanes) sink.stop();
  arena.progress(`the sinks are stopped for ${arena.effort.seconds} s`);
  await sleep(arena.effort.seconds * 1000);
  for (const { sink } of arena.lanes) sink.resume();
  await arena.flows();
  return 1;
}

export const sinkStopped = underLoad({
  name: 'sink stopped',
  what: 'SIGSTOP of the server behind the `websocket` output for as long as `--seconds` says, then SIGCONT; once',
  uses: 'seconds',
  options: { output: 'websocket' },
  together: true,
  harm: pauseSink,
});

export const sinkStoppedAndEngineKilled = underLoad({
  name: 'sink stopped, engine killed',
  what: 'SIGSTOP of a sink that confirms for as long as `--seconds` says, with one `kill -9` of the engine in the middle of it',
  uses: 'seconds',
  options: { output: 'confirmed' },
  together: true,
  harm: async (arena) => {
    await arena.flows();
    for (const { sink } of arena.lanes) sink.stop();
    arena.progress(`the sinks are stopped for ${arena.effort.seconds} s`);
    await sleep(arena.effort.seconds * 500);
    await arena.engine.kill();
    await arena.startEngine();
    await sleep(arena.effort.seconds * 500);
    for (const { sink } of arena.lanes) sink.resume();
    await arena.flows();
    return 2;
  },
});

export const sinkKilled = underLoad({
  name: 'sink killed',
  what: '`kill -9` of a sink that confirms, and its start up to a second later, once a round',
  options: { output: 'confirmed' },
  together: true,
  harm: async (arena) => {
    for (let round = 1; round <= arena.effort.rounds; round++) {
      await arena.flows();
      await arena.pause(0, 200);
      await Promise.all(arena.lanes.map(({ sink }) => sink.kill()));
      await arena.pause(0, 1000);
      await Promise.all(arena.lanes.map(({ sink }) => sink.start()));
      arena.progress(`kill ${round} of the sinks`);
    }
    return arena.effort.rounds;
  },
});

/** Waits until the engine has reported this many failures of each output. @returns their numbers */
async function failures(arena: Arena, pattern: RegExp, count: number): Promise<number[]> {
  const told = (): number[] =>
    arena.lanes.map((lane) => {
      const own = arena.engine.log.filter(({ stream, msg }) => stream === lane.stream && pattern.test(msg));
      return own.length;
    });
  while (told().some((number) => number < count)) await arena.flows(20);
  return told();
}

export const sinkFails = underLoad({
  name: 'sink fails every third write',
  what: 'a sink that confirms, and that refuses every third batch, hangs up before it has written it, or hangs up after that, in turn; three failures a round at least',
  options: { output: 'confirmed', failEvery: 3 },
  together: true,
  harm: (arena) => failures(arena, /the sink (says|has hung up)/, arena.effort.rounds * 3),
});

/** The same for a file. `-P` keeps strace to that file. */
export const fileFails = underLoad({
  name: 'file fails every third write',
  what: 'every third write to the file of the `file` output fails with EIO (strace); one failure a round at least',
  harm: async (arena) => {
    await arena.engine.terminate();
    const strace = [
      '--seccomp-bpf',
      '-P',
      arena.lane.sinkFile,
      '-e',
      'trace=write',
      '-e',
      'inject=write:error=EIO:when=3+3',
    ];
    await arena.startEngine({ strace });
    const count = await failures(arena, /EIO/, arena.effort.rounds);
    await arena.engine.terminate();
    return count;
  },
});

import type { Arena } from '../arena.ts';
import { underLoad } from '../load.ts';
import { sleep } from '../wait.ts';

async function pauseSink(arena: Arena): Promise<number> {
  await arena.flows();
  arena.sink.stop();
  arena.progress(`the sink is stopped for ${arena.effort.seconds} s`);
  await sleep(arena.effort.seconds * 1000);
  arena.sink.resume();
  await arena.flows();
  return 1;
}

export const sinkStopped = underLoad({
  name: 'sink stopped',
  what: 'SIGSTOP of the server behind the `websocket` output for as long as `--seconds` says, then SIGCONT; once',
  uses: 'seconds',
  options: { output: 'websocket' },
  harm: pauseSink,
});

export const sinkStoppedAndEngineKilled = underLoad({
  name: 'sink stopped, engine killed',
  what: 'SIGSTOP of a sink that confirms for as long as `--seconds` says, with one `kill -9` of the engine in the middle of it',
  uses: 'seconds',
  options: { output: 'confirmed' },
  harm: async (arena) => {
    await arena.flows();
    arena.sink.stop();
    arena.progress(`the sink is stopped for ${arena.effort.seconds} s`);
    await sleep(arena.effort.seconds * 500);
    await arena.engine.kill();
    await arena.startEngine();
    await sleep(arena.effort.seconds * 500);
    arena.sink.resume();
    await arena.flows();
    return 2;
  },
});

export const sinkKilled = underLoad({
  name: 'sink killed',
  what: '`kill -9` of a sink that confirms, and its start up to a second later, once a round',
  options: { output: 'confirmed' },
  harm: async (arena) => {
    for (let round = 1; round <= arena.effort.rounds; round++) {
      await arena.flows();
      await arena.pause(0, 200);
      await arena.sink.kill();
      await arena.pause(0, 1000);
      await arena.sink.start();
      arena.progress(`kill ${round} of the sink`);
    }
    return arena.effort.rounds;
  },
});

/** Waits until the engine has reported this many failures of its output. @returns their number */
async function failures(arena: Arena, pattern: RegExp, count: number): Promise<number> {
  const told = (): number => arena.engine.log.filter(({ msg }) => pattern.test(msg)).length;
  while (told() < count) await arena.flows(20);
  return told();
}

export const sinkFails = underLoad({
  name: 'sink fails every third write',
  what: 'a sink that confirms, and that refuses every third batch, hangs up before it has written it, or hangs up after that, in turn; three failures a round at least',
  options: { output: 'confirmed', failEvery: 3 },
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
      arena.sinkFile,
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

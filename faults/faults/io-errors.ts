import type { Arena } from '../arena.ts';
import { underLoad } from '../load.ts';
import { sleep, until } from '../wait.ts';

/**
 * Makes calls of a running engine on its log fail: the k-th of each kind after it begins to send.
 * @returns how often the stream has failed and said why
 */
async function failAt(arena: Arena, calls: string): Promise<number> {
  await arena.engine.kill();
  for (let round = 1; round <= arena.effort.rounds; round++) {
    const when = arena.random.between(1, 40);
    const inject = `inject=${calls}:error=EIO:when=${when}`;
    await arena.startEngine({ strace: [...arena.segmentsOnly, '-e', `trace=${calls}`, '-e', inject] });
    const { engine } = arena;
    await until(
      `the engine to fail for EIO (${engine.lastWords})`,
      () => engine.ending !== undefined,
      60_000,
    );
    if (engine.ending?.code !== 1 || !engine.logged(/MILLRACE_WAL_\w+ .*EIO/)) {
      arena.problems.push(`does not fail with EIO and say so: ${engine.lastWords}`);
    }
    arena.progress(`EIO at call ${when}, round ${round}`);
  }
  await arena.startEngine();
  await arena.flows();
  return arena.effort.rounds;
}

export const syncFails = underLoad({
  name: 'EIO at an fsync',
  what: 'the k-th `fdatasync` or `fsync` fails with EIO (strace), k at random, once a round; the stream must fail and say why, and the next start loses nothing',
  modes: ['stored', 'delivered'],
  harm: (arena) => failAt(arena, 'fsync,fdatasync'),
});

export const writeFails = underLoad({
  name: 'EIO at a write',
  what: 'the k-th write to the log fails with EIO (strace), k at random, once a round; the same must hold',
  modes: ['stored', 'delivered'],
  harm: (arena) => failAt(arena, 'pwrite64,pwritev'),
});

export const diskRefuses = underLoad({
  name: 'ENOSPC at a write',
  what: 'some writes to the log in a row fail with ENOSPC (strace), from the k-th on, k at random, once a round; the input waits, and continues by itself',
  modes: ['stored', 'delivered'],
  harm: async (arena) => {
    for (let round = 1; round <= arena.effort.rounds; round++) {
      await arena.engine.kill();
      const from = arena.random.between(5, 40);
      // A single failure may hit the note of delivered messages, which can wait and which nobody is told about.
      const inject = `inject=pwrite64,pwritev:error=ENOSPC:when=${from}..${from + arena.random.between(3, 5)}`;
      await arena.startEngine({
        strace: [...arena.segmentsOnly, '-e', 'trace=pwrite64,pwritev', '-e', inject],
      });
      const { engine } = arena;
      await until('the report of the full disk', () => engine.logged(/MILLRACE_WAL_FULL/), 60_000);
      await arena.flows(200);
      if (engine.ending !== undefined) arena.problems.push(`ended for ENOSPC: ${engine.lastWords}`);
      arena.progress(`ENOSPC from call ${from} on, round ${round}`);
    }
    return arena.effort.rounds;
  },
});

const DISK = 8 * 1024 * 1024;

export const diskFull = underLoad({
  name: 'disk full',
  what: 'the file system of the log (a small tmpfs) is filled up, and gets room again after readiness has said 503 for a second, once a round; readiness must become 200 again',
  modes: ['stored', 'delivered'],
  options: { disk: DISK },
  harm: async (arena) => {
    for (let round = 1; round <= arena.effort.rounds; round++) {
      await arena.flows();
      // The log removes files that it no longer needs; the freed space is filled again.
      for (let refusals = 0, looks = 0; refusals < 10; looks++) {
        arena.lane.fillDisk();
        const { status, text } = await arena.engine.readiness();
        refusals = status === 503 && text.includes('no space') ? refusals + 1 : 0;
        if (looks > 300) throw new Error(`readiness does not report the full disk: ${text}`);
        await sleep(100);
      }
      arena.lane.freeDisk();
      await until(
        'readiness to say 200',
        async () => (await arena.engine.readiness()).status === 200,
        30_000,
      );
      await arena.flows();
      arena.progress(`full and free again, round ${round}`);
    }
    return arena.effort.rounds;
  },
});

import { existsSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { once } from 'node:events';
import { underLoad } from '../load.ts';

const CALLS = 'pwrite64,pwritev,fdatasync,fsync';

/**
 * The number of bytes of each file that were surely on the disk, from strace's record of its writes and syncs.
 * Everything after the last sync of a file could be gone.
 */
function syncedSizes(trace: string): Map<string, number> {
  const written = new Map<string, number>();
  const synced = new Map<string, number>();
  // strace reports an interrupted call in two parts; the first names the file.
  const begun = new Map<string, string>();
  for (const line of trace.split('\n')) {
    const [, thread = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    let call = rest;
    if (call.endsWith('<unfinished ...>')) {
      begun.set(thread, call.slice(0, -'<unfinished ...>'.length));
      continue;
    }
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(call)?.[1];
    if (resumed !== undefined) call = (begun.get(thread) ?? '') + resumed;
    const [, name, path, position, result] = /^(\w+)\(\d+<([^>]*)>(?:.*, (\d+))?\) += (\d+)/.exec(call) ?? [];
    if (name === undefined || path === undefined) continue;
    if (name.startsWith('pwrite')) {
      written.set(path, Math.max(written.get(path) ?? 0, Number(position) + Number(result)));
    } else synced.set(path, written.get(path) ?? 0);
  }
  return new Map([...written.keys()].map((path) => [path, synced.get(path) ?? 0]));
}

export const powerLost = underLoad({
  name: 'power lost',
  what: '`kill -9` of the engine; then everything that it had written to its log but not synced is removed (strace records the syncs), once a round. The output keeps its data',
  modes: ['stored', 'delivered'],
  together: true,
  harm: async (arena) => {
    const trace = join(arena.folder, 'trace');
    let taken = 0;
    await arena.engine.kill();
    for (let round = 1; round <= arena.effort.rounds; round++) {
      const only = arena.segmentsOnly;
      // -y prints the path of each file, -s 0 leaves out the written data.
      await arena.startEngine({
        strace: [...only, '-y', '-s', '0', '-e', `trace=${CALLS}`, '-o', trace],
      });
      await arena.flows();
      await arena.pause(0, 400);
      const { child } = arena.engine;
      // strace has the other end of the pipe, and has written everything when it ends.
      const closed = once(child, 'close');
      await arena.engine.kill();
      await closed;
      const sizes = syncedSizes(readFileSync(trace, 'utf8'));
      for (const { logFolder, problems } of arena.lanes) {
        if ([...sizes.keys()].some((path) => path.startsWith(logFolder))) continue;
        problems.push(`round ${round}: strace saw no write to the log`);
      }
      for (const [path, size] of sizes) {
        if (!existsSync(path)) continue;
        const before = readFileSync(path).length;
        if (size === 0) rmSync(path);
        else if (size < before) truncateSync(path, size);
        taken += Math.max(0, before - size);
      }
      arena.progress(`round ${round}: ${taken} bytes removed so far`);
    }
    await arena.startEngine();
    await arena.flows();
    return arena.effort.rounds;
  },
});

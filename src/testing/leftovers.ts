import { AsyncLocalStorage, createHook } from 'node:async_hooks';
import { readdirSync, readlinkSync } from 'node:fs';

/** The resources that keep the process alive, by kind or name, each with its number. */
export type Held = ReadonlyMap<string, number>;

/** Timers that were made for the case at hand; those of a test runner are not its. */
const timers = new Map<number, NodeJS.Timeout>();
const inCase = new AsyncLocalStorage<true>();
const hook = createHook({
  init(id, type, _trigger, resource) {
    if (type === 'Timeout' && inCase.getStore() === true) timers.set(id, resource as NodeJS.Timeout);
  },
  destroy: (id) => void timers.delete(id),
});

/** Sees the timers that `act` makes, and all that comes of it. */
export async function watchingTimers(act: () => Promise<void>): Promise<void> {
  hook.enable();
  try {
    await inCase.run(true, act);
  } finally {
    hook.disable();
    timers.clear();
  }
}

/** Timers, sockets, servers and requests of this process, and on Linux its open files and sockets. */
export function held(): Held {
  const counts = new Map<string, number>();
  const resources = process.getActiveResourcesInfo().filter((name) => name !== 'Timeout');
  const ours = [...timers.values()].filter((timer) => timer.hasRef()).map(() => 'Timeout');
  for (const name of [...resources, ...ours, ...openFiles()]) {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

/** The resources of which there are more than before, a phrase each. */
export function moreThan(before: Held): string[] {
  return [...held()]
    .filter(([name, count]) => count > (before.get(name) ?? 0))
    .map(([name, count]) => `${count - (before.get(name) ?? 0)} × ${name}`);
}

const FOLDER = '/proc/self/fd';

function openFiles(): string[] {
  let names: string[];
  try {
    names = readdirSync(FOLDER);
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    try {
      const target = readlinkSync(`${FOLDER}/${name}`);
      if (target.startsWith('socket:')) return ['open socket'];
      return /^\/(?!dev\/|proc\/)/.test(target) ? [`open file ${target}`] : [];
    } catch {
      // It was the one that read the folder.
      return [];
    }
  });
}

import { AsyncLocalStorage, createHook } from 'node:async_hooks';
import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

/** The resources that keep the process alive, by kind or name, each with its number. A timer has a name of its own. */
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
async function held(): Promise<Held> {
  // A timer that has ended is known to have ended in the next turn.
  await new Promise((resolve) => setImmediate(resolve));
  const resources = process.getActiveResourcesInfo().filter((name) => name !== 'Timeout');
  const ours = [...timers].filter(([, timer]) => timer.hasRef()).map(([id]) => `Timeout ${id}`);
  const counts = new Map<string, number>();
  for (const name of [...resources, ...ours, ...openFiles()]) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

/** The resources that stay: those of earlier work that are about to go are not among them. */
export async function heldAtRest(): Promise<Held> {
  let least = await held();
  for (let look = 0; look < LOOKS; look++) {
    await pause(LOOK_MS);
    const now = await held();
    least = new Map([...least].map(([name, count]) => [name, Math.min(count, now.get(name) ?? 0)]));
  }
  return least;
}

/** The resources of which there are more than before, a phrase each. */
export async function moreThan(before: Held): Promise<string[]> {
  const more = new Map<string, number>();
  for (const [name, count] of await held()) {
    const kind = name.replace(/^Timeout .*/, 'Timeout');
    const added = count - (before.get(name) ?? 0);
    if (added > 0) more.set(kind, (more.get(kind) ?? 0) + added);
  }
  return [...more].map(([kind, count]) => `${count} × ${kind}`);
}

const LOOKS = 4;
const LOOK_MS = 3;

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

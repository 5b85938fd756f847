import type { Arena } from '../arena.ts';
import { underLoad } from '../load.ts';
import { sleep } from '../wait.ts';

/** Senders drop their connections at random. Counts for each stream how many did. */
async function leaveAtRandom(arena: Arena, drops: number[]): Promise<void> {
  for (let times = 0; times < 5; times++) {
    for (const [lane, { senders }] of arena.lanes.entries()) {
      for (const sender of senders) {
        if (arena.random.next() > 0.5) continue;
        sender.disconnect();
        drops[lane]!++;
      }
    }
    await arena.pause(20, 250);
  }
}

export const sendersLeave = underLoad({
  name: 'half the senders leave',
  what: 'a random half of the senders drop their connections without a close frame and reconnect, five times a round',
  together: true,
  harm: async (arena) => {
    const drops = arena.lanes.map(() => 0);
    for (let round = 1; round <= arena.effort.rounds; round++) await leaveAtRandom(arena, drops);
    await arena.flows();
    return drops;
  },
});

/** The keys are in the log, so a restart does not make it forget what it has seen. */
export const redelivered = underLoad({
  name: 'senders leave, with dedupe',
  what: 'a random half of the senders leave as above, with `dedupe` by the id, and SIGTERM and a new start at the end of each round: messages that senders repeat may not come out twice',
  modes: ['stored', 'delivered'],
  options: { input: 'dedupe: { key: id, per: all, window: 1h }' },
  once: true,
  together: true,
  harm: async (arena) => {
    const drops = arena.lanes.map(() => 0);
    for (let round = 1; round <= arena.effort.rounds; round++) {
      await arena.flows();
      await leaveAtRandom(arena, drops);
      await arena.engine.terminate();
      await arena.startEngine();
      arena.progress(`round ${round}`);
    }
    await arena.flows();
    return drops.map((count) => count + arena.effort.rounds);
  },
});

export const connectionsReset = underLoad({
  name: 'connections reset in mid-message',
  what: 'TCP resets of all connections, each in the middle of a message after a random number of bytes (a proxy), three times a round',
  options: { proxy: true },
  together: true,
  harm: async (arena) => {
    const resets = (): number[] => arena.lanes.map(({ proxy }) => proxy.resets);
    for (let round = 1; round <= arena.effort.rounds * 3; round++) {
      const goals = arena.lanes.map(({ proxy, senders }) => proxy.resets + senders.length);
      for (const { proxy } of arena.lanes) proxy.resetAll(() => arena.random.between(1, 20_000));
      const done = (): boolean => resets().every((count, lane) => count >= goals[lane]!);
      for (let wait = 0; wait < 100 && !done(); wait++) await sleep(20);
      await arena.pause(0, 100);
    }
    await arena.flows();
    return resets();
  },
});

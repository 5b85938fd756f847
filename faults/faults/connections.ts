import type { Arena } from '../arena.ts';
import { underLoad } from '../load.ts';
import { sleep } from '../wait.ts';

/** Senders drop their connections at random. @returns how many did */
async function leaveAtRandom(arena: Arena): Promise<number> {
  let drops = 0;
  for (let times = 0; times < 5; times++) {
    for (const sender of arena.senders) {
      if (arena.random.next() > 0.5) continue;
      sender.disconnect();
      drops++;
    }
    await arena.pause(20, 250);
  }
  return drops;
}

export const sendersLeave = underLoad({
  name: 'half the senders leave',
  what: 'a random half of the senders drop their connections without a close frame and reconnect, five times a round',
  harm: async (arena) => {
    let drops = 0;
    for (let round = 1; round <= arena.effort.rounds; round++) drops += await leaveAtRandom(arena);
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
  harm: async (arena) => {
    let harms = 0;
    for (let round = 1; round <= arena.effort.rounds; round++) {
      await arena.flows();
      harms += await leaveAtRandom(arena);
      await arena.engine.terminate();
      await arena.startEngine();
      harms++;
      arena.progress(`round ${round}`);
    }
    await arena.flows();
    return harms;
  },
});

export const connectionsReset = underLoad({
  name: 'connections reset in mid-message',
  what: 'TCP resets of all connections, each in the middle of a message after a random number of bytes (a proxy), three times a round',
  options: { proxy: true },
  harm: async (arena) => {
    for (let round = 1; round <= arena.effort.rounds * 3; round++) {
      const goal = arena.proxy.resets + arena.senders.length;
      arena.proxy.resetAll(() => arena.random.between(1, 20_000));
      for (let wait = 0; wait < 100 && arena.proxy.resets < goal; wait++) await sleep(20);
      await arena.pause(0, 100);
    }
    await arena.flows();
    return arena.proxy.resets;
  },
});

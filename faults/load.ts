import { Arena } from './arena.ts';
import { type Fault, type LoadFault } from './fault.ts';
import { MODES } from './fault-options.ts';

/** A fault that happens while senders send, in the form that the campaign runs. */
export function underLoad(fault: LoadFault): Fault {
  return {
    name: fault.name,
    what: fault.what,
    modes: fault.modes ?? MODES,
    uses: fault.uses,
    together: fault.together,
    run: async (context) => {
      const arena = new Arena(context, fault.options ?? {});
      try {
        await arena.open();
        const harms = await fault.harm(arena);
        const verdicts = await arena.close();
        const failures = await arena.remove();
        return arena.lanes.map((lane, index) => {
          const verdict = verdicts[index]!;
          const problems = [...arena.problems, ...lane.problems];
          if (fault.once === true && verdict.duplicated > 0) {
            problems.push(`messages came out twice: ${verdict.duplicated}, and none may`);
          }
          const harmed = typeof harms === 'number' ? harms : harms[index]!;
          const injections = fault.options?.failEvery === undefined ? harmed : failures[index]!;
          return { injections, verdict, problems };
        });
      } finally {
        await arena.remove();
      }
    },
  };
}

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
    run: async (context) => {
      const arena = new Arena(context, fault.options ?? {});
      try {
        await arena.open();
        let injections = await fault.harm(arena);
        const verdict = await arena.close();
        if (fault.once === true && verdict.duplicated > 0) {
          arena.problems.push(`messages came out twice: ${verdict.duplicated}, and none may`);
        }
        const failures = await arena.remove();
        if (fault.options?.failEvery !== undefined) injections = failures;
        return { injections, verdict, problems: arena.problems };
      } finally {
        await arena.remove();
      }
    },
  };
}

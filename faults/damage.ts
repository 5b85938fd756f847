import { cpSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Log } from '../src/delivery/log/log.ts';

/** What somebody does to one file of a log. */
export interface Damage {
  readonly file: string;
  readonly offset: number;
  readonly kind: 'cut' | 'flip';
}

/** What a log gives back when it is opened. */
export interface Reading {
  /** The code of the error that it refused with. */
  readonly refused?: string | undefined;
  /** The messages of each entry. */
  readonly entries: readonly (readonly string[])[];
  /** How many bytes at its end it said it had cut off. */
  readonly cutBytes: number;
}

/** Cuts off each file at every so-manieth byte, and inverts every so-manieth byte. */
export function* damagesOf(folder: string, stride: number, first: number): Generator<Damage> {
  for (const file of readdirSync(folder)) {
    const { length } = readFileSync(join(folder, file));
    for (const kind of ['cut', 'flip'] as const) {
      for (let offset = first % stride; offset < length; offset += stride) yield { file, offset, kind };
    }
  }
}

/** Makes `copy` the log of `folder` with that damage. */
export function damagedCopy(folder: string, copy: string, { file, offset, kind }: Damage): void {
  rmSync(copy, { recursive: true, force: true });
  cpSync(folder, copy, { recursive: true });
  const path = join(copy, file);
  if (kind === 'cut') return truncateSync(path, offset);
  const bytes = readFileSync(path);
  bytes[offset]! ^= 0xff;
  writeFileSync(path, bytes);
}

/** Opens a log as the engine does, and reads what was not delivered. */
export async function readLog(path: string): Promise<Reading> {
  let cutBytes = 0;
  let log: Log | undefined;
  const entries: string[][] = [];
  try {
    log = await Log.open({
      path,
      sync: 'group_commit',
      interval: 1_000,
      maxBytes: 64 * 1024 * 1024,
      events: {
        recovered: (details) => (cutBytes = details.cutBytes),
        blocked: () => {},
        unblocked: () => {},
      },
    });
    if (log.recovered.entries > 0) {
      const reader = log.reader(log.recovered.first);
      for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
        entries.push(entry.batch.payloads.map((payload) => Buffer.from(payload).toString()));
      }
      await reader.close();
    }
    return { entries, cutBytes };
  } catch (error) {
    return { refused: (error as { code?: string }).code ?? String(error), entries, cutBytes };
  } finally {
    await log?.close().catch(() => {});
  }
}

/**
 * What is wrong with what a damaged log gave back, or undefined. It may refuse. Else it gives what was committed before
 * the damage, all of it, in order and unchanged, and says that it cut the rest; and nothing of that rest was acknowledged:
 * it is the last commit of a process that was killed before it could tell anybody.
 */
export function judge(
  damage: Damage,
  whole: Reading,
  bytes: Buffer,
  found: Reading,
  isAcknowledged: (payload: string) => boolean,
): string | undefined {
  if (found.refused !== undefined) {
    return found.refused.startsWith('MILLRACE_WAL_') ? undefined : `fails with ${found.refused}`;
  }
  const count = found.entries.length;
  const same = found.entries.every((entry, index) => String(entry) === String(whole.entries[index]));
  if (!same) return 'gives back something else than what was written';
  // Entries that begin before the damage; those before the last of them are whole.
  const begun = whole.entries.filter(([first]) => {
    const at = bytes.indexOf(first!);
    return at >= 0 && at < damage.offset;
  }).length;
  if (count < begun - 1) return `gives back ${count} entries, and ${begun - 1} end before the damage`;
  if (count === whole.entries.length) return undefined;
  if (whole.entries.slice(count).flat().some(isAcknowledged)) {
    return `gives back ${count} entries of ${whole.entries.length}, and acknowledged messages are in the others`;
  }
  // Cut off where an entry begins, there is nothing to say anything of.
  return damage.kind === 'cut' || found.cutBytes > 0 ? undefined : 'gives back less and does not say so';
}

import { cpSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Log } from '../src/delivery/log/log.ts';

/** Damage to one file of a log. */
export interface Damage {
  readonly file: string;
  readonly offset: number;
  readonly kind: 'cut' | 'flip';
}

/** The result of opening a log. */
export interface Reading {
  /** The error code of a refusal. */
  readonly refused?: string | undefined;
  /** The messages of each entry. */
  readonly entries: readonly (readonly string[])[];
  /** The number of bytes that it reported as cut off from its end. */
  readonly cutBytes: number;
}

/** Cuts off each file at every `stride`-th byte, and inverts every `stride`-th byte. */
export function* damagesOf(folder: string, stride: number, first: number): Generator<Damage> {
  for (const file of readdirSync(folder)) {
    const { length } = readFileSync(join(folder, file));
    for (const kind of ['cut', 'flip'] as const) {
      for (let offset = first % stride; offset < length; offset += stride) yield { file, offset, kind };
    }
  }
}

/** Makes `copy` a copy of the log of `folder` with that damage. */
export function damagedCopy(folder: string, copy: string, { file, offset, kind }: Damage): void {
  rmSync(copy, { recursive: true, force: true });
  cpSync(folder, copy, { recursive: true });
  const path = join(copy, file);
  if (kind === 'cut') return truncateSync(path, offset);
  const bytes = readFileSync(path);
  bytes[offset]! ^= 0xff;
  writeFileSync(path, bytes);
}

/** Opens a log as the engine does, and reads the undelivered entries. */
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
 * The fault of a damaged log's result, or undefined. The log may refuse. Otherwise it must return everything that was
 * committed before the damage, in order and unchanged, and report that it cut off the rest; and none of that rest may
 * have been acknowledged: it is the last commit of a process that was killed before it could tell anyone.
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
  if (!same) return 'returns something other than what was written';
  // Entries that begin before the damage; all but the last of them are whole.
  const begun = whole.entries.filter(([first]) => {
    const at = bytes.indexOf(first!);
    return at >= 0 && at < damage.offset;
  }).length;
  if (count < begun - 1) return `returns ${count} entries, but ${begun - 1} end before the damage`;
  if (count === whole.entries.length) return undefined;
  if (whole.entries.slice(count).flat().some(isAcknowledged)) {
    return `returns ${count} of ${whole.entries.length} entries, but the others contain acknowledged messages`;
  }
  // If it is cut off where an entry begins, there is nothing to report.
  return damage.kind === 'cut' || found.cutBytes > 0 ? undefined : 'returns less without saying so';
}

import { rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { failed } from './faults.ts';
import { fileExists, makeFolder, openFile } from './files.ts';
import { FolderLock, LOCK_FILE } from './lock.ts';
import { verify } from './recovery.ts';

const PROBE_FILE = 'probe';
/** One block, so that a full disk shows. */
const PROBE_BYTES = 4096;

/**
 * Checks whether a log could be opened here: the folder made, locked and written, and its content accepted. Leaves
 * nothing behind.
 * @throws MillraceError as `Log.open`
 */
export async function probeLog(path: string): Promise<void> {
  let made: readonly string[] = [];
  let hadLock = true;
  try {
    made = await makeFolder(path);
    hadLock = await fileExists(join(path, LOCK_FILE));
    const lock = await FolderLock.acquire(path);
    lock.release();
    await writeProbe(join(path, PROBE_FILE));
    await verify(path);
  } catch (error) {
    throw failed(path, 'opened', error);
  } finally {
    if (!hadLock) await unlink(join(path, LOCK_FILE)).catch(() => {});
    // A folder that is in use meanwhile stays.
    for (const folder of made.toReversed()) await rmdir(folder).catch(() => {});
  }
}

async function writeProbe(name: string): Promise<void> {
  const file = await openFile(name, 'new');
  try {
    await file.write(Buffer.alloc(PROBE_BYTES), 0, PROBE_BYTES, 0);
  } finally {
    await file.close();
    await unlink(name);
  }
}

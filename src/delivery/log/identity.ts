import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { errorCode } from './faults.ts';
import { openFile } from './files.ts';

const ID_FILE = 'id';
const BYTES = 12;
const FORM = new RegExp(`^[0-9a-f]{${BYTES * 2}}$`);

/**
 * The id of a log, which is in a file of its folder. A log that is `empty` gets a new one: it counts its entries from 1 again,
 * and a sink must not take them for those of before. The file is not synced: after a power cut there may be another id, and
 * sinks then know fewer repeats.
 */
export async function identify(path: string, empty: boolean): Promise<string> {
  const file = await openFile(join(path, ID_FILE), 'create');
  try {
    const known = await file.readFile('utf8');
    if (!empty && FORM.test(known)) return known;
    const id = randomBytes(BYTES).toString('hex');
    await file.truncate();
    await file.write(id, 0);
    return id;
  } catch (error) {
    // It is the id of this run, then; the log itself says that it has no space.
    if (errorCode(error) === 'ENOSPC') return randomBytes(BYTES).toString('hex');
    throw error;
  } finally {
    await file.close();
  }
}

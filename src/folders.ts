import { mkdir, open, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/**
 * Makes a folder, and the missing folders above it. One by one, because Node's `recursive` never ends where the system
 * has no folder and lets nobody make one (`/proc/nope`). `mode` applies to the last folder.
 * @returns the new folders, the outermost first
 * @throws Error of the system; ENOTDIR if a file is in the way
 */
export async function makeFolders(path: string, mode?: number): Promise<string[]> {
  const full = resolve(path);
  const missing: string[] = [];
  for (let folder = full; !(await isFolder(folder)); folder = dirname(folder)) missing.unshift(folder);
  for (const folder of missing) {
    await mkdir(folder, folder === full ? mode : undefined).catch(async (error: unknown) => {
      // Another may have made it meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !(await isFolder(folder))) throw error;
    });
  }
  return missing;
}

/** Until then, new entries of a folder may be gone after a loss of power. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** False if nothing exists there. */
async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found?.isDirectory() === false) {
    throw Object.assign(new Error(`ENOTDIR: not a directory, mkdir '${path}'`), { code: 'ENOTDIR' });
  }
  return found !== undefined;
}

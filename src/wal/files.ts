import { constants } from 'node:fs';
import { lstat, mkdir, open, stat, type FileHandle } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { errorCode } from './faults.ts';

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL } = constants;
/** Links are not followed, and a pipe is not waited for. */
const PLAIN = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

const flags = {
  read: O_RDONLY,
  write: O_RDWR,
  /** As it is, or a new one. */
  create: O_RDWR | O_CREAT,
  new: O_RDWR | O_CREAT | O_EXCL,
} as const;

/** What a log has may be nobody else's to read. */
export const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

/**
 * Opens a file of a log. Whoever may write in its folder could else have any file of this process's user overwritten,
 * by a link with the right name.
 * @throws Error for a link, a folder, a pipe or a device in its place
 */
export async function openFile(name: string, access: keyof typeof flags): Promise<FileHandle> {
  const file = await open(name, flags[access] | PLAIN, FILE_MODE).catch((error: unknown) => {
    throw errorCode(error) === 'ELOOP' ? foreign(name) : error;
  });
  try {
    if ((await file.stat()).isFile()) return file;
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  throw foreign(name);
}

/** Whether there is such a file, for who does not open it as above. @throws Error as `openFile` */
export async function fileExists(name: string): Promise<boolean> {
  const found = await lstat(name).catch(ifAbsent);
  if (found?.isFile() === false) throw foreign(name);
  return found !== undefined;
}

/**
 * Makes the folder of a log, and has its name on the disk. Folders above it are as others are.
 * @returns the folders that were made, the outermost first
 */
export async function makeFolder(path: string): Promise<string[]> {
  const full = resolve(path);
  const missing: string[] = [];
  // One by one: `recursive` never ends where the system has no folder and lets nobody make one (/proc).
  for (let folder = full; !(await isFolder(folder)); folder = dirname(folder)) missing.unshift(folder);
  for (const folder of missing) {
    await mkdir(folder, folder === full ? FOLDER_MODE : undefined).catch(async (error: unknown) => {
      // Another may have made it meanwhile.
      if (errorCode(error) !== 'EEXIST' || !(await isFolder(folder))) throw error;
    });
  }
  if (missing.length > 0) for (const folder of [dirname(missing[0]!), ...missing]) await syncFolder(folder);
  return missing;
}

/** A file's name is on the disk only after its folder is. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** False when there is nothing. @throws Error when there is something else */
async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(ifAbsent);
  if (found?.isDirectory() === false) throw noFolder();
  return found !== undefined;
}

function noFolder(): Error {
  return new Error('the path must be a folder, and is a file');
}

/** @throws every other error */
function ifAbsent(error: unknown): undefined {
  const code = errorCode(error);
  if (code === 'ENOTDIR') throw noFolder();
  if (code !== 'ENOENT') throw error;
  return undefined;
}

function foreign(name: string): Error {
  return new Error(
    `${name} must be a file, and is a link or something else; remove it, or choose another path`,
  );
}

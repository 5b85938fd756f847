import { constants } from 'node:fs';
import { lstat, open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeFolders, syncFolder } from '../../folders.ts';
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
  const found = await lstat(name).catch((error: unknown) => {
    if (errorCode(error) !== 'ENOENT') throw error;
    return undefined;
  });
  if (found?.isFile() === false) throw foreign(name);
  return found !== undefined;
}

/**
 * Makes the folder of a log, and has its name on the disk. Folders above it are as others are.
 * @returns the folders that were made, the outermost first
 */
export async function makeFolder(path: string): Promise<string[]> {
  const made = await makeFolders(path, FOLDER_MODE).catch((error: unknown) => {
    throw errorCode(error) === 'ENOTDIR' ? new Error('the path must be a folder, and is a file') : error;
  });
  if (made.length > 0) for (const folder of [dirname(made[0]!), ...made]) await syncFolder(folder);
  return made;
}

function foreign(name: string): Error {
  return new Error(
    `${name} must be a file, and is a link or something else; remove it, or choose another path`,
  );
}

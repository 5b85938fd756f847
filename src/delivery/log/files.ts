import { constants } from 'node:fs';
import { lstat, open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeFolders, syncFolder } from '../../folders.ts';
import { errorCode } from './faults.ts';

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL } = constants;
/** Follows no links, and waits for no pipe. */
const PLAIN = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

const flags = {
  read: O_RDONLY,
  write: O_RDWR,
  /** The existing file unchanged, or a new one. */
  create: O_RDWR | O_CREAT,
  new: O_RDWR | O_CREAT | O_EXCL,
} as const;

/** Nobody else may read the files of a log. */
export const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

/**
 * Opens a file of a log. Otherwise anybody who may write to its folder could use a link with the right name to make
 * this process overwrite any file of its user.
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

/** Whether the file exists, for callers that do not open it as above. @throws Error as `openFile` */
export async function fileExists(name: string): Promise<boolean> {
  const found = await lstat(name).catch((error: unknown) => {
    if (errorCode(error) !== 'ENOENT') throw error;
    return undefined;
  });
  if (found?.isFile() === false) throw foreign(name);
  return found !== undefined;
}

/**
 * Makes the folder of a log, and syncs its name to the disk. Folders above it get the usual permissions.
 * @returns the folders that were made, outermost first
 */
export async function makeFolder(path: string): Promise<string[]> {
  const made = await makeFolders(path, FOLDER_MODE).catch((error: unknown) => {
    throw errorCode(error) === 'ENOTDIR' ? new Error('the path is a file; expected a folder') : error;
  });
  if (made.length > 0) for (const folder of [dirname(made[0]!), ...made]) await syncFolder(folder);
  return made;
}

function foreign(name: string): Error {
  return new Error(`${name} is a link or something else; expected a file. Remove it, or choose another path`);
}

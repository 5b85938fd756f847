import { stat } from 'node:fs/promises';

/** Changes whenever a file's content may have changed, even if another file of the same size and time replaces it. */
export async function fileStamp(path: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  return [dev, ino, size, mtimeNs, ctimeNs].join(':');
}

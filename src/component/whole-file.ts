import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';

/**
 * The longest file that is read as a secret: a password, a token, the file of `${file:…}` and `{{file:…}}`. In bytes.
 */
export const LONGEST_SECRET = 1024 ** 2;

/** The longest other file that is read whole: configuration, certificates, users, cursors. In bytes. */
const LONGEST_FILE = 16 * 1024 ** 2;

/** Without O_NONBLOCK, opening a pipe that nobody writes to would hang. */
const FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

const CHUNK = 64 * 1024;

/**
 * Reads a regular file of at most `longest` bytes. Devices, pipes and sockets are refused: they may never end, or
 * give their content only once, while each attempt or reload needs it.
 * @throws Error that says what is wrong, or the error of the system
 */
export async function readWholeFile(path: string, longest = LONGEST_FILE): Promise<Buffer> {
  const handle = await open(path, FLAGS);
  try {
    checkKind(await handle.stat());
    const pieces = new Pieces(longest);
    for (;;) {
      const piece = Buffer.allocUnsafe(CHUNK);
      const { bytesRead } = await handle.read(piece, 0, CHUNK, null);
      if (bytesRead === 0) return pieces.whole();
      pieces.add(piece.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}

/** The same, synchronously, for small files that are read at load. */
export function readWholeFileSync(path: string, longest = LONGEST_FILE): Buffer {
  const file = openSync(path, FLAGS);
  try {
    checkKind(fstatSync(file));
    const pieces = new Pieces(longest);
    for (;;) {
      const piece = Buffer.allocUnsafe(CHUNK);
      const length = readSync(file, piece, 0, CHUNK, null);
      if (length === 0) return pieces.whole();
      pieces.add(piece.subarray(0, length));
    }
  } finally {
    closeSync(file);
  }
}

/**
 * Writes a file whole or not at all: beside the old one, which it then replaces. When this resolves, the content is
 * on the disk; the name is there once the folder is synced.
 */
export async function writeWholeFile(
  path: string,
  content: Uint8Array | string,
  mode?: number,
): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const handle = await open(temporary, 'w', mode);
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

class Pieces {
  readonly #longest: number;
  readonly #pieces: Buffer[] = [];
  #length = 0;

  constructor(longest: number) {
    this.#longest = longest;
  }

  add(piece: Buffer): void {
    this.#length += piece.length;
    if (this.#length > this.#longest) {
      throw new Error(`it is too long; expected at most ${this.#longest / 1024 ** 2} MiB`);
    }
    this.#pieces.push(piece);
  }

  whole(): Buffer {
    return Buffer.concat(this.#pieces);
  }
}

function checkKind(stats: Stats): void {
  // Reading a folder has an error of its own.
  if (stats.isFile() || stats.isDirectory()) return;
  const kind = stats.isFIFO() ? 'a pipe' : stats.isSocket() ? 'a socket' : 'a device';
  throw new Error(`it is ${kind}; expected a regular file`);
}

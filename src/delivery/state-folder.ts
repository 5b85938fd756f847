import { hash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { State } from '../component/context.ts';
import { readWholeFile, writeWholeFile } from '../component/whole-file.ts';
import { syncFolder } from '../folders.ts';
import { FILE_MODE, makeFolder } from './log/files.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** The largest value, in bytes. */
const LARGEST = 64 * 1024 ** 2;

/** Keeps values as files in the component's own folder, inside the folder of the stream's log. */
export class StateFolder implements State {
  readonly #path: string;
  #made: Promise<unknown> | undefined;

  /** `component` identifies the component within the stream, the same at each start. */
  constructor(log: string, component: string) {
    this.#path = join(
      log,
      'state',
      NAME.test(component) ? component : hash('sha256', component).slice(0, 32),
    );
  }

  async folder(): Promise<string> {
    this.#made ??= makeFolder(this.#path).catch((error: unknown) => {
      this.#made = undefined;
      throw error;
    });
    await this.#made;
    return this.#path;
  }

  async read(name: string): Promise<Buffer | undefined> {
    return await readWholeFile(this.#file(name), LARGEST).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
  }

  async write(name: string, content: Uint8Array | string): Promise<void> {
    const file = this.#file(name);
    const folder = await this.folder();
    await writeWholeFile(file, content, FILE_MODE);
    await syncFolder(folder);
  }

  async remove(name: string): Promise<void> {
    await rm(this.#file(name), { force: true });
  }

  #file(name: string): string {
    if (!NAME.test(name))
      throw new Error(`state ${name}: expected a name of letters, digits, dots and hyphens`);
    return join(this.#path, name);
  }
}

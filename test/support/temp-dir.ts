import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterFile } from './cleanup.ts';

/** A directory of its own for the test file that calls this, gone when its tests are done. */
export function tempDir() {
  const path = mkdtempSync(join(tmpdir(), 'millrace-test-'));
  afterFile(() => rmSync(path, { recursive: true, force: true }));
  return {
    path,
    /** Writes a file and gives its path. */
    file(name: string, content: string | Uint8Array): string {
      const file = join(path, name);
      writeFileSync(file, content);
      return file;
    },
  };
}

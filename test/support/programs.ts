import { join } from 'node:path';

export const root = join(import.meta.dirname, '../..');

/** The programs that tests start as processes, by the file that each is made of. */
export const sources = {
  millrace: 'test/support/cli-entry.ts',
  stubs: 'test/cli/fixtures/stub-entry.ts',
  killer: 'test/runtime/fixtures/killer-entry.ts',
  recorder: 'test/runtime/fixtures/recorder-entry.ts',
  hog: 'test/runtime/fixtures/hog-entry.ts',
  memoryServer: 'test/support/memory-server.ts',
  appender: 'test/delivery/log/appender.ts',
  faultsEngine: 'faults/engine-entry.ts',
  faultsSink: 'faults/sink-process.ts',
} as const;

export type Program = keyof typeof sources;

/** The environment variable in which global setup tells test files where the programs are. */
export const PROGRAMS = 'MILLRACE_TEST_PROGRAMS';

/** The path of a program, as global setup has made it of the sources of this run. */
export function program(name: Program): string {
  const folder = process.env[PROGRAMS];
  // Outside of a run, as in a script of one's own.
  if (folder === undefined) return join(root, sources[name]);
  return join(folder, `${name}.js`);
}

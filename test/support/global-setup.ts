import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makePrograms } from './make-programs.ts';
import { missing } from './machine.ts';
import { program, PROGRAMS, root } from './programs.ts';

const cache = join(root, 'node_modules/.cache/millrace-tests');

/** Once for all test files. */
export async function setup(): Promise<() => Promise<void>> {
  sayWhatIsMissing();
  mkdirSync(cache, { recursive: true });
  // Test files and the processes that they start inherit both.
  process.env['NODE_COMPILE_CACHE'] ??= cache;
  process.env[PROGRAMS] = await makePrograms(cache);
  return compileOnce();
}

/** Says what the machine lacks; the tests that need it are skipped. */
function sayWhatIsMissing(): void {
  const lacking = missing();
  if (lacking.length === 0) return;
  console.log(
    `Tests that need ${lacking.join(', ')} are skipped: this machine lacks it. On Debian, install it with: npm run test:setup`,
  );
}

const everything = `
health_check: { address: "127.0.0.1:0" }
streams:
  - input: { type: memory, messages: ['{"a":1}'], codec: { type: json } }
    pipeline: { processors: [{ type: sql, query: SELECT * FROM flow }] }
    output: { type: drop }
`;

/**
 * Has Node keep the code that it has compiled, for the hundreds of processes that tests start. One that is killed keeps
 * nothing, so one comes first that ends by itself. @returns what waits for that one
 */
function compileOnce(): () => Promise<void> {
  const file = join(cache, 'everything.yaml');
  writeFileSync(file, everything);
  const first = spawn(process.execPath, [program('millrace'), 'run', file], { stdio: 'ignore' });
  const ended = once(first, 'close');
  return async () => void (await ended);
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { missing } from './machine.ts';

const root = join(import.meta.dirname, '../..');

/** Once for all test files. */
export function setup(): () => Promise<void> {
  sayWhatIsMissing();
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
  const folder = join(root, 'node_modules/.cache/millrace-tests');
  mkdirSync(folder, { recursive: true });
  // Test files and the processes that they start inherit it.
  process.env['NODE_COMPILE_CACHE'] ??= folder;
  const file = join(folder, 'everything.yaml');
  writeFileSync(file, everything);
  const first = spawn(process.execPath, [join(import.meta.dirname, 'cli-entry.ts'), 'run', file], {
    stdio: 'ignore',
  });
  const ended = once(first, 'close');
  return async () => void (await ended);
}

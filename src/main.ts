import { processShell, type Shell } from './cli/shell.ts';
import { runProgram } from './cli/program.ts';
import type { Registry } from './component/registry.ts';
import { ConfigError } from './config/problem.ts';
import { MillraceError } from './errors.ts';
import { sizeThreadPool } from './sql/threads.ts';

/** How long what a command left open may keep the process, once the command is done. Milliseconds. */
const LINGER = 5_000;

/** The command line: argv (without node and script) in, exit code out. Data goes to stdout, everything else to stderr. */
export async function main(argv: readonly string[], shell: Shell): Promise<number> {
  try {
    return await runProgram(argv, shell);
  } catch (error) {
    if (error instanceof ConfigError) {
      const count = error.problems.length;
      const mistakes = count === 1 ? '1 mistake' : `${count} mistakes`;
      shell.err(`${error.message}\n${mistakes}; nothing was started (${error.code})\n`);
    } else if (error instanceof MillraceError) shell.err(`${error.code}: ${error.message}\n`);
    // Not foreseen, so where it came from is what helps.
    else shell.err(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return 1;
  }
}

/**
 * `main` as a process of its own: what `bin/millrace.js` calls. `registry` stands in for the components that come with
 * Millrace.
 */
export async function runProcess(options: { registry?: Registry } = {}): Promise<void> {
  sizeThreadPool();
  hideExperimentalWarnings();
  // Node would open its debugger at the one, and end at the other; a command may say more of them.
  for (const signal of ['SIGUSR1', 'SIGUSR2']) process.on(signal, () => {});
  // Where nobody can read it (a terminal that is gone), what was to be said is no reason to end in the middle.
  process.stderr.on('error', () => {});
  const registry = async (): Promise<Registry> =>
    options.registry ?? (await import('./components/index.ts')).registry;
  const code = await main(process.argv.slice(2), processShell(registry));
  process.exitCode = code;
  // The command is done; a handle that was forgotten must not keep the process.
  setTimeout(() => process.exit(code), LINGER).unref();
}

/** Node says it of features that Millrace has chosen to use; to who runs Millrace it says nothing. */
function hideExperimentalWarnings(): void {
  const listeners = process.listeners('warning');
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    if (warning.name === 'ExperimentalWarning') return;
    for (const listener of listeners) listener(warning);
  });
}

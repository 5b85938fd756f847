import { processShell, type Shell } from './cli/shell.ts';
import { runProgram } from './cli/program.ts';
import type { Registry } from './component/registry.ts';
import { ConfigError } from './config/problem.ts';
import { MillraceError } from './errors.ts';
import { sizeThreadPool } from './sql/threads.ts';

/** How long a command's open handles may keep the process, once the command is done. Milliseconds. */
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
    // Unforeseen, so its origin is what helps.
    else shell.err(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return 1;
  }
}

/**
 * `main` as a process of its own, called by `bin/millrace.js`. `registry` replaces the components that come with
 * Millrace.
 */
export async function runProcess(options: { registry?: Registry } = {}): Promise<void> {
  sizeThreadPool();
  hideExperimentalWarnings();
  // Node would open its debugger at one of these signals, and end at the other. A command may handle more of them.
  for (const signal of ['SIGUSR1', 'SIGUSR2']) process.on(signal, () => {});
  // If nobody can read the output (a terminal that is gone), that is no reason to end in the middle.
  process.stderr.on('error', () => {});
  const registry = async (): Promise<Registry> =>
    options.registry ?? (await import('./components/index.ts')).registry;
  const code = await main(process.argv.slice(2), processShell(registry));
  process.exitCode = code;
  // The command is done; a forgotten handle must not keep the process.
  setTimeout(() => process.exit(code), LINGER).unref();
}

/** Node warns about features that Millrace has chosen to use; users of Millrace need no such warning. */
function hideExperimentalWarnings(): void {
  const listeners = process.listeners('warning');
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    if (warning.name === 'ExperimentalWarning') return;
    for (const listener of listeners) listener(warning);
  });
}

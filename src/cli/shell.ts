import type { Readable, Writable } from 'node:stream';
import type { Environment } from '../component/context.ts';
import type { Registry } from '../component/registry.ts';
import { visible } from '../errors.ts';
import { createLogger, type Logger, type LoggingConfig } from '../telemetry/logger.ts';
import { maskSecrets } from '../telemetry/secrets.ts';

/** Where a command reads and writes: the streams of a process, or others that replace them. */
export interface Stdio {
  readonly stdin: Readable & { readonly isTTY?: boolean; readonly fd?: number };
  readonly stdout: Printable;
  readonly stderr: Printable;
}

/** A stream that may be a terminal. */
export type Printable = Writable & {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
};

/** Everything that a command works with, so that no command touches the process itself. */
export interface Shell {
  /** The components; only commands that need them load them. */
  readonly registry: () => Promise<Registry>;
  readonly env: Environment;
  /** Data. Resolves when it is written, or when nobody reads it any more (`millrace list | head`). */
  out(text: string): Promise<void>;
  /** Everything else. */
  err(text: string): void;
  /** For commands whose data is bytes, or that wait. */
  readonly stdio: Stdio;
  /** A logger to stderr, or to the file that `logging` names. */
  logger(logging: LoggingConfig): Logger;
}

/** The components, including those that a configuration file adds. @throws as `loadComponents` */
export async function componentsOf(shell: Shell, config: string | undefined): Promise<Registry> {
  const registry = await shell.registry();
  if (config === undefined) return registry;
  const { loadComponents } = await import('../config/load.ts');
  return await loadComponents(config, { registry, env: shell.env });
}

/** A mistake on the command line; exits with 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The shell of this process. */
export function processShell(registry: () => Promise<Registry>): Shell {
  return shellOf({ registry, env: process.env, stdio: process, logger: createLogger });
}

/** A shell on these streams. */
export function shellOf(parts: Pick<Shell, 'registry' | 'env' | 'stdio' | 'logger'>): Shell {
  const { stdio } = parts;
  return {
    ...parts,
    out: (text) => write(stdio.stdout, stdio.stdout.isTTY === true ? visible(text) : text),
    err: (text) => void stdio.stderr.write(visible(maskSecrets(text))),
  };
}

function ignoreClosed(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
}

const guarded = new WeakSet<Writable>();

async function write(stream: Writable, text: string): Promise<void> {
  // The error is emitted as well as passed to the callback, and would end the process.
  if (!guarded.has(stream)) stream.on('error', ignoreClosed);
  guarded.add(stream);
  await new Promise<void>((resolve) => {
    stream.write(text, () => resolve());
  });
}

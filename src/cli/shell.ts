import type { Registry } from '../component/registry.ts';
import { visible } from '../errors.ts';
import { maskSecrets } from '../telemetry/secrets.ts';

/** What a command works with, so that no command reaches for the process itself. */
export interface Shell {
  /** The components; loaded by the commands that need them. */
  readonly registry: () => Promise<Registry>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Data. Resolves when it is written, or when nobody reads it any more (`millrace list | head`). */
  out(text: string): Promise<void>;
  /** Everything else. */
  err(text: string): void;
  /** For commands whose data is bytes, or waits. */
  readonly stdio: Pick<NodeJS.Process, 'stdin' | 'stdout' | 'stderr'>;
}

/** A command that was called in a wrong way; exits with 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The shell of this process. */
export function processShell(registry: () => Promise<Registry>): Shell {
  return {
    registry,
    env: process.env,
    out: (text) => write(process.stdout, process.stdout.isTTY ? visible(text) : text),
    err: (text) => void process.stderr.write(visible(maskSecrets(text))),
    stdio: process,
  };
}

function ignoreClosed(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
}

const guarded = new WeakSet<NodeJS.WriteStream>();

async function write(stream: NodeJS.WriteStream, text: string): Promise<void> {
  // The error is emitted as well as given to the callback, and would end the process.
  if (!guarded.has(stream)) stream.on('error', ignoreClosed);
  guarded.add(stream);
  await new Promise<void>((resolve) => {
    stream.write(text, () => resolve());
  });
}

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterTest } from './cleanup.ts';

export interface FloodState {
  /** Connections whose socket takes no more. */
  readonly blocked: number;
  /** Messages that each connection has sent, or begun to. */
  readonly sent: readonly number[];
}

/** Floods `url`, from a process of its own, over so many connections with messages of `size` bytes. */
export function flood(url: string, connections: number, size: number) {
  const script = fileURLToPath(new URL('flood.ts', import.meta.url));
  const child = spawn(process.execPath, [script, url, String(connections), String(size)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  afterTest(() => void child.kill());
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (line: string): Promise<FloodState> => {
    child.stdin.write(`${line}\n`);
    return JSON.parse(String((await lines.next()).value)) as FloodState;
  };
  return {
    state: () => ask('state'),
    /** Sends nothing new; what it has begun to send is `sent`. */
    stop: () => ask('stop'),
  };
}

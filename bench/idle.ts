import { execFileSync } from 'node:child_process';
import type { Options } from './options.ts';
import { Sender, memoryOf } from './processes.ts';
import { median, type Row } from './report.ts';
import { startBare, startProduct, type Target } from './target.ts';
import { sleep } from './wait.ts';

const TARGET = 1.5;
const ROUNDS = 3;

/** Memory of a connection that sends nothing: the growth of the process for each. */
export async function compareIdle(
  options: Options,
  progress: (text: string) => void,
): Promise<{ rows: Row[]; raw: object }> {
  const connections = options.idleConnections;
  const bare: number[] = [];
  const product: number[] = [];
  for (let round = 1; round <= Math.min(ROUNDS, options.rounds); round++) {
    progress(`round ${round}: ${connections} idle connections`);
    bare.push(await perConnection(await startBare(), connections));
    product.push(
      await perConnection(await startProduct(options.bin, { output: { type: 'drop' } }), connections),
    );
  }
  const ratio = median(product) / median(bare);
  const shown = (bytes: readonly number[]): string => `${(median(bytes) / 1024).toFixed(1)} KiB`;
  const row: Row = {
    what: `memory per idle connection, ${connections} of them`,
    bare: shown(bare),
    product: shown(product),
    reached: `${ratio.toFixed(2)} times`,
    target: `≤ ${TARGET} times`,
    ok: ratio <= TARGET,
  };
  return { rows: [row], raw: { connections, bare, product } };
}

async function perConnection(target: Target, connections: number): Promise<number> {
  const sender = new Sender();
  for (const pid of [target.pid, sender.pid]) raiseFileLimit(pid, connections + 1000);
  await settled(target.pid);
  const before = await memoryOf(target.pid);
  await sender.connect(target.port, connections);
  await settled(target.pid);
  const after = await memoryOf(target.pid);
  await sender.stop();
  await target.stop();
  return (after.now - before.now) / connections;
}

/** Until resident memory has stayed the same, within half a percent, for three seconds. */
async function settled(pid: number): Promise<void> {
  let last = (await memoryOf(pid)).now;
  for (let calm = 0, looked = 0; calm < 3 && looked < 20; looked++) {
    await sleep(1000);
    const { now } = await memoryOf(pid);
    calm = Math.abs(now - last) < last * 0.005 ? calm + 1 : 0;
    last = now;
  }
}

/** The soft limit of open files is often 1024; root may raise the hard one too. */
export function raiseFileLimit(pid: number, files: number): void {
  for (const limit of [`${files}:`, `${files}:${files}`]) {
    try {
      execFileSync('prlimit', [`--pid=${pid}`, `--nofile=${limit}`], { stdio: 'ignore' });
      return;
    } catch {
      // Not permitted; the other form may be.
    }
  }
}

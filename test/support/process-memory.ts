import { readFileSync, readdirSync, readlinkSync } from 'node:fs';

/** The most memory that a process has had resident so far, in bytes. */
export function peakMemory(pid: number): number {
  const match = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match![1]) * 1024;
}

/** How far a process has read a file that it has open, in bytes; undefined when it has it not. */
export function readPosition(pid: number, path: string): number | undefined {
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    if (readlinkSync(`/proc/${pid}/fd/${fd}`) !== path) continue;
    return Number(/^pos:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))![1]);
  }
  return undefined;
}

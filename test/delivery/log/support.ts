import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { onTestFinished } from 'vitest';
import type { Batch, Run } from '../../../src/message/batch.ts';
import { Batch as MessageBatch } from '../../../src/message/batch.ts';
import type { StoredEntry } from '../../../src/delivery/log/entry.ts';
import { Log } from '../../../src/delivery/log/log.ts';
import type { LogOptions } from '../../../src/delivery/log/log-options.ts';

export interface Told {
  readonly recovered: { entries: number; messages: number; bytes: number; cutBytes: number }[];
  readonly blocked: string[];
  unblocked: number;
}

/** A folder for one log, gone when the test is over; in memory for tests that open a thousand logs. */
export function logFolder(where: 'disk' | 'memory' = 'disk'): string {
  const top = where === 'memory' && existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const folder = mkdtempSync(join(top, 'millrace-log-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'log');
}

/** Opens a log, and closes it when the test is over. */
export async function openLog(
  path: string,
  options: Partial<LogOptions> = {},
): Promise<{ readonly log: Log; readonly told: Told }> {
  const told: Told = { recovered: [], blocked: [], unblocked: 0 };
  const log = await Log.open({
    path,
    sync: 'group_commit',
    interval: 50,
    maxBytes: 64 * 1024 * 1024,
    events: {
      recovered: (details) => void told.recovered.push(details),
      blocked: (reason) => void told.blocked.push(reason),
      unblocked: () => void told.unblocked++,
    },
    ...options,
  });
  onTestFinished(() => log.close());
  return { log, told };
}

/** A batch of these texts. */
export function batchOf(...texts: string[]): Batch {
  const origin = { source: 'ws://127.0.0.1:1/in', ext: { session_id: 's', path: '/in' } };
  return new MessageBatch(
    texts.map((text) => Buffer.from(text)),
    { format: 'text', runs: [{ start: 0, origin, time: 1_700_000_000_000_000, sequence: 7 }] },
  );
}

export function texts(batch: Batch): string[] {
  return batch.payloads.map((payload) => Buffer.from(payload).toString());
}

/** Everything that a reader gives until it is at the end. */
export async function readAll(log: Log, from = 1): Promise<StoredEntry[]> {
  const reader = log.reader(from);
  const entries: StoredEntry[] = [];
  try {
    for (let entry = await reader.next(); entry !== undefined; entry = await reader.next())
      entries.push(entry);
  } finally {
    await reader.close();
  }
  return entries;
}

/** Everything visible of a batch, as plain values that compare. */
export function seen(batch: Batch) {
  return {
    format: batch.format,
    payloads: batch.payloads.map((payload) => Buffer.from(payload).toString('base64')),
    lines: batch.lines === undefined ? undefined : Buffer.from(batch.lines).toString('base64'),
    runs: batch.runs.map(({ start, origin, time, sequence, messageType }: Run) => ({
      start,
      source: origin.source,
      ext: Object.entries(origin.ext),
      time,
      sequence,
      messageType,
    })),
  };
}

/** Makes a log look as if an older Millrace had written it: it does not say that it must have a mark. */
export function asVersion1(path: string): void {
  for (const name of readdirSync(path).filter((each) => each.endsWith('.log'))) {
    const file = join(path, name);
    const bytes = readFileSync(file);
    bytes[7] = 1;
    const seed = crc32(bytes.subarray(0, 40));
    bytes.writeUInt32LE(seed, 40);
    for (let at = 44; at < bytes.length;) {
      const end = at + 8 + bytes.readUInt32LE(at + 4);
      bytes.writeUInt32LE(crc32(bytes.subarray(at + 4, end), seed), at);
      at = end;
    }
    writeFileSync(file, bytes);
  }
}

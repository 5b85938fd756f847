import { isUtf8 } from 'node:buffer';
import type { Metadata } from '../message/batch.ts';
import { describeMessage, microsToIso } from '../message/described.ts';
import type { MillraceError } from '../errors.ts';
import { asLine } from '../message/lines.ts';
import { textOf } from '../message/text.ts';
import { plural } from '../plural.ts';
import type { StoredEntry } from '../delivery/log/entry.ts';
import { inspect, type Inspection } from '../delivery/log/inspect.ts';
import { type Shell, UsageError } from './shell.ts';

export interface WalOptions {
  readonly export?: boolean;
  readonly json?: boolean;
}

/** Lines are written in pieces of this size. */
const PIECE = 64 * 1024;

/**
 * Shows the contents of the log of a stream, or writes its messages to stdout. It only reads, and may do so while a
 * stream has the log open. Resolves with 1 if the log is damaged, after everything that can be read.
 */
export async function walCommand(shell: Shell, path: string, options: WalOptions): Promise<number> {
  const found = await inspect(path);
  if (options.export === true) {
    await exportMessages(shell, found, options.json === true ? asJson : asText);
    shell.err(`exported ${plural(found.messages, 'message')}\n`);
  } else await shell.out(summary(found));
  if (found.damage === undefined) return 0;
  shell.err(`${found.damage.code}: ${found.damage.message}\n`);
  return 1;
}

function summary(found: Inspection): string {
  const { entries, messages, rejected, oldest, bytes, segments, keys, inUse, damage, cutBytes } = found;
  const bad = rejected > 0 ? `, ${rejected} of them rejected and not yet in error_output` : '';
  const rows: [string, string][] = [
    ['messages', `${messages} not delivered yet${bad}`],
    ['batches', String(entries)],
    ['oldest', oldest === undefined ? 'none' : microsToIso(oldest)],
    ['size', `${plural(bytes, 'byte')} in ${plural(segments, 'file')}`],
    ['keys', `${keys} remembered for dedupe`],
    ['in use', inUse ? 'yes, a process has it open' : 'no'],
  ];
  // In a log in use, this is a commit that is being written.
  if (cutBytes > 0 && !inUse) {
    rows.push(['unfinished', `${plural(cutBytes, 'byte')} at the end, never committed`]);
  }
  if (damage !== undefined) rows.push(['damaged', 'yes; the figures cover the readable part']);
  return rows.map(([name, value]) => `${name.padEnd(10)}  ${value}\n`).join('');
}

type Format = (payload: Uint8Array, metadata: Metadata, error: MillraceError | undefined) => string;

async function exportMessages(shell: Shell, found: Inspection, format: Format): Promise<void> {
  let lines = '';
  for await (const entry of found.contents()) {
    for (const { payload, metadata, error } of messagesOf(entry)) {
      lines += `${format(payload, metadata, error)}\n`;
      if (lines.length < PIECE) continue;
      await shell.out(lines);
      lines = '';
    }
  }
  if (lines !== '') await shell.out(lines);
}

/** An entry's messages; those that its codec rejected come last, in the form in which they arrived. */
function* messagesOf({ batch, rejected }: StoredEntry) {
  for (const [index, payload] of batch.payloads.entries()) {
    yield { payload, metadata: batch.metadata(index), error: undefined };
  }
  if (rejected === undefined) return;
  for (const { index, error } of rejected.rejections) {
    yield { payload: rejected.batch.payloads[index]!, metadata: rejected.batch.metadata(index), error };
  }
}

function asJson(payload: Uint8Array, metadata: Metadata, error: MillraceError | undefined): string {
  const rejected = error && { error: { code: error.code, stage: 'codec', message: error.message } };
  return JSON.stringify({ ...describeMessage(payload, metadata), ...rejected });
}

function asText(payload: Uint8Array, metadata: Metadata): string {
  const line = asLine(payload, false);
  if (line !== undefined && isUtf8(line)) return textOf(line);
  throw new UsageError(
    `the message of ${microsToIso(metadata.ingestTime)} from ${metadata.source} ` +
      `${line === undefined ? 'has a line feed in it' : 'is not UTF-8'}, so it cannot be printed as one line; add --json`,
  );
}

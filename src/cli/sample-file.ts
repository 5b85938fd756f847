import { closeSync, openSync, readSync } from 'node:fs';
import { errorMessage } from '../errors.ts';
import { findJsonError } from '../message/json-validate.ts';
import { UsageError } from './shell.ts';

/** As much of a file as is looked at to tell what it is. Bytes. */
const START = 64 * 1024;

const LF = 0x0a;

/**
 * The fields of a `file` input for messages in a file: a JSON array, or a message a line; compressed if its name says so.
 * @throws UsageError for a file that cannot be read
 */
export function sampleFile(path: string) {
  const compression = /\.gz$/i.test(path) ? 'gzip' : /\.zst$/i.test(path) ? 'zstd' : undefined;
  const isArray = holdsArray(startOf(path), /\.json$/i.test(path));
  return {
    type: 'file',
    path,
    framing: { type: isArray ? 'json_array' : 'lines', ...(compression && { compression }) },
  };
}

/** True for the start of a JSON array. A message may be an array too: then it stands on one line, and others follow. */
function holdsArray(start: Buffer, alone: boolean): boolean {
  if (!/^\uFEFF?\s*\[/.test(start.toString('utf8', 0, 64))) return false;
  const text = start.subarray(start.indexOf('['));
  const end = text.indexOf(LF);
  const line = end < 0 ? text : text.subarray(0, end);
  const isWhole = findJsonError(line) < 0;
  const isLast = end < 0 || text.subarray(end).toString().trim() === '';
  return !isWhole || (isLast && alone);
}

function startOf(path: string): Buffer {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const start = Buffer.alloc(START);
    return start.subarray(0, readSync(file, start, 0, START, 0));
  } catch (error) {
    throw new UsageError(`${path}: ${errorMessage(error)}`);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { inspect } from '../../../src/delivery/log/inspect.ts';
import { logFolder, openLog, readAll, seen } from './support.ts';

/** Written by the last version that gave no tags, with three entries: see what the test expects. */
const written = join(import.meta.dirname, 'version-2');

const base64 = (...payloads: (string | Uint8Array)[]): string[] =>
  payloads.map((payload) => Buffer.from(payload as string).toString('base64'));

const run = (session: string, start: number, time: number, sequence?: number, messageType?: string) => ({
  start,
  source: 'ws://127.0.0.1:1/in',
  ext: [
    ['session_id', session],
    ['path', '/in'],
    ['header.x', 'é\0\ud800'],
  ],
  time,
  sequence,
  messageType,
});

test('a log of the version before is read to the last byte, and goes on in this version’s format', async () => {
  const path = logFolder();
  cpSync(written, path, { recursive: true });
  expect(await inspect(path)).toMatchObject({
    entries: 3,
    messages: 6,
    rejected: 1,
    keys: 2,
    damage: undefined,
  });
  const { log } = await openLog(path);
  const [first, second, third] = await readAll(log);
  expect(seen(first!.batch)).toEqual({
    format: 'text',
    payloads: base64('a', '', 'ç'),
    lines: undefined,
    runs: [run('one', 0, 1_700_000_000_000_000, 7, 'text'), run('two', 2, 1_700_000_000_000_001)],
  });
  expect(seen(second!.batch)).toEqual({
    format: 'json',
    payloads: base64('{"a":1}', '[2]'),
    lines: base64('{"a":1}\n[2]\n')[0],
    runs: [run('three', 0, 1_700_000_000_000_002, 1, 'text')],
  });
  expect(second!.keys).toEqual({
    space: 'input',
    keys: ['3:one"k"', '7'],
    expires: 4_000_000_000_000,
    max: 100,
  });
  expect(seen(third!.batch).payloads).toEqual([]);
  expect(seen(third!.rejected!.batch)).toEqual({
    format: 'bytes',
    payloads: base64(Uint8Array.of(0xff, 0, 10), '{'),
    lines: undefined,
    runs: [run('four', 0, 1_700_000_000_000_003, 2, 'binary')],
  });
  const [rejection] = third!.rejected!.rejections;
  expect(rejection).toMatchObject({
    index: 1,
    field: 'x',
    error: { code: 'MILLRACE_CODEC_INVALID_JSON', message: 'no JSON', field: 'codec' },
  });

  const number = await log.append({ batch: second!.batch.withMeta('key', ['k', undefined]) });
  await log.close();
  const again = await openLog(path);
  const all = await readAll(again.log);
  expect(all.map((entry) => entry.number)).toEqual([1, 2, 3, number]);
  expect(seen(all[0]!.batch)).toEqual(seen(first!.batch));
  expect([0, 1].map((index) => all[3]!.batch.metaAt(index, 'key'))).toEqual(['k', undefined]);
});

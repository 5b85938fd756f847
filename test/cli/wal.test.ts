import { codecErrors } from '../../src/component/payloads.ts';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MillraceError } from '../../src/errors.ts';
import { Batch } from '../../src/message/batch.ts';
import { cli } from '../support/cli.ts';
import { batchOf, logFolder, openLog } from '../delivery/log/support.ts';

const time = Date.UTC(2026, 0, 2, 3, 4, 5) * 1000 + 678_901;
const origin = { source: 'ws://127.0.0.1:8080/in', ext: { session_id: 's1' } };

function batch(...payloads: (string | Uint8Array)[]): Batch {
  const bytes = payloads.map((payload) => Buffer.from(payload));
  return new Batch(bytes, { runs: [{ start: 0, origin, time, sequence: 3, messageType: 'text' }] });
}

/** A log with three batches, of which the second is delivered. */
async function someLog(first = batch('{"a":1}', 'später')) {
  const path = logFolder();
  const { log } = await openLog(path);
  await log.append({
    batch: first,
    keys: { space: 'in', keys: ['1', '2'], expires: Date.now() + 1e6, max: 10 },
  });
  log.ack(await log.append({ batch: batchOf('delivered') }));
  const error = new MillraceError(codecErrors.MILLRACE_CODEC_INVALID_JSON, 'no');
  const rejected = { batch: batch('{"b":2}', 'oops'), rejections: [{ index: 1, error }] };
  await log.append({ batch: batch('{"b":2}'), rejected });
  return { path, log };
}

test('shows the contents of a log, also while it is open', async () => {
  const { path, log } = await someLog();
  const open = await cli(['wal', path]);
  expect(open.stderr).toBe('');
  expect(open.code).toBe(0);
  expect(open.stdout).toContain('in use      yes, a process has it open\n');
  await log.close();
  const { bytes } = log;
  const closed = await cli(['wal', path]);
  expect(closed.stdout).toBe(`messages    4 not delivered yet, 1 of them rejected and not yet in error_output
batches     2
oldest      2026-01-02T03:04:05.678901Z
size        ${bytes} bytes in 1 file
keys        2 remembered for dedupe
in use      no
`);
  // It was only read.
  expect((await openLog(path)).log.recovered).toMatchObject({ entries: 2, messages: 4 });
});

test('an empty log is shown as empty', async () => {
  const path = logFolder();
  await (await openLog(path)).log.close();
  const { stdout, code } = await cli(['wal', path]);
  expect(stdout).toMatch(
    /^messages {4}0 not delivered yet\nbatches {5}0\noldest {6}none\nsize {8}0 bytes in 0 files/,
  );
  expect(code).toBe(0);
});

test('--export writes the messages that are not delivered as lines, in order', async () => {
  const { path, log } = await someLog();
  await log.close();
  const { stdout, stderr, code } = await cli(['wal', path, '--export']);
  expect(stdout).toBe('{"a":1}\nspäter\n{"b":2}\noops\n');
  expect(stderr).toBe('exported 4 messages\n');
  expect(code).toBe(0);
});

test('--export --json writes them as dead letters have them, and anything can be in them', async () => {
  const { path } = await someLog(batch('a\nb', Buffer.from([0xff, 0x00])));
  const { stdout, code } = await cli(['wal', path, '--export', '--json']);
  const metadata = {
    __meta_source: 'ws://127.0.0.1:8080/in',
    __meta_ingest_time: '2026-01-02T03:04:05.678901Z',
    __meta_ext: { session_id: 's1', message_type: 'text', sequence: '3' },
  };
  const ext = (sequence: string) => ({ ...metadata, __meta_ext: { ...metadata.__meta_ext, sequence } });
  expect(
    stdout
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line)),
  ).toEqual([
    { payload: 'a\nb', encoding: 'utf8', metadata },
    { payload: '/wA=', encoding: 'base64', metadata: ext('4') },
    { payload: '{"b":2}', encoding: 'utf8', metadata },
    {
      payload: 'oops',
      encoding: 'utf8',
      metadata: ext('4'),
      error: { code: 'MILLRACE_CODEC_INVALID_JSON', stage: 'codec', message: 'no' },
    },
  ]);
  expect(code).toBe(0);
});

test('--export writes JSON over several lines as one, and a line break at the end as that of the line', async () => {
  const { path, log } = await someLog(batch('{\n "n": 1.0\n}\n', 'text\n'));
  await log.close();
  const { stdout, code } = await cli(['wal', path, '--export']);
  expect({ stdout, code }).toEqual({ stdout: '{"n":1.0}\ntext\n{"b":2}\noops\n', code: 0 });
});

test.each([
  ['a\nb', 'has a line feed in it'],
  [Buffer.from([0xff]), 'is not UTF-8'],
])('--export stops at %j, and names --json', async (payload, why) => {
  const { path } = await someLog(batch(payload));
  const { stderr, code } = await cli(['wal', path, '--export']);
  expect(stderr).toBe(
    `error: the message of 2026-01-02T03:04:05.678901Z from ws://127.0.0.1:8080/in ${why}, so it cannot be printed as one line; add --json\n`,
  );
  expect(code).toBe(2);
});

test('of a damaged log it shows the readable part, reports the damage, and ends with 1', async () => {
  const path = logFolder();
  for (const round of [1, 2, 3]) {
    const { log } = await openLog(path);
    for (const part of ['a', 'b', 'c']) await log.append({ batch: batch(`${round}${part}`) });
    await log.close();
  }
  const files = readdirSync(path).filter((name) => name.endsWith('.log'));
  const flip = (file: string, at: (bytes: Buffer) => number): void => {
    const bytes = readFileSync(join(path, file));
    bytes[at(bytes)]! ^= 1;
    writeFileSync(join(path, file), bytes);
  };
  flip(files[0]!, (bytes) => bytes.indexOf('1b'));
  // The header, in its number and in its checksum.
  flip(files[1]!, () => 9);
  flip(files[2]!, () => 41);
  const exported = await cli(['wal', path, '--export']);
  expect(exported.stdout).toBe('1a\n1c\n2a\n2b\n2c\n3a\n3b\n3c\n');
  expect(exported.stderr).toMatch(
    new RegExp(
      `^exported 8 messages\nMILLRACE_WAL_DAMAGED: the log is damaged: ${path}/${files[0]}, byte \\d+: `,
    ),
  );
  expect(exported.code).toBe(1);
  const shown = await cli(['wal', path]);
  expect(shown.stdout).toContain('damaged     yes; the figures cover the readable part\n');
  expect(shown.code).toBe(1);
});

test('a folder that is not a log is an error that says so', async () => {
  const path = logFolder();
  const missing = await cli(['wal', path]);
  expect(missing.stderr).toBe(`MILLRACE_WAL_FAILED: ${path} is not a log: the folder does not exist\n`);
  expect(missing.code).toBe(1);
  writeFileSync(path, '');
  expect((await cli(['wal', path])).stderr).toContain('is not a log: it is a file');
  expect((await cli(['wal', path, '--json'])).stderr).toContain('--json needs --export');
});

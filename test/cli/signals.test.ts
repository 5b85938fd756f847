import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import { startCli } from '../support/cli.ts';
import { program } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import { python, type Tool } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { wsServer } from '../support/ws-server.ts';

const dir = tempDir();
const entry = program('millrace');
const read = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');

/** A file of one stream that writes ticks, with its log in a file if it has a name. */
function config(name: string, output: string, log?: string): string {
  const logging = log === undefined ? '' : `logging: { file_path: '${log}' }\n`;
  const input = '{ type: generate, context: tick, interval: 5ms }';
  return dir.file(
    `${name}.yaml`,
    `${logging}health_check: { enabled: false }\nstreams:\n  - { input: ${input}, output: { type: file, path: '${output}' } }\n`,
  );
}

async function running(name: string, log?: string) {
  const output = join(dir.path, `${name}.txt`);
  const run = startCli(['run', config(name, output, log)]);
  afterTest(() => void run.child.kill('SIGKILL'));
  await until('ticks', () => read(output).includes('tick\n'));
  return { run, output };
}

test('SIGQUIT drains', async () => {
  const { run } = await running('quit');
  run.child.kill('SIGQUIT');
  const { code, stderr } = await run.result;
  expect(code).toBe(0);
  expect(stderr).toContain('SIGQUIT: draining');
  expect(stderr).toContain('stream ended');
});

test('SIGHUP opens the log and the file outputs again, and nothing ends', async () => {
  const log = join(dir.path, 'hup.log');
  const { run, output } = await running('hup', log);
  renameSync(log, `${log}.1`);
  renameSync(output, `${output}.1`);
  run.child.kill('SIGHUP');
  await until(
    'both files',
    () => read(log).includes('SIGHUP: reopened files') && read(output).includes('tick\n'),
  );
  expect(read(`${log}.1`)).toContain('stream started');
  run.child.kill('SIGTERM');
  expect((await run.result).code).toBe(0);
  expect(read(log)).toContain('stream ended');
});

test.each(['SIGUSR1', 'SIGUSR2'] as const)('%s does nothing, and opens no debugger', async (signal) => {
  const { run } = await running(signal);
  run.child.kill(signal);
  await run.seen(new RegExp(`${signal} does nothing here`));
  run.child.kill('SIGTERM');
  const { code, stderr } = await run.result;
  expect(code).toBe(0);
  expect(stderr).not.toMatch(/debugger/i);
});

test('a log that cannot be written ends nothing', async () => {
  const { run } = await running('full', '/dev/full');
  run.child.kill('SIGHUP');
  run.child.kill('SIGTERM');
  expect(await run.result).toEqual({ code: 0, stdout: '', stderr: '' });
});

/** Runs the command in a terminal, and obeys its input: `close` the terminal, or send it a signal. */
const TERMINAL = `
import os, pty, select, signal, sys
pid, master = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
word = ''
while word != 'close':
    if master in select.select([master, sys.stdin], [], [])[0]:
        try:
            os.read(master, 65536)
        except OSError:
            break
        continue
    word = sys.stdin.readline().strip()
    if word == 'close':
        os.close(master)
    else:
        os.kill(pid, getattr(signal, word))
print('ended', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

function inTerminal(args: readonly string[], command: readonly string[] = [process.execPath, entry]): Tool {
  return python(TERMINAL, ...command, ...args);
}

test.each([
  ['itself', [process.execPath, entry], 'ended 0'],
  // The shell ends at once, as npm's does.
  ['npm', ['/bin/sh', '-c', '"$0" "$@"; true', process.execPath, entry], 'ended -1'],
] as const)(
  'a terminal that is closed drains what %s ran in it; SIGHUP in one that is there does not',
  async (name, command, ended) => {
    const log = join(dir.path, `terminal-${name}.log`);
    const output = join(dir.path, `terminal-${name}.txt`);
    const terminal = inTerminal(['run', config(`terminal-${name}`, output, log)], command);
    await until('ticks', () => read(output).includes('tick\n'));
    if (name === 'itself') {
      terminal.child.stdin!.write('SIGHUP\n');
      await until('the files to be opened again', () => read(log).includes('SIGHUP: reopened files'));
      expect(read(log)).not.toContain('draining');
    }
    terminal.child.stdin!.write('close\n');
    expect(await terminal.line(/^ended/)).toBe(ended);
    await until('the stream to end', () => read(log).includes('stream ended'));
    expect(read(log)).toContain('SIGHUP: the terminal is gone; draining');
  },
);

test.each(['SIGHUP', 'SIGQUIT', 'SIGTERM', 'SIGINT'] as const)(
  'tail closes its connection at %s',
  async (signal) => {
    const server = await wsServer((socket) => socket.send('hello'));
    const run = startCli(['tail', server.url, '--send', 'go']);
    afterTest(() => void run.child.kill('SIGKILL'));
    await run.seen(/hello/);
    run.child.kill('SIGUSR1');
    run.child.kill('SIGUSR2');
    run.child.kill(signal);
    expect(await server.closed()).toEqual({ code: 1000, reason: 'done' });
    expect(await run.result).toEqual({ code: 0, stdout: 'hello\n', stderr: '' });
  },
);

test('send closes its connection when its terminal is closed', async () => {
  const server = await wsServer();
  const terminal = inTerminal(['send', server.url, '-m', 'tick', '--rate', '20', '--count', '100000']);
  await server.count(1);
  terminal.child.stdin!.write('close\n');
  expect((await server.closed()).code).toBe(1000);
  expect(await terminal.line(/^ended/)).toBe('ended 1');
});

test('replay through a stream drains at SIGHUP, whether or not it has a terminal', async () => {
  const letter = JSON.stringify({
    payload: 'x',
    encoding: 'utf8',
    metadata: { __meta_source: 's', __meta_ingest_time: '2026-11-30T00:00:00.000000Z', __meta_ext: {} },
  });
  const run = startCli([
    'replay',
    dir.file('letters.jsonl', `${letter}\n`),
    '--to',
    config('replayed', '/dev/full'),
  ]);
  await run.seen(/ENOSPC/);
  run.child.kill('SIGHUP');
  await run.seen(/SIGHUP: draining/);
  let noticed = false;
  const second = run.seen(/second signal \(SIGQUIT/).then(() => (noticed = true));
  // At first it still counts as the signal before.
  await until('the second signal to be noticed', () => noticed || (run.child.kill('SIGQUIT'), false));
  await second;
  expect((await run.result).code).toBe(1);
});

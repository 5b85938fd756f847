import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import { cli, startCli } from '../support/cli.ts';
import { DurableProcess } from '../support/durable-process.ts';
import { send } from '../support/peers.ts';
import { program } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import { requireTool } from '../support/tools.ts';
import { until } from '../support/until.ts';

const dir = tempDir();
let files = 0;

/** A file with one stream whose log is in `path`; `output` is its output, as YAML. */
function durableFile(path: string, output = '{ type: drop }', more = ''): string {
  return dir.file(
    `stream-${files++}.yaml`,
    `health_check: { address: "127.0.0.1:0" }
logging: { format: json }
streams:
  - id: s
    input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      codec: { type: json }
      ack: { when: stored, id: id, reply: '{"ack":"{{id}}"}' }
    output: ${output}
    durability: { path: "${path}" ${more} }
`,
  );
}

const message = (id: number, fill = ''): string => JSON.stringify({ id: String(id), fill });
const away = '{ type: websocket, url: "ws://127.0.0.1:9/nobody" }';

test('a folder that is removed under a running stream: nothing is acknowledged after it, and the stream says why', async () => {
  const path = join(dir.path, 'removed');
  const run = new DurableProcess(durableFile(path, away));
  const sender = await run.client();
  await send(sender, message(1));
  await until('an acknowledgement', () => sender.replies.length === 1);
  rmSync(path, { recursive: true });
  // The process ends meanwhile, and with it the connection.
  for (let id = 2; id <= 21; id++) sender.socket.send(message(id), () => {});
  const { code } = await run.cli.result;
  expect(code).toBe(1);
  expect(sender.replies).toEqual(['{"ack":"1"}']);
  expect(run.log).toMatch(/"code":"MILLRACE_WAL_FAILED".*the log in .* was removed or replaced/);
});

test('a log whose mark and end are gone is refused, and nothing of it is delivered', async () => {
  const path = join(dir.path, 'cut');
  const run = new DurableProcess(durableFile(path, away));
  const sender = await run.client();
  for (let id = 1; id <= 200; id++) await send(sender, message(id));
  await until('200 acknowledgements', () => sender.replies.length === 200);
  run.cli.child.kill('SIGKILL');
  await run.cli.result;
  rmSync(join(path, 'mark'));
  const segment = join(
    path,
    readdirSync(path).find((name) => name.endsWith('.log'))!,
  );
  truncateSync(segment, readFileSync(segment).length - 3000);
  const out = join(dir.path, 'cut.jsonl');
  const { code, stderr } = await cli(['run', durableFile(path, `{ type: file, path: "${out}" }`)]);
  expect(code).toBe(1);
  expect(stderr).toContain('MILLRACE_WAL_DAMAGED');
  expect(existsSync(out) ? readFileSync(out, 'utf8') : '').toBe('');
});

test('without a file descriptor the log waits, says so in readiness, and goes on; nothing is lost', async () => {
  const path = join(dir.path, 'starved');
  const out = join(dir.path, 'starved.jsonl');
  const run = new DurableProcess(durableFile(path, `{ type: file, path: "${out}" }`, ', max_bytes: 16MiB'));
  const sender = await run.client();
  await send(sender, message(1));
  await until('an acknowledgement', () => sender.replies.length === 1);
  expect(await run.readiness()).toMatchObject({ status: 200 });
  const limit = Number(
    /Max open files +(\d+)/.exec(readFileSync(`/proc/${run.cli.child.pid}/limits`, 'utf8'))![1],
  );
  run.descriptors('none');
  // A file of the log is 1 MiB: the third needs a descriptor, although one is held back for it.
  const fill = 'x'.repeat(100_000);
  for (let id = 2; id <= 60; id++) await send(sender, message(id, fill));
  const said = await until('readiness to say so', async () => {
    const { status, text } = await run.readiness();
    return status === 503 && text.includes('descriptor') ? text : undefined;
  });
  expect(said).toMatch(/the log in .*starved waits for a free file descriptor: EMFILE: too many open files/);
  expect(run.log).toContain('MILLRACE_WAL_FULL');
  expect(sender.replies.length).toBeLessThan(60);
  run.descriptors(limit);
  await until('every acknowledgement', () => sender.replies.length === 60);
  await until('readiness', async () => (await run.readiness()).status === 200);
  run.cli.child.kill('SIGTERM');
  expect((await run.cli.result).code).toBe(0);
  const ids = readFileSync(out, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { id: string }).id);
  expect(ids).toEqual(Array.from({ length: 60 }, (_, index) => String(index + 1)));
});

test('without a file descriptor at the start the log waits as well', async () => {
  const prlimit = requireTool('prlimit');
  const path = join(dir.path, 'starved-start');
  const text = readFileSync(durableFile(path), 'utf8')
    .replace(/health_check: .*/, 'health_check: { enabled: false }')
    .replace(
      '    durability',
      `    pipeline: { processors: [{ type: hog, program: "${prlimit}" }] }\n    durability`,
    );
  const run = new DurableProcess(dir.file('starved-start.yaml', text), { entry: program('hog') });
  await until('it to wait', () =>
    /"code":"MILLRACE_WAL_FULL".*starved-start waits for a free file descriptor: EMFILE/.test(run.log),
  );
  run.descriptors(1000);
  const sender = await run.client();
  await send(sender, message(1));
  await until('an acknowledgement', () => sender.replies.length === 1);
});

test.each(['/proc/nope', '/proc/nope/log'])(
  '%s: a folder that nobody can make ends the run at once',
  async (path) => {
    const { code, stderr } = await cli(['run', durableFile(path)]);
    expect(code).toBe(1);
    expect(stderr).toMatch(new RegExp(`MILLRACE_WAL_FAILED.*the log in ${path} could not be opened: ENOENT`));
  },
);

test('an output whose file cannot exist is reported at once, and tried again', async () => {
  const file = dir.file(
    'nowhere.yaml',
    'health_check: { enabled: false }\nstreams: [{ input: { type: memory, messages: [x] }, output: { type: file, path: /proc/nope/x } }]\n',
  );
  const run = startCli(['run', file]);
  afterTest(() => void run.child.kill('SIGKILL'));
  await run.seen(/output failed to connect: .*\/proc\/nope.*ENOENT/);
});

test('check --dial says whether the log can be opened, and leaves nothing behind', async () => {
  const path = join(dir.path, 'none', 'yet', 'log');
  const fresh = await cli(['check', '--dial', durableFile(path)]);
  expect(fresh).toMatchObject({ code: 0, stderr: '' });
  expect(fresh.stdout).toContain(`s: durability ${path}: can be opened\n`);
  expect(existsSync(join(dir.path, 'none'))).toBe(false);

  const nowhere = await cli(['check', '--dial', durableFile('/proc/nope')]);
  expect(nowhere.code).toBe(1);
  expect(nowhere.stderr).toMatch(
    /^s: durability \/proc\/nope: the log in \/proc\/nope could not be opened: ENOENT/m,
  );

  const used = join(dir.path, 'used');
  const run = new DurableProcess(durableFile(used, away));
  const sender = await run.client();
  await send(sender, message(1));
  await until('an acknowledgement', () => sender.replies.length === 1);
  // SQLite's, as long as it is locked.
  const before = readdirSync(used).filter((name) => name !== 'lock-journal');
  const other = await cli(['check', '--dial', durableFile(used)]);
  expect(other.stderr).toContain(`s: durability ${used}: the log in ${used} is open in another process`);
  // The process that has it open goes on.
  await send(sender, message(2));
  await until('an acknowledgement', () => sender.replies.length === 2);
  run.cli.child.kill('SIGKILL');
  await run.cli.result;
  expect(await cli(['check', '--dial', durableFile(used)])).toMatchObject({ code: 0, stderr: '' });
  expect(readdirSync(used).toSorted()).toEqual(before.toSorted());

  rmSync(join(used, 'mark'));
  expect((await cli(['check', '--dial', durableFile(used)])).stderr).toContain(
    `the log is damaged: ${used}/mark`,
  );
  const linked = join(dir.path, 'linked');
  mkdirSync(linked);
  symlinkSync('/etc/hostname', join(linked, 'mark'));
  expect((await cli(['check', '--dial', durableFile(linked)])).stderr).toContain(
    `${linked}/mark is a link or something else; expected a file`,
  );
  expect(readdirSync(linked)).toEqual(['mark']);
});

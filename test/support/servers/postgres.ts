import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Client, type QueryResult } from 'pg';
import { serverOf, type Server } from './server.ts';

/** PostgreSQL refuses to run as root. */
const user = process.getuid?.() === 0 ? ['--reuid=postgres', '--regid=postgres', '--clear-groups'] : [];

/**
 * PostgreSQL, with the superuser `postgres` and no password. `options` are added to its command line, such as
 * `ssl=on`, and `files` to the folder of its data.
 */
export async function postgresServer({
  options = [],
  files = {},
}: { options?: string[]; files?: Readonly<Record<string, string>> } = {}): Promise<Server> {
  const data = (dir: string): string => join(dir, 'data');
  return await serverOf({
    tool: 'postgres',
    prepare({ program, dir }) {
      mkdirSync(data(dir), { mode: 0o700 });
      chownSync(data(dir), ...owner());
      const initdb = join(dirname(program), 'initdb');
      const args = [
        '-D',
        data(dir),
        '-U',
        'postgres',
        '-A',
        'trust',
        '-E',
        'UTF8',
        '--no-sync',
        '--no-instructions',
      ];
      execFileSync('setpriv', [...user, initdb, ...args], { cwd: '/', stdio: 'ignore' });
      for (const [name, content] of Object.entries(files)) {
        const path = join(data(dir), name);
        writeFileSync(path, content, { mode: 0o600 });
        chownSync(path, ...owner());
      }
    },
    // It believes a process of that number to be itself, also one that is only not buried yet.
    beforeStart: ({ dir }) => rmSync(join(data(dir), 'postmaster.pid'), { force: true }),
    command: ({ program, dir, port }) => [
      ...user,
      program,
      '-D',
      data(dir),
      '-p',
      String(port),
      ...['listen_addresses=127.0.0.1', 'unix_socket_directories=', ...options].flatMap((each) => [
        '-c',
        each,
      ]),
    ],
    ready: async ({ port }) => (await query(port, 'SELECT 1')).rowCount === 1,
    // The fast shutdown: it waits for nobody.
    stopSignal: 'SIGINT',
  });
}

/** The user and the group that the server runs as. */
function owner(): [uid: number, gid: number] {
  if (user.length === 0) return [process.getuid!(), process.getgid!()];
  const [uid, gid] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, 'postgres'])));
  return [uid!, gid!];
}

/** Runs one statement on a connection of its own. */
export async function query(port: number, sql: string, values: unknown[] = []): Promise<QueryResult> {
  const client = new Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  client.on('error', () => {});
  await client.connect();
  try {
    return await client.query(sql, values);
  } finally {
    await client.end();
  }
}

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { serverOf, type Server } from './server.ts';

/**
 * MariaDB, with the users `t` (password `t`) and `root` (none), and the database `test`. `options` are added to its command
 * line, `sql` runs at each start.
 */
export async function mariadbServer({
  options = [],
  sql = '',
}: { options?: string[]; sql?: string } = {}): Promise<Server> {
  const { username } = userInfo();
  const data = (dir: string): string => join(dir, 'data');
  return await serverOf({
    tool: 'mariadbd',
    prepare({ dir }) {
      mkdirSync(data(dir));
      const args = ['--auth-root-authentication-method=normal', '--skip-test-db', `--user=${username}`];
      execFileSync('mariadb-install-db', ['--no-defaults', ...args, `--datadir=${data(dir)}`], {
        stdio: 'ignore',
      });
      const init = `CREATE DATABASE IF NOT EXISTS test;\nCREATE USER IF NOT EXISTS t@'127.0.0.1' IDENTIFIED BY 't';\nGRANT ALL ON *.* TO t@'127.0.0.1';\n${sql}`;
      writeFileSync(join(dir, 'init.sql'), init);
    },
    command: ({ program, dir, port }) => [
      program,
      '--no-defaults',
      `--user=${username}`,
      `--datadir=${data(dir)}`,
      `--port=${port}`,
      '--bind-address=127.0.0.1',
      `--socket=${join(dir, 's.sock')}`,
      `--init-file=${join(dir, 'init.sql')}`,
      '--skip-name-resolve',
      '--innodb-buffer-pool-size=16M',
      ...options,
    ],
    ready: async ({ port }) => (await query(port, 'SELECT 1 AS one')).length === 1,
  });
}

/** Runs one statement on a connection of its own; every value is a text, bytes or NULL. */
export async function query(port: number, sql: string): Promise<RowDataPacket[]> {
  const connection = await createConnection({
    host: '127.0.0.1',
    port,
    user: 't',
    password: 't',
    database: 'test',
    typeCast: (field) => field.string(),
    rowsAsArray: true,
  });
  connection.on('error', () => {});
  try {
    const [rows] = await connection.query<RowDataPacket[]>(sql);
    return rows;
  } finally {
    await connection.end();
  }
}

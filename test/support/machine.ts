import { spawnSync } from 'node:child_process';
import { accessSync, constants, globSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

/** Programs that some tests talk to or run. `npm run test:setup` installs them on Debian. */
export const toolNames = [
  'chromium',
  'faketime',
  'javac',
  'mariadbd',
  'microsocks',
  'mosquitto',
  'mosquitto_sub',
  'nats-server',
  'nginx',
  'openssl',
  'postgres',
  'prlimit',
  'redis-server',
  'script',
  'strace',
  'tinyproxy',
] as const;

export type ToolName = (typeof toolNames)[number];

/** Where scripts/test-setup.sh puts Kafka, which Debian has not. */
export const kafkaJars = join(homedir(), '.cache/millrace-tests/kafka');

/** Other things that some tests need of the machine, by their names in messages. */
const abilities = {
  'Python’s websockets': () => findPython() !== undefined,
  'Python’s duckdb': () => findPythonWithDuckDB() !== undefined,
  'Kafka’s jars': () => globSync(join(kafkaJars, 'kafka_2.13-*.jar')).length > 0,
  'the right to mount a disk (root)': () =>
    runs('unshare', '--mount', 'mount', '-t', 'tmpfs', 'tmpfs', tmpdir()),
  'user namespaces (unshare)': () => runs('unshare', '--map-root-user', '--mount', 'true'),
} as const;

export type Ability = keyof typeof abilities;

/** The path of a program, or undefined. */
export function findTool(name: ToolName): string | undefined {
  folders ??= [
    ...(process.env['PATH'] ?? '').split(delimiter),
    // The folders of an administrator's programs are often not in the path of others.
    '/usr/sbin',
    '/sbin',
    ...globSync('/usr/lib/postgresql/*/bin'),
    // scripts/test-setup.sh builds here what Debian has not.
    join(homedir(), '.cache/millrace-tests/bin'),
  ];
  return folders.map((folder) => join(folder, name)).find((path) => isProgram(path));
}

let folders: readonly string[] | undefined;

/** The Python that has the library `websockets`: the one that MILLRACE_TEST_PYTHON names, or the system's. */
export function findPython(): string | undefined {
  python ??= [process.env['MILLRACE_TEST_PYTHON'] ?? '/usr/bin/python3'].filter((path) =>
    // Isolated: what a user has installed for himself does not count.
    runs(path, '-I', '-c', 'import websockets'),
  );
  return python[0];
}
let python: string[] | undefined;

/** The Python that has the library `duckdb`: the one that MILLRACE_TEST_DUCKDB names. Debian has none. */
export function findPythonWithDuckDB(): string | undefined {
  duckdb ??= [process.env['MILLRACE_TEST_DUCKDB'] ?? '/usr/bin/python3'].filter((path) =>
    runs(path, '-I', '-c', 'import duckdb'),
  );
  return duckdb[0];
}
let duckdb: string[] | undefined;

export function isAble(ability: Ability): boolean {
  able[ability] ??= abilities[ability]();
  return able[ability];
}
const able: Partial<Record<Ability, boolean>> = {};

/** Everything that tests would use and this machine lacks. */
export function missing(): string[] {
  const programs = toolNames.filter((name) => findTool(name) === undefined);
  return [...programs, ...(Object.keys(abilities) as Ability[]).filter((ability) => !isAble(ability))];
}

function runs(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

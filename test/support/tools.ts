import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { afterTest } from './peers.ts';
import { until } from './until.ts';

/** Programs that foreign peers are made of, and the Debian package of each. */
const packages = {
  '/usr/bin/python3': 'python3',
  '/usr/sbin/nginx': 'nginx-light',
  '/usr/bin/chromium': 'chromium',
  '/usr/bin/tinyproxy': 'tinyproxy',
  '/usr/bin/microsocks': 'microsocks',
  '/usr/bin/unshare': 'util-linux',
  '/usr/bin/prlimit': 'util-linux',
  '/usr/bin/javac': 'default-jdk-headless',
  '/usr/bin/strace': 'strace',
  '/usr/bin/faketime': 'faketime',
} as const;

/** The path of a program that a test cannot do without. @throws Error that names the package to install */
export function requireTool(path: keyof typeof packages): string {
  if (existsSync(path)) return path;
  throw new Error(`${path} is missing; this test needs it: apt-get install ${packages[path]}`);
}

/** A program of a test, and the lines of its stdout. */
export class Tool {
  readonly lines: string[] = [];
  readonly child: ChildProcess;
  #errors = '';

  constructor(command: string, args: readonly string[]) {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.child = child;
    createInterface({ input: child.stdout }).on('line', (line) => this.lines.push(line));
    child.stderr.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
    afterTest(() => void child.kill());
  }

  /** Resolves with the first line that matches. @throws Error when the program ends without one */
  async line(pattern: RegExp): Promise<string> {
    return await until(`the line ${String(pattern)}`, () => {
      const found = this.lines.find((line) => pattern.test(line));
      if (found === undefined && this.child.exitCode !== null) {
        throw new Error(`ended with ${this.child.exitCode}: ${this.lines.join('\n')}\n${this.#errors}`);
      }
      return found;
    });
  }
}

/** Runs Python with the library `websockets`. */
export function python(script: string, ...args: string[]): Tool {
  const check = `
try:
    import websockets
except ImportError:
    raise SystemExit("Python's websockets is missing; this test needs it: apt-get install python3-websockets")
`;
  return new Tool(requireTool('/usr/bin/python3'), ['-u', '-c', check + script, ...args]);
}

/** Runs the file of a Java program, whose own client speaks WebSocket (`java.net.http`). */
export function java(file: string, ...args: string[]): Tool {
  // It compiles the file itself, with what the JDK has and a JRE has not.
  requireTool('/usr/bin/javac');
  const utf8 = ['-Dfile.encoding=UTF-8', '-Dstdout.encoding=UTF-8'];
  return new Tool('/usr/bin/java', [...utf8, file, ...args]);
}

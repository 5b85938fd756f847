import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { test, TestRunner } from 'vitest';
import { afterTest } from './cleanup.ts';
import {
  findPython,
  findPythonWithDuckDB,
  findTool,
  isAble,
  type Ability,
  type ToolName,
} from './machine.ts';
import { failAtOnce, until } from './until.ts';

/** `test`, which skips where the machine lacks one of these. For files that need it before their first test runs. */
export function testWith(...needs: (ToolName | Ability)[]): typeof test {
  return test.skipIf(needs.some((need) => !has(need))) as typeof test;
}

function has(need: ToolName | Ability): boolean {
  return need.includes(' ') ? isAble(need as Ability) : findTool(need as ToolName) !== undefined;
}

/** The path of a program; the test that runs is skipped where there is none. */
export function requireTool(name: ToolName): string {
  return findTool(name) ?? skip(name);
}

/** The path of a Python that has the library `duckdb`; the test that runs is skipped where there is none. */
export function requireDuckDB(): string {
  return findPythonWithDuckDB() ?? skip('Python’s duckdb');
}

/** Skips the test that runs where the machine cannot do this. */
export function requireAbility(ability: Ability): void {
  if (!isAble(ability)) skip(ability);
}

function skip(need: string): never {
  const running = TestRunner.getCurrentTest();
  if (running === undefined) throw new Error(`this machine lacks ${need}; the file’s tests need testWith`);
  return running.context.skip(`needs ${need}`);
}

/** A program of a test, and the lines of its stdout. When it fails, so does the test that waits, and at once. */
export class Tool {
  readonly lines: string[] = [];
  readonly child: ChildProcess;
  #errors = '';
  #ended = false;

  constructor(command: string, args: readonly string[]) {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.child = child;
    createInterface({ input: child.stdout }).on('line', (line) => this.lines.push(line));
    child.stderr.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
    child.once('close', () => (this.#ended = true));
    child.once('error', (error) => failAtOnce(error));
    afterTest(() => void child.kill());
  }

  /** Resolves with the first line that matches. @throws Error when the program ends without one */
  async line(pattern: RegExp): Promise<string> {
    return await until(`the line ${String(pattern)}`, () => {
      const found = this.lines.find((line) => pattern.test(line));
      if (found === undefined && this.#ended) throw this.failure();
      return found;
    });
  }

  /** Fails the test, whatever it waits for, as soon as this program fails. */
  mustNotFail(): this {
    this.child.once('close', (code) => {
      if (code !== 0 && !this.child.killed) failAtOnce(this.failure());
    });
    return this;
  }

  failure(): Error {
    const { spawnfile, exitCode, signalCode } = this.child;
    return new Error(
      `${spawnfile} ended with ${exitCode ?? signalCode}: ${this.lines.join('\n')}\n${this.#errors}`,
    );
  }
}

/**
 * Runs Python with the library `websockets`, in the names of its current versions; those of Debian’s older one are
 * made to be the same.
 */
export function python(script: string, ...args: string[]): Tool {
  return new Tool(findPython() ?? skip('Python’s websockets'), [
    '-I',
    '-u',
    '-c',
    NAMES + script,
    ...args,
  ]).mustNotFail();
}

const NAMES = `
import websockets
if int(websockets.__version__.split(".")[0]) < 14:
    from types import SimpleNamespace
    from websockets.legacy.protocol import WebSocketCommonProtocol
    WebSocketCommonProtocol.request = property(lambda ws: SimpleNamespace(path=ws.path, headers=ws.request_headers))
    websockets.InvalidStatus = websockets.InvalidStatusCode
    websockets.InvalidStatus.response = property(lambda error: SimpleNamespace(status_code=error.status_code))
    new_connect, new_serve = websockets.connect, websockets.serve
    def connect(url, additional_headers=None, **options):
        return new_connect(url, extra_headers=additional_headers, **options)
    def serve(handler, *where, process_request=None, **options):
        return new_serve(handler, *where, create_protocol=process_request, **options)
    websockets.connect, websockets.serve = connect, serve
    websockets.basic_auth = websockets.basic_auth_protocol_factory
else:
    from websockets.asyncio.connection import Connection
    Connection.extensions = property(lambda ws: ws.protocol.extensions)
`;

/** Runs the file of a Java program, whose own client speaks WebSocket (`java.net.http`). */
export function java(file: string, ...args: string[]): Tool {
  // It compiles the file itself, which needs a JDK.
  const compiler = requireTool('javac');
  const utf8 = ['-Dfile.encoding=UTF-8', '-Dstdout.encoding=UTF-8'];
  return new Tool(compiler.replace(/javac$/, 'java'), [...utf8, file, ...args]);
}

import { execFileSync } from 'node:child_process';
import { Agent, request } from 'node:http';
import { afterTest } from './cleanup.ts';
import { startCli, type CliOptions } from './cli.ts';
import { connectClient, type Client } from './peers.ts';
import { requireTool } from './tools.ts';
import { until } from './until.ts';

/** `millrace run` on a file with one server stream, as a process, seen from a sender. */
export class DurableProcess {
  readonly cli: ReturnType<typeof startCli>;
  /** Its log, a JSON object a line. */
  log = '';
  /** Kept open, for when the process cannot take another connection. */
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(file: string, options?: CliOptions) {
    this.cli = startCli(['run', file], options);
    this.cli.child.stderr.on('data', (text: string) => (this.log += text));
    afterTest(() => {
      this.#agent.destroy();
      this.cli.child.kill('SIGKILL');
    });
  }

  /** Connects to its input. @returns the client, and the texts that it gets */
  async client(): Promise<Client & { readonly replies: string[] }> {
    const url = await this.#told(/"url":"(ws:[^"]+)"/, 'where it listens');
    const client = await connectClient(url);
    const replies: string[] = [];
    client.socket.on('message', (data: Buffer) => replies.push(data.toString()));
    return { ...client, replies };
  }

  async readiness(): Promise<{ status: number | undefined; text: string }> {
    return await this.#get('/readiness');
  }

  async metrics(): Promise<string> {
    // Some are measured when health is asked for.
    await this.#get('/health');
    return (await this.#get('/metrics')).text;
  }

  async #get(path: string): Promise<{ status: number | undefined; text: string }> {
    const url = await this.#told(/health on (http:\/\/[^/]+)/, 'where its health is');
    return await new Promise((resolve, reject) => {
      const asked = request(url + path, { agent: this.#agent }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('end', () => resolve({ status: response.statusCode, text }));
      });
      asked.on('error', reject);
      asked.end();
    });
  }

  /** Lets it have no more descriptors than it has now, or as many as that. */
  descriptors(limit: number | 'none'): void {
    const soft = limit === 'none' ? 1 : limit;
    execFileSync(requireTool('prlimit'), [`--pid=${this.cli.child.pid}`, `--nofile=${soft}:`]);
  }

  async #told(pattern: RegExp, what: string): Promise<string> {
    return await until(`the process to say ${what}`, () => pattern.exec(this.log)?.[1], {
      state: () => this.log,
    });
  }
}

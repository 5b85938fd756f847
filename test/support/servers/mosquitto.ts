import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tool } from '../tools.ts';
import { answers, serverOf, type Server } from './server.ts';

/** Mosquitto: MQTT on `port`, MQTT over WebSocket on `port2`. `config` is added to its configuration file. */
export async function mosquitto({ config = '' }: { config?: string } = {}): Promise<Server> {
  return await serverOf({
    tool: 'mosquitto',
    prepare({ dir, port, port2 }) {
      writeFileSync(
        join(dir, 'mosquitto.conf'),
        `${process.getuid?.() === 0 ? 'user root' : ''}
listener ${port} 127.0.0.1
listener ${port2} 127.0.0.1
protocol websockets
${config === '' ? 'allow_anonymous true' : config}
persistence true
persistence_location ${dir}/
max_inflight_messages 100
log_dest stderr
log_type subscribe
log_type notice
max_queued_messages 100000
`,
      );
    },
    command: ({ program, dir }) => [program, '-c', join(dir, 'mosquitto.conf')],
    ready: async ({ port }) => await answers(port),
  });
}

/** A subscriber whose lines are topic and message. Await `ready` before anything is published. */
export class MqttSubscriber {
  readonly #tool: Tool;

  constructor(port: number, topic: string, ...flags: string[]) {
    const args = ['-p', String(port), '-t', topic, '-F', '%t %p', '-d', ...flags];
    this.#tool = new Tool('stdbuf', ['-oL', 'mosquitto_sub', ...args]);
  }

  /** Resolves when the broker has the subscription. */
  async ready(): Promise<this> {
    await this.#tool.line(/^Subscribed /);
    return this;
  }

  async end(): Promise<void> {
    const { child } = this.#tool;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill();
    await closed;
  }

  get lines(): string[] {
    return this.#tool.lines.filter((line) => !/^(?:Client |Subscribed )/.test(line));
  }
}

/** Publishes each message, which has no line break in it; resolves when the broker has them. */
export async function publish(
  port: number,
  topic: string,
  messages: readonly string[],
  ...flags: string[]
): Promise<void> {
  const args = ['-p', String(port), '-t', topic, '-q', '1', '-l', ...flags];
  const child = spawn('mosquitto_pub', args, { stdio: ['pipe', 'ignore', 'inherit'] });
  child.stdin.end(messages.map((message) => `${message}\n`).join(''));
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error(`mosquitto_pub ended with ${code}`);
}

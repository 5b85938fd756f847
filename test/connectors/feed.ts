import type { Run } from '../support/engine.ts';
import { connectClient, send } from '../support/peers.ts';

/** The input of a file whose messages `Feed` sends. */
export const FEED = `{ type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json } }`;

/**
 * A client that sends numbered messages to the stream `FEED`, as fast as it takes them or with a pause after each twenty, until
 * it is told to stop.
 */
export class Feed {
  /** How many it has sent. */
  sent = 0;
  #over = false;
  readonly #done: Promise<void>;

  /** `pause` in milliseconds. */
  constructor(run: Run, stream?: string, pause = 0) {
    this.#done = this.#send(run, pause, stream);
  }

  /** Each message that it has sent, in order. */
  get messages(): string[] {
    return Array.from({ length: this.sent }, (_, n) => message(n));
  }

  /** Resolves when it has stopped, and every message is with the operating system. */
  async stop(): Promise<void> {
    this.#over = true;
    await this.#done;
  }

  async #send(run: Run, pause: number, stream?: string): Promise<void> {
    const client = await connectClient(await run.url(stream));
    while (!this.#over) {
      await send(client, ...Array.from({ length: 20 }, (_, n) => message(this.sent + n)));
      this.sent += 20;
      await new Promise((resolve) => (pause === 0 ? setImmediate(resolve) : setTimeout(resolve, pause)));
    }
  }
}

function message(n: number): string {
  return `{"n":${n},"device":"d${n % 3}"}`;
}

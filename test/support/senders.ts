import { connectClient, type Client } from './peers.ts';
import type { Run } from './engine.ts';
import { until } from './until.ts';

/** A client that keeps its replies. */
export class Sender {
  readonly replies: string[] = [];
  readonly client: Client;

  constructor(client: Client) {
    this.client = client;
    client.socket.on('message', (data) => this.replies.push((data as Buffer).toString()));
  }

  /** Resolves with the replies when there are `count`. */
  async count(count: number): Promise<string[]> {
    await until(`${count} replies`, () => this.replies.length >= count, {
      state: () => `${this.replies.length} came: ${this.replies.slice(-3).join(' ')}`,
    });
    return this.replies;
  }

  get values(): unknown[] {
    return this.replies.map((reply): unknown => JSON.parse(reply));
  }

  /** Resolves when everything that was sent to the client before has arrived. */
  async roundTrip(): Promise<void> {
    const { socket } = this.client;
    await new Promise<void>((resolve) => {
      socket.once('pong', () => resolve());
      socket.ping();
    });
  }
}

export async function sender(run: Run, headers: Record<string, string> = {}): Promise<Sender> {
  return new Sender(await connectClient(await run.url(), { headers }));
}

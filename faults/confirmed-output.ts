import { once } from 'node:events';
import { WebSocket } from 'ws';
import { defineOutput, NotConnectedError, z, type Batch, type Output, type WriteCall } from '../src/index.ts';

/**
 * An output to the campaign's sink that the sink itself confirms. None of Millrace's own outputs has a sink that can be
 * killed and that confirms: `file` has no process at its other end, and `websocket` has no confirmation from its
 * server.
 */
export const confirmedOutput = defineOutput({
  type: 'confirmed',
  summary: 'Sends each batch to the sink of the fault campaign, and waits for its answer.',
  status: 'stable',
  schema: z.strictObject({ url: z.string().describe('The URL of the sink.') }),
  examples: [],
  create: ({ url }) => new ConfirmedOutput(url),
});

class ConfirmedOutput implements Output {
  readonly backoff = { initial: 20, max: 200, attempts: Infinity };
  readonly #url: string;
  #socket: WebSocket | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  async connect(signal: AbortSignal): Promise<void> {
    this.#socket?.terminate();
    const socket = new WebSocket(this.#url, { perMessageDeflate: false, handshakeTimeout: 5_000 });
    socket.on('error', () => {});
    this.#socket = socket;
    try {
      await once(socket, 'open', { signal });
    } catch (error) {
      socket.terminate();
      throw new NotConnectedError('the sink is away', error);
    }
  }

  async write(batch: Batch, { signal }: WriteCall): Promise<void> {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) throw new NotConnectedError('not connected');
    const answered = new Promise<string>((resolve, reject) => {
      const leave = (): void => {
        socket.off('message', heard).off('close', gone);
        signal.removeEventListener('abort', aborted);
      };
      const heard = (data: Buffer): void => {
        leave();
        resolve(data.toString());
      };
      const gone = (): void => {
        leave();
        reject(new NotConnectedError('the sink has hung up'));
      };
      const aborted = (): void => {
        leave();
        reject(signal.reason as Error);
      };
      socket.on('message', heard).on('close', gone);
      signal.addEventListener('abort', aborted, { once: true });
    });
    socket.send(batch.payloads.map((payload) => Buffer.from(payload).toString()).join('\n'));
    const answer = await answered;
    if (answer !== 'ok') throw new Error(`the sink says ${answer}`);
  }

  async close(): Promise<void> {
    const socket = this.#socket;
    if (socket === undefined || socket.readyState === WebSocket.CLOSED) return;
    const closed = once(socket, 'close');
    socket.close(1000);
    await closed;
  }
}

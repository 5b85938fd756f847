import { createConnection, createServer, type Server, type Socket } from 'node:net';

/**
 * Passes TCP on until it is told to reset: then each connection ends with RST after some more bytes, in mid-message.
 */
export class ResettingProxy {
  readonly #server: Server;
  readonly #links = new Set<{ cutAfter: number; reset: () => void }>();
  resets = 0;

  private constructor(target: number) {
    this.#server = createServer((near) => this.#link(near, target));
  }

  static async start(target: number): Promise<ResettingProxy> {
    const proxy = new ResettingProxy(target);
    await new Promise<void>((resolve) => {
      proxy.#server.listen(0, '127.0.0.1', resolve);
    });
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Resets every connection after `bytes()` more bytes from its sender. */
  resetAll(bytes: () => number): void {
    for (const link of this.#links) link.cutAfter = bytes();
  }

  async end(): Promise<void> {
    for (const { reset } of this.#links) reset();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #link(near: Socket, target: number): void {
    const far = createConnection({ host: '127.0.0.1', port: target });
    const link = {
      cutAfter: Infinity,
      reset: (): void => {
        this.#links.delete(link);
        near.resetAndDestroy();
        far.resetAndDestroy();
      },
    };
    this.#links.add(link);
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      socket.on('error', () => link.reset());
      socket.on('close', () => link.reset());
    }
    far.pipe(near);
    near.on('data', (chunk: Buffer) => {
      if (chunk.length < link.cutAfter) {
        link.cutAfter -= chunk.length;
        if (!far.write(chunk)) near.pause();
        return;
      }
      this.resets++;
      near.pause();
      // The bytes up to the cut arrive before the reset does.
      far.write(chunk.subarray(0, link.cutAfter), () => link.reset());
    });
    far.on('drain', () => near.resume());
  }
}

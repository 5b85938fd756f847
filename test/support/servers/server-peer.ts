import type { Fields, Peer } from '../../../src/testing-api.ts';
import type { Server } from './server.ts';

/** The other side of a connector for the kit: a real server, with a place of its own for each case. */
export abstract class ServerPeer implements Peer {
  readonly server: Server;
  #frozen = false;

  constructor(server: Server) {
    this.server = server;
  }

  /** Makes the place, empty. @returns the fields that say where it is */
  abstract begin(): Promise<Fields>;

  async start(): Promise<Fields> {
    await this.restart();
    return await this.begin();
  }

  async stop(): Promise<void> {
    this.#frozen = false;
    await this.server.kill9();
  }

  /** Does nothing to one that runs. */
  async restart(): Promise<void> {
    if (this.#frozen) await this.stop();
    if (!this.server.running) await this.server.start();
  }

  freeze(): void {
    this.#frozen = true;
    this.server.freeze();
  }
}

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterFile } from '../cleanup.ts';

export interface GatewayPorts {
  readonly port: number;
  /** The port of the server. */
  readonly server: number;
}

/** The way to a server that is slow to start: it can be cut or stopped at once, and the server runs on behind it. */
export class Gateway {
  readonly #ports: () => GatewayPorts;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #frozen = false;

  /** `ports` is called once the server has been started. */
  constructor(ports: () => GatewayPorts) {
    this.#ports = ports;
    afterFile(() => this.close());
  }

  get port(): number {
    return this.#ports().port;
  }

  /** Resolves when it takes connections. Does nothing if it is open. */
  async open(): Promise<void> {
    if (this.#frozen) await this.close();
    if (this.#server !== undefined) return;
    const server = createServer((client) => this.#join(client));
    this.#server = server;
    server.listen(this.port, '127.0.0.1');
    await once(server, 'listening');
  }

  /** Cuts every connection, and refuses others. */
  async close(): Promise<void> {
    this.#frozen = false;
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    if (server === undefined) return;
    server.close();
    await once(server, 'close');
  }

  /** From now on it takes connections, and passes nothing on. */
  freeze(): void {
    this.#frozen = true;
    for (const socket of this.#sockets) socket.unpipe().pause();
  }

  #join(client: Socket): void {
    this.#keep(client);
    if (this.#frozen) return;
    const server = connect(this.#ports().server, '127.0.0.1');
    this.#keep(server);
    client.pipe(server).pipe(client);
    client.once('close', () => server.destroy());
    server.once('close', () => client.destroy());
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.#sockets.delete(socket));
  }
}

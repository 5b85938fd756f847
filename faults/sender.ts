import { WebSocket } from 'ws';
import type { SessionRecord } from './checker.ts';
import { messageOf, parseId } from './messages.ts';
import { sleep, until } from './wait.ts';

const TICK = 10;
const RECONNECT = 40;
/** The number of bytes that may wait in this process before it stops sending. */
const MAX_BUFFERED = 256 * 1024;

export interface SenderOptions {
  readonly session: string;
  readonly url: string;
  readonly record: SessionRecord;
  /** How many messages may wait for their acknowledgement. */
  readonly window: number;
  /** Messages per second, at most. */
  readonly rate: number;
}

/**
 * A client as an application would write it: it numbers its messages, keeps each until it is acknowledged, reconnects
 * after a lost connection, and then first resends the unacknowledged messages.
 */
export class Sender {
  readonly #options: SenderOptions;
  readonly #record: SessionRecord;
  readonly #unacknowledged = new Set<number>();
  /** Acknowledgements of messages that were never sent: each is a fault. */
  readonly strange: string[] = [];
  #socket: WebSocket | undefined;
  /** The numbers that this connection has to send again. */
  #again: number[] = [];
  #running = true;
  #sendsNew = true;
  readonly #loop: Promise<void>;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#record = options.record;
    this.#loop = this.#run();
  }

  get unacknowledged(): number {
    return this.#unacknowledged.size;
  }

  /** Drops its connection without a close frame, and reconnects. */
  disconnect(): void {
    this.#socket?.terminate();
  }

  /** Sends nothing new, and resolves when everything is acknowledged. @throws Error if that takes too long */
  async settle(patience: number): Promise<void> {
    this.#sendsNew = false;
    await until(
      `the ${this.#unacknowledged.size} last acknowledgements of ${this.#options.session}`,
      () => this.#unacknowledged.size === 0,
      patience,
    );
  }

  async end(): Promise<void> {
    this.#running = false;
    this.#socket?.terminate();
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (this.#running) {
      const socket = new WebSocket(this.#options.url, { perMessageDeflate: false });
      this.#socket = socket;
      const gone = new Promise<void>((resolve) => {
        socket.once('close', () => resolve());
      });
      socket.on('error', () => {});
      socket.on('message', (data) => this.#acknowledge((data as Buffer).toString()));
      socket.once('open', () => {
        this.#again = [...this.#unacknowledged];
      });
      const timer = setInterval(() => this.#send(socket), TICK);
      await gone;
      clearInterval(timer);
      if (this.#running) await sleep(RECONNECT);
    }
  }

  #send(socket: WebSocket): void {
    if (socket.readyState !== WebSocket.OPEN) return;
    const { session, window, rate } = this.#options;
    let quota = Math.ceil((rate * TICK) / 1000);
    while (this.#again.length > 0 && socket.bufferedAmount < MAX_BUFFERED) {
      // Perhaps acknowledged meanwhile by a reply on this connection.
      const number = this.#again.shift()!;
      if (this.#unacknowledged.has(number)) socket.send(messageOf({ session, number }));
    }
    if (this.#again.length > 0) return;
    while (
      this.#sendsNew &&
      quota-- > 0 &&
      this.#unacknowledged.size < window &&
      socket.bufferedAmount < MAX_BUFFERED
    ) {
      const number = ++this.#record.sent;
      this.#unacknowledged.add(number);
      socket.send(messageOf({ session, number }));
    }
  }

  #acknowledge(text: string): void {
    const id = parseId(/^\{"ack":"([^"]*)"\}$/.exec(text)?.[1] ?? '');
    if (id?.session !== this.#options.session || id.number > this.#record.sent) {
      this.strange.push(text.slice(0, 200));
      return;
    }
    this.#unacknowledged.delete(id.number);
    this.#record.acknowledged.add(id.number);
  }
}

import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { OpenSession } from '../component/sessions.ts';
import type { Origin } from '../message/batch.ts';
import type { Ending } from './ending.ts';
import type { KeptAlive } from './keepalive.ts';

/** Why a session is not read. */
export const holds = {
  /** The stream's budget is full. */
  budget: 1,
  /** It fills its share of the budget. */
  share: 2,
  /** It sends more than its rate. */
  rate: 4,
} as const;

/** Sees a message before it becomes data; true takes it out. */
export type Intercept = (payload: Buffer, binary: boolean) => boolean;

/** A socket's own stream, whose reads `ws` can pause but not hold back entirely. */
interface WithHandle {
  _handle?: { reading: boolean; readStart: () => number; readStop: () => number } | null;
}

/** One open WebSocket connection, whichever side opened it. */
export class Session implements KeptAlive, OpenSession {
  readonly id = randomUUID();
  readonly socket: WebSocket;
  readonly connection: Socket;
  readonly origin: Origin;
  /** Number of the last message. */
  sequence = 0;
  /** How we ended it, if it was us: the peer broke the protocol or a limit, or is dead. */
  ours: Ending | undefined;
  /** Messages and bytes in flight, where a share is kept to. */
  messages = 0;
  bytes = 0;
  readonly intercepts: Intercept[] = [];
  #holds = 0;

  /** `ext` describes it in `__meta_ext`, besides `session_id`. */
  constructor(socket: WebSocket, connection: Socket, source: string, ext: Readonly<Record<string, string>>) {
    this.socket = socket;
    this.connection = connection;
    this.origin = { source, ext: { session_id: this.id, ...ext } };
  }

  get ext(): Readonly<Record<string, string>> {
    return this.origin.ext;
  }

  get remoteAddress(): string {
    return this.origin.ext['remote_address'] ?? '';
  }

  get buffered(): number {
    return this.socket.bufferedAmount;
  }

  send(payload: Uint8Array | string, binary: boolean, written?: (error?: Error | null) => void): void {
    this.socket.send(payload, { binary }, written);
  }

  close(code: number, reason: string): void {
    this.socket.close(code, reason);
  }

  /** Closes it for what its peer did, and says so when it has closed. */
  end(ending: Ending): void {
    this.ours ??= ending;
    this.socket.close(ending.code, ending.reason);
  }

  /** Cuts it. */
  cut(ending: Ending): void {
    this.ours ??= ending;
    this.socket.terminate();
  }

  /** Whether somebody has taken the message out. */
  intercepted(payload: Buffer, binary: boolean): boolean {
    for (const intercept of this.intercepts) if (intercept(payload, binary)) return true;
    return false;
  }

  /**
   * Stops reading at once, until every reason for it is gone. Pausing the stream alone lets Node read another 64 KiB
   * into each socket's own buffer, which for thousands of connections is more than the budget; so the handle stops too.
   */
  hold(reason: number): void {
    const before = this.#holds;
    this.#holds |= reason;
    if (before !== 0) return;
    this.socket.pause();
    const handle = (this.connection as unknown as WithHandle)._handle;
    if (handle?.reading !== true) return;
    handle.reading = false;
    handle.readStop();
  }

  /** Node itself starts a handle again only if its stream was not waiting for data when it was stopped. */
  release(reason: number): void {
    const before = this.#holds;
    this.#holds &= ~reason;
    if (before === 0 || this.#holds !== 0) return;
    this.socket.resume();
    const handle = (this.connection as unknown as WithHandle)._handle;
    if (handle?.reading !== false || this.connection.readableEnded) return;
    handle.reading = true;
    if (handle.readStart() !== 0) this.connection.destroy();
  }

  get held(): boolean {
    return this.#holds !== 0;
  }
}

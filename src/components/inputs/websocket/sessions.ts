import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { InputContext } from '../../../component/contracts.ts';
import { Inbox } from '../../../component/inbox.ts';
import { Keepalive } from '../../../component/keepalive.ts';
import { CLOSE_TIMEOUT, deadPeer, violation, type Ending } from '../../../component/websocket.ts';
import type { Origin } from '../../../message/batch.ts';
import type { WebSocketInputConfig } from './config.ts';

/** One open connection. */
export interface Session {
  readonly socket: WebSocket;
  readonly connection: Socket;
  readonly origin: Origin;
  /** Number of the last message. */
  sequence: number;
  /** How we ended it, if it was us: the peer broke the protocol, or is dead. */
  ours: Ending | undefined;
}

/** A socket's own stream, whose reads `ws` can pause but not hold back entirely. */
interface WithHandle {
  _handle?: { reading: boolean; readStart: () => number; readStop: () => number } | null;
}

/** For the `closeTimeout` of `ws`, which runs on while we don't read; `Sessions` has its own. */
export const NO_TIMEOUT = 2 ** 31 - 1;

/** How often a close that waits for its peers looks at the clock, in milliseconds. */
const CLOSING_TICK = 250;

/** The open connections of an input: what they send goes into one inbox, and they pause together when it is full. */
export class Sessions {
  readonly inbox: Inbox;
  readonly #context: InputContext;
  readonly #open = new Set<Session>();
  readonly #keepalive: Keepalive<Session>;
  readonly #unsubscribe: () => void;
  readonly #closed: (ending: Ending, ours: boolean) => void;
  #closing: NodeJS.Timeout | undefined;

  /** `closed` is called after each connection's end; `ours` says that we ended it for what the peer did. */
  constructor(
    config: WebSocketInputConfig,
    context: InputContext,
    closed: (ending: Ending, ours: boolean) => void,
  ) {
    this.#context = context;
    this.#closed = closed;
    this.inbox = new Inbox(context.budget);
    this.#keepalive = new Keepalive({
      interval: config.ping_interval,
      timeout: config.ping_timeout,
      dead: (session) => {
        session.ours = deadPeer;
        session.socket.terminate();
      },
    });
    this.#unsubscribe = context.budget.onChange({
      full: () => {
        this.#keepalive.suspend(true);
        for (const session of this.#open) pause(session);
      },
      room: () => {
        this.#keepalive.suspend(false);
        for (const session of this.#open) resume(session);
      },
    });
  }

  get size(): number {
    return this.#open.size;
  }

  /** Takes over a socket that has just opened; `ext` describes it in `__meta_ext`. */
  add(socket: WebSocket, connection: Socket, source: string, ext: Record<string, string>): void {
    const sessionId = randomUUID();
    const remoteAddress = connection.remoteAddress ?? '';
    const session: Session = {
      socket,
      connection,
      origin: { source, ext: { session_id: sessionId, remote_address: remoteAddress, ...ext } },
      sequence: 0,
      ours: undefined,
    };
    const { inbox } = this;
    socket.on('message', (data, isBinary) => {
      session.sequence++;
      inbox.push(data as Buffer, session.origin, session.sequence, isBinary ? 'binary' : 'text');
    });
    let impatience: NodeJS.Timeout | undefined;
    socket.on('error', (error) => {
      session.ours = violation(error);
      impatience ??= setTimeout(() => socket.terminate(), CLOSE_TIMEOUT);
    });
    socket.on('close', (code, reason) => {
      clearTimeout(impatience);
      this.#open.delete(session);
      this.#keepalive.remove(session);
      const ending = session.ours ?? { code, reason: reason.toString() };
      this.#context.events.connectionClosed({
        ...ending,
        session_id: sessionId,
        remote_address: remoteAddress,
      });
      this.#closed(ending, session.ours !== undefined);
    });
    this.#open.add(session);
    this.#keepalive.add(session);
    this.#context.events.connectionOpened({ session_id: sessionId, remote_address: remoteAddress });
    if (this.#context.budget.full) pause(session);
  }

  /**
   * Closes every connection with `code`; what peers send until they answer is still taken in. They have some time to
   * answer, which stands still while we don't read: what they sent before must not be lost because an output is slow.
   */
  closeAll(code: number, reason: string): void {
    for (const { socket } of this.#open) socket.close(code, reason);
    let left = CLOSE_TIMEOUT;
    this.#closing ??= setInterval(() => {
      if (!this.#context.budget.full) left -= CLOSING_TICK;
      if (left <= 0) this.#terminateAll();
    }, CLOSING_TICK);
  }

  dispose(): void {
    clearInterval(this.#closing);
    this.#unsubscribe();
    this.#terminateAll();
  }

  #terminateAll(): void {
    for (const { socket } of this.#open) socket.terminate();
  }
}

/**
 * Stops reading at once. Pausing the stream alone lets Node read another 64 KiB into each socket's own buffer, which
 * for thousands of connections is more than the budget; so the handle stops too.
 */
function pause({ socket, connection }: Session): void {
  socket.pause();
  const handle = (connection as unknown as WithHandle)._handle;
  if (handle?.reading !== true) return;
  handle.reading = false;
  handle.readStop();
}

/** Node itself starts a handle again only if its stream was not waiting for data when it was stopped. */
function resume({ socket, connection }: Session): void {
  socket.resume();
  const handle = (connection as unknown as WithHandle)._handle;
  if (handle?.reading !== false || connection.readableEnded) return;
  handle.reading = true;
  if (handle.readStart() !== 0) connection.destroy();
}

import { randomUUID } from 'node:crypto';
import type { WebSocket } from 'ws';
import type { InputContext } from '../../../component/contracts.ts';
import { Inbox } from '../../../component/inbox.ts';
import { Keepalive } from '../../../component/keepalive.ts';
import { violationCode } from '../../../component/websocket.ts';
import type { Origin } from '../../../message/batch.ts';
import type { WebSocketInputConfig } from './config.ts';

/** One open connection. */
export interface Session {
  readonly socket: WebSocket;
  readonly origin: Origin;
  active: boolean;
  /** Number of the last message. */
  sequence: number;
  /** The code that we closed with because of what the peer sent. */
  violation: number | undefined;
}

/** Node's own stream of a socket, whose reads `ws` can pause but not hold back entirely. */
interface RawSocket {
  _socket?: { _handle?: { reading?: boolean; readStop?: () => number } | null };
}

/** The open connections of an input: what they send goes into one inbox, and they pause together when it is full. */
export class Sessions {
  readonly inbox: Inbox;
  readonly #context: InputContext;
  readonly #open = new Set<Session>();
  readonly #keepalive: Keepalive<Session>;
  readonly #unsubscribe: () => void;
  readonly #closed: (code: number, reason: string) => void;

  /** `closed` is called after each connection's end. */
  constructor(config: WebSocketInputConfig, context: InputContext, closed: (code: number, reason: string) => void) {
    this.#context = context;
    this.#closed = closed;
    this.inbox = new Inbox(context.budget);
    this.#keepalive = new Keepalive({
      interval: config.ping_interval,
      timeout: config.ping_timeout,
      dead: ({ socket }) => socket.terminate(),
    });
    this.#unsubscribe = context.budget.onChange({
      full: () => {
        this.#keepalive.suspend(true);
        for (const { socket } of this.#open) pauseSocket(socket);
      },
      room: () => {
        this.#keepalive.suspend(false);
        for (const { socket } of this.#open) socket.resume();
      },
    });
  }

  get size(): number {
    return this.#open.size;
  }

  /** Takes over a socket that has just opened; `ext` describes it in `__meta_ext`. */
  add(socket: WebSocket, source: string, ext: Record<string, string> & { remote_address: string }): void {
    const sessionId = randomUUID();
    const session: Session = {
      socket,
      origin: { source, ext: { session_id: sessionId, ...ext } },
      active: true,
      sequence: 0,
      violation: undefined,
    };
    const alive = (): void => {
      session.active = true;
    };
    const { inbox } = this;
    socket.on('message', (data, isBinary) => {
      session.active = true;
      session.sequence++;
      inbox.push(data as Buffer, session.origin, session.sequence, isBinary ? 'binary' : 'text');
    });
    socket.on('ping', alive);
    socket.on('pong', alive);
    socket.on('error', (error) => {
      session.violation = violationCode(error);
    });
    socket.on('close', (code, reason) => {
      this.#open.delete(session);
      this.#keepalive.remove(session);
      const said = session.violation ?? code;
      const text = reason.toString();
      this.#context.events.connectionClosed({ code: said, reason: text, session_id: sessionId });
      this.#closed(said, text);
    });
    this.#open.add(session);
    this.#keepalive.add(session);
    this.#context.events.connectionOpened({ session_id: sessionId, remote_address: ext.remote_address });
    if (this.#context.budget.full) pauseSocket(socket);
  }

  /** Closes every connection with `code`; what peers send until they answer is still taken in. */
  closeAll(code: number, reason: string): void {
    for (const { socket } of this.#open) socket.close(code, reason);
  }

  terminateAll(): void {
    for (const { socket } of this.#open) socket.terminate();
  }

  dispose(): void {
    this.#unsubscribe();
    this.terminateAll();
  }
}

/**
 * Stops reading at once. Pausing the stream alone lets Node read another 64 KiB into each socket's own buffer, which
 * for thousands of connections is more than the budget; so the handle stops too, and Node starts it again on resume.
 */
function pauseSocket(socket: WebSocket): void {
  socket.pause();
  const handle = (socket as unknown as RawSocket)._socket?._handle;
  if (handle?.readStop !== undefined && handle.reading === true) {
    handle.reading = false;
    handle.readStop();
  }
}

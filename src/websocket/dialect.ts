import type { Origin } from '../message/batch.ts';
import type { Ending } from './ending.ts';

/**
 * A protocol over WebSocket that a client has chosen as its subprotocol, with its own frames for messages in both
 * directions. A connection of it may outlive its session and continue in another.
 */
export interface Dialect<Session> {
  /** The number of messages that are still to be confirmed to the client, or passed on when they are confirmed. */
  readonly pending: number;
  /** The `session_id` of each of its sessions. */
  readonly id: string;
  /** Call when the session has opened. @returns whether the connection is new, so that the client gets the welcome */
  attach(session: Session): boolean;
  message(session: Session, payload: Uint8Array, binary: boolean): void;
  /** Sends one of our own messages. */
  send(payload: Uint8Array | string, binary: boolean): void;
  /** Call before we close the session, so that last words can be sent. */
  closing(session: Session, ending: Ending): void;
  /** Call when it has closed. */
  closed(session: Session, ending: Ending): void;
}

/** A message for the stream, from a frame of a dialect. */
export interface Incoming {
  readonly payload: Uint8Array;
  /** The origin of this message, which may cover only a part of the session's messages. */
  readonly origin: Origin;
  readonly sequence: number;
  readonly messageType: 'text' | 'binary';
}

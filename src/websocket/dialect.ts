import type { Origin } from '../message/batch.ts';
import type { Ending } from './ending.ts';

/**
 * A protocol over the frames of WebSocket, which a client has chosen as its subprotocol: it has its own frames for what
 * comes and what is sent. One connection of it may outlive its session, and go on in another.
 */
export interface Dialect<Session> {
  /** Messages that are to be confirmed to the client, or to be passed on when they are. */
  readonly pending: number;
  /** `session_id` of each of its sessions. */
  readonly id: string;
  /** The session has opened. @returns whether the connection is new, so that the client is to be welcomed */
  attach(session: Session): boolean;
  message(session: Session, payload: Uint8Array, binary: boolean): void;
  /** Sends a message of ours. */
  send(payload: Uint8Array | string, binary: boolean): void;
  /** We are about to close the session: there is time for last words. */
  closing(session: Session, ending: Ending): void;
  /** It has closed. */
  closed(session: Session, ending: Ending): void;
}

/** A message for the stream, as it came in a frame of a dialect. */
export interface Incoming {
  readonly payload: Uint8Array;
  /** Its own, which may be of a part of the session's messages. */
  readonly origin: Origin;
  readonly sequence: number;
  readonly messageType: 'text' | 'binary';
}

import type { IncomingMessage } from 'node:http';
import type { WebSocket } from 'ws';
import type { SessionDirectory } from '../../component/sessions.ts';
import type { Rejection } from '../../errors.ts';
import { runIndexOf, type Run } from '../../message/batch.ts';
import type { InputDelivery } from '../../message/delivery.ts';
import { extText, type Ext } from '../../message/metadata.ts';
import { createReceipt } from '../../message/receipt.ts';
import type { Incoming } from '../dialect.ts';
import { limitKeyOf } from '../server/limit-key.ts';
import { queryOf } from '../../net/auth/request.ts';
import { Patience } from '../patience.ts';
import type { Session } from '../session.ts';
import { CLOSE_TIMEOUT } from '../timeouts.ts';
import { PubSubConnection } from './connection.ts';
import { Groups } from './groups.ts';
import { LostConnections } from './lost-connections.ts';
import { senderOf, type Sender } from './origins.ts';
import { PLAIN, RELIABLE } from './protocol.ts';
import { ServerMessages } from './server-messages.ts';

export interface HubOptions {
  readonly directory: SessionDirectory;
  /** The path under which the directory lists the connections. */
  readonly path: string;
  /** Takes in a message for the stream. */
  readonly take: (session: Session, message: Incoming) => void;
  /** A client has no connection to recover. */
  readonly refused: (reason: string, remote_address: string | undefined) => void;
  /** When messages are confirmed to the clients. */
  readonly when: 'stored' | 'delivered';
  /** How long a connection is kept without a socket, in milliseconds. */
  readonly recovery: number;
}

/** A part of a batch from one sender, by the sender's own numbers. */
interface Part {
  readonly sender: Sender;
  readonly first: number;
  last: number;
}

/** A server's connections of Azure Web PubSub's protocol. Groups exist only among them. */
export class Hub {
  readonly #options: HubOptions;
  readonly #messages = new ServerMessages();
  readonly #patience = new Patience({ alone: true });
  readonly #groups = new Groups<PubSubConnection>();
  readonly #byId = new Map<string, PubSubConnection>();
  readonly #lost = new LostConnections();

  constructor(options: HubOptions) {
    this.#options = options;
  }

  /**
   * The connection that a socket belongs to: a new one, or one that continues. Undefined if the client speaks another
   * subprotocol; `refused` if there is no connection to recover: then the socket is being closed.
   */
  connectionOf(
    socket: WebSocket,
    request: IncomingMessage,
    ext: Ext,
  ): PubSubConnection | 'refused' | undefined {
    const { protocol } = socket;
    if (protocol !== PLAIN && protocol !== RELIABLE) return undefined;
    const query = queryOf(request);
    const id = query.get('awps_connection_id');
    const token = query.get('awps_reconnection_token');
    const place = placeOf(ext);
    if (id === null && token === null) return this.#begin(protocol === RELIABLE, place, limitKeyOf(ext));
    const known = this.#byId.get(id ?? '');
    const goesOn =
      protocol === RELIABLE &&
      known?.reliable === true &&
      known.isToken(token ?? '') &&
      known.open &&
      known.place === place &&
      known.userId === extText(ext, 'subject');
    if (!goesOn) {
      const reason = 'the connection to recover is not known';
      this.#options.refused(reason, extText(ext, 'remote_address'));
      refuse(socket, reason);
      return 'refused';
    }
    this.#lost.release(known);
    return known;
  }

  /** Returns the delivery with a receipt that also tells the senders. */
  watch(delivery: InputDelivery): InputDelivery {
    const { batch, receipt } = delivery;
    const parts: Part[] = [];
    for (const [index, { origin, sequence, start }] of batch.runs.entries()) {
      const sender = senderOf(origin);
      if (sender === undefined || sequence === undefined) continue;
      const last = sequence + (batch.runs[index + 1]?.start ?? batch.length) - start - 1;
      const before = parts.at(-1);
      if (before?.sender === sender) before.last = last;
      else parts.push({ sender, first: sequence, last });
    }
    if (parts.length === 0) return delivery;
    // The receipt may be parked for hours, and must not keep the messages.
    const { runs } = batch;
    const own = createReceipt({
      settled: (error) => {
        if (error !== undefined) return receipt.failed(error);
        const waits: Promise<void>[] = [];
        for (const { sender, first, last } of parts) {
          const wait = sender.confirmed(first, last);
          if (wait !== undefined) waits.push(wait);
        }
        // Until then it counts for its senders, which are held once their share is in flight.
        if (waits.length === 0) receipt.done();
        else void Promise.all(waits).finally(() => receipt.done());
      },
      rejected: (rejected) => {
        tellSenders(runs, rejected);
        receipt.fork().done(rejected);
      },
      parked: () => receipt.park(),
    });
    return { ...delivery, confirm: this.#options.when, receipt: own };
  }

  /** Ends all connections that could still return. */
  dispose(): void {
    for (const connection of this.#byId.values()) connection.end();
  }

  #begin(reliable: boolean, place: string, owner: string): PubSubConnection {
    const { directory, path, take } = this.#options;
    return new PubSubConnection(
      { reliable, place, owner },
      {
        groups: this.#groups,
        messages: this.#messages,
        patience: this.#patience,
        take,
        began: (connection) => {
          this.#byId.set(connection.id, connection);
          directory.add(path, connection);
        },
        ended: (connection) => {
          this.#lost.release(connection);
          this.#byId.delete(connection.id);
          directory.remove(path, connection);
        },
        lost: (connection) => this.#lost.keep(connection, this.#options.recovery),
      },
    );
  }
}

function tellSenders(runs: readonly Run[], rejected: readonly Rejection[]): void {
  for (const { index, error } of rejected) {
    const { origin, sequence, start } = runs[runIndexOf(runs, index)]!;
    if (sequence !== undefined) senderOf(origin)?.rejected(sequence + index - start, error);
  }
}

/** The hub of a path like `/hubs/:hub` that a client has connected to. Hubs see nothing of each other. */
function placeOf(ext: Ext): string {
  const parameters = Object.entries(ext).filter(([name]) => name.startsWith('param.'));
  return JSON.stringify(parameters.map(([, value]) => value));
}

/** Does as Azure does: at 1008, a client gives up recovery and begins anew. */
function refuse(socket: WebSocket, reason: string): void {
  socket.on('error', () => {});
  socket.close(1008, reason);
  const impatience = setTimeout(() => socket.terminate(), CLOSE_TIMEOUT);
  socket.once('close', () => clearTimeout(impatience));
}

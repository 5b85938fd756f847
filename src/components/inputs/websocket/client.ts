import type { Backoff } from '../../../component/backoff.ts';
import type { Context } from '../../../component/context.ts';
import type { Input } from '../../../component/contracts.ts';
import { backoffOf } from '../../../component/fields.ts';
import { maskUrl } from '../../../component/mask.ts';
import { EndOfInputError, MillraceError, NotConnectedError } from '../../../errors.ts';
import type { InputDelivery } from '../../../message/delivery.ts';
import { Connector, type Opened } from '../../../websocket/client/connector.ts';
import { Heartbeats, type Heartbeat } from '../../../websocket/client/heartbeat.ts';
import { endingError, endsOn } from '../../../websocket/client/policy.ts';
import type { CursorSlot } from '../../../delivery/resume.ts';
import type { Ending } from '../../../websocket/ending.ts';
import { compileMatcher, type Match } from '../../../websocket/messages.ts';
import { holds, type Session } from '../../../websocket/session.ts';
import { Sessions } from '../../../websocket/sessions.ts';
import { CLOSE_TIMEOUT, NO_TIMEOUT } from '../../../websocket/timeouts.ts';
import { openUnframer } from '../../../component/framing/open-framing.ts';
import { acknowledgerOf, checkAck } from './acknowledge.ts';
import { cursorOf, type ConnectionConfig } from './cursors.ts';
import { Renewal, retire, type RenewalReason } from './renewal.ts';
import { Turns } from './turns.ts';

/** How long a server has to answer the close of a trial connection, in milliseconds. */
const FAREWELL = 1_000;

/** A connection's facts besides its session. */
interface Connection {
  /** The URL that it was made to, safe to show. */
  readonly shown: string;
  readonly heartbeat: Heartbeat | undefined;
  /** Why it ended, after it had been established. */
  end: MillraceError | undefined;
  /** The server has asked for a renewal. */
  asked: boolean;
}

/**
 * One connection to a server, or to one of several servers in turn. When it is lost, messages that had arrived are
 * read first; then the engine reconnects. During a renewal there are two connections, and the engine does not notice.
 */
export class WebSocketClientInput implements Input {
  readonly budgeted = true;
  readonly gathers = true;
  readonly backoff: Backoff;
  readonly #config: ConnectionConfig;
  readonly #context: Context;
  readonly #urls: readonly string[];
  readonly #connectors: readonly Connector[];
  readonly #turns: Turns;
  readonly #sessions: Sessions;
  /** The connection that counts; older ones may still be closing. */
  #current: Session | undefined;
  readonly #connections = new WeakMap<Session, Connection>();
  readonly #heartbeats: Heartbeats | undefined;
  readonly #renewOn: readonly Match[];
  readonly #renewal: Renewal | undefined;
  readonly #cursor: ReturnType<typeof cursorOf>;
  readonly #slot: CursorSlot | undefined;
  readonly #settling = new AbortController();
  /** A connection that `dial` made and left open. */
  #dialed: Session | undefined;
  #draining = false;
  #closed = false;

  constructor(config: ConnectionConfig, context: Context) {
    const { env, events, stream } = context;
    const { heartbeat, renew } = config;
    this.#config = config;
    this.#context = context;
    this.#urls = [config.url].flat();
    this.#turns = new Turns(this.#urls.length);
    this.backoff = backoffOf(config.reconnect);
    this.#cursor = cursorOf(config, this.#urls, context);
    this.#slot = this.#cursor?.slot();
    const cursor = (): string | undefined => this.#cursor?.current();
    this.#connectors = this.#urls.map(
      (url) => new Connector({ url, config, env, closeTimeout: NO_TIMEOUT, cursor }),
    );
    this.#heartbeats = heartbeat && new Heartbeats(heartbeat, events, cursor);
    this.#renewOn = (renew?.on ?? []).map(compileMatcher);
    this.#renewal =
      renew &&
      new Renewal({
        maxAge: renew.max_age,
        backoff: this.backoff,
        events,
        attempt: (signal) => this.#attempt(signal),
        renewed: (session, reason) => this.#renewed(session, reason),
      });
    this.#sessions = new Sessions({
      budget: stream.budget,
      state: stream.stateBudget,
      events,
      directory: context.sessions,
      path: this.#urls.join(' '),
      pingInterval: config.ping_interval,
      pingTimeout: config.ping_timeout,
      share: undefined,
      lifecycleEvents: config.lifecycle_events,
      unframer: openUnframer(config, context),
      acknowledger: acknowledgerOf(config, context),
      arrived: this.#slot && (() => this.#slot!.arrived()),
      closed: (session, ending) => this.#ended(session, ending),
    });
  }

  prepare(): Promise<void> {
    checkAck(this.#config, this.#context);
    return Promise.resolve();
  }

  /** A renewal may have connected already, or its attempt is joined: there is one attempt at a time. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#cursor?.open();
    // A server that drops every connection must not fill the memory with lifecycle events.
    if (this.#sessions.tooMuchToTell) await this.#context.stream.budget.room(signal);
    if (this.#current === undefined) {
      let session: Session;
      try {
        session = await (this.#renewal?.takeOver(signal) ?? this.#attempt(signal));
      } catch (error) {
        return this.#readFirst(error, signal);
      }
      this.#sessions.inbox.reopen();
      this.#adopt(session);
    } else this.#sessions.inbox.reopen();
  }

  /** Reads the messages of a failed attempt as if its connection had been lost: nothing else would fetch them. */
  #readFirst(error: unknown, signal: AbortSignal): void {
    const { inbox } = this.#sessions;
    const tellable = error instanceof NotConnectedError || (error instanceof MillraceError && error.fatal);
    if (inbox.empty || !(tellable || signal.aborted)) throw error;
    inbox.reopen();
    // After an attempt that the end of the stream aborted comes `drain`.
    if (!signal.aborted) inbox.end(error as MillraceError);
  }

  /** Here, messages do not make up for a failed attempt. */
  async dial(signal: AbortSignal): Promise<void> {
    await this.#cursor?.open();
    for (let left = this.#urls.length; left > 0; left--) {
      try {
        this.#dialed = await this.#attempt(signal);
        // One server that answers is enough, as it is for the stream.
        return;
      } catch (error) {
        if (left === 1 || signal.aborted) throw error;
      }
    }
  }

  notReady(): string | undefined {
    return this.#current === undefined ? `connecting to ${maskUrl(this.#urls[this.#turns.at]!)}` : undefined;
  }

  trouble(): string | undefined {
    return this.#cursor?.trouble;
  }

  async read(signal: AbortSignal): Promise<InputDelivery> {
    const delivery = await this.#sessions.read(signal);
    return this.#slot === undefined ? delivery : this.#slot.track(delivery);
  }

  drain(): void {
    this.#draining = true;
    this.#renewal?.stop();
    if (this.#sessions.size === 0) return this.#sessions.inbox.end(new EndOfInputError());
    const closeAll = (): void => this.#sessions.closeAll(1000, 'done');
    if (!this.#sessions.awaited) return closeAll();
    void this.#sessions.settle(CLOSE_TIMEOUT, this.#settling.signal).then(closeAll, () => {});
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#settling.abort();
    this.#renewal?.stop();
    if (this.#dialed?.open === true) await takeLeave(this.#dialed, signal);
    await this.#sessions.dispose();
    await this.#cursor?.close();
  }

  /** One attempt; if it fails, the next URL has its turn. */
  async #attempt(signal: AbortSignal): Promise<Session> {
    try {
      return await this.#connectors[this.#turns.at]!.open(signal, this.#opened);
    } catch (error) {
      throw this.#turns.failed(error);
    }
  }

  readonly #opened: Opened = (socket, connection, shown, values) => {
    const session = this.#sessions.add(socket, connection, this.#context.name ?? maskUrl(shown), {
      remote_address: connection.remoteAddress ?? '',
      path: new URL(shown).pathname,
      protocol: socket.protocol,
    });
    const { intercepts } = session;
    if (this.#renewOn.length > 0) {
      intercepts.push((payload, binary) => this.#asksToRenew(session, payload, binary));
    }
    const heartbeat = this.#heartbeats?.attach(session, values);
    this.#connections.set(session, { shown, heartbeat, end: undefined, asked: false });
    return session;
  };

  /** The connection counts from now on. */
  #adopt(session: Session): void {
    const { heartbeat, end, asked } = this.#connections.get(session)!;
    if (end !== undefined) return this.#lost(end);
    this.#current = session;
    heartbeat?.start();
    this.#renewal?.watch();
    if (asked) this.#renewal?.start('asked');
  }

  /** @returns why the new connection is unusable, when it has ended already */
  #renewed(session: Session, reason: RenewalReason): MillraceError | undefined {
    const { shown: url, end } = this.#connections.get(session)!;
    if (!session.open) {
      session.terminate();
      return end ?? new NotConnectedError(`${maskUrl(url)} closed the new connection at once`);
    }
    const old = this.#current;
    this.#context.events.connectionRenewed({ reason, session_id: session.id, url: maskUrl(url) });
    this.#adopt(session);
    // Without an old connection, the engine has been told of its end, or is about to be.
    if (old === undefined) this.#sessions.inbox.reopen();
    else void this.#retire(old);
    return undefined;
  }

  /** Acknowledges the messages that came on it first: after a close nothing more can be sent. */
  async #retire(old: Session): Promise<void> {
    if (old.ledger !== undefined) {
      await this.#sessions.settleOne(old, CLOSE_TIMEOUT, this.#settling.signal).catch(() => {});
    }
    retire(old, CLOSE_TIMEOUT);
  }

  #asksToRenew(session: Session, payload: Buffer, binary: boolean): boolean {
    if (!this.#renewOn.some((match) => match(payload, binary))) return false;
    // Remember it for a connection that does not count yet; for an old one it is known.
    this.#connections.get(session)!.asked = true;
    if (session === this.#current && !this.#draining) this.#renewal!.start('asked');
    return true;
  }

  #ended(session: Session, ending: Ending): void {
    if (this.#draining) {
      if (this.#sessions.size === 0) this.#sessions.inbox.end(new EndOfInputError());
      return;
    }
    // The attempt itself throws the error of an attempt that failed.
    if (!session.established) return;
    const connection = this.#connections.get(session)!;
    const ours = session.ours !== undefined;
    const { reconnect } = this.#config;
    connection.end = endsOn(ending, ours, reconnect)
      ? new EndOfInputError()
      : endingError(connection.shown, ending, ours, reconnect);
    if (session === this.#current) this.#lost(connection.end);
  }

  #lost(end: MillraceError): void {
    this.#current = undefined;
    // Messages that still come on an older connection are read.
    if (end instanceof EndOfInputError) this.drain();
    else this.#sessions.inbox.end(this.#turns.failed(end));
  }
}

/** Closes a trial connection; anything that its server still sends is ignored. */
async function takeLeave(session: Session, signal: AbortSignal): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    session.socket.once('close', () => resolve());
  });
  session.intercepts.push(() => true);
  session.release(holds.budget);
  session.close(1000, 'done');
  session.expectClose(signal.aborted ? 0 : FAREWELL);
  await closed;
}

import { messageValues, type MessageValues } from '../../component/message-template.ts';
import type { TemplateValues } from '../../component/template.ts';
import { errorMessage } from '../../errors.ts';
import type { ComponentEvents } from '../../telemetry/events.ts';
import { compileMatcher, compileOutgoing, type Match, type Outgoing } from '../messages.ts';
import type { Session } from '../session.ts';
import { answerNames, answerValues } from './answer.ts';
import type { ClientConfig } from './client-schema.ts';
import { attemptNames } from './values.ts';

type HeartbeatConfig = NonNullable<ClientConfig['heartbeat']>;

/** In bytes. While this much waits for a server to take, it gets no more heartbeats from us. */
const ENOUGH_WAITING = 64 * 1024;

interface Plan {
  readonly send: ((values: MessageValues) => Outgoing) | undefined;
  readonly interval: number;
  readonly timeout: number | undefined;
  readonly silence: number | undefined;
  readonly ignore: readonly Match[];
  readonly replies: readonly { readonly match: Match; readonly send: (values: MessageValues) => Outgoing }[];
}

/** Carries out `heartbeat` on every connection of a client. */
export class Heartbeats {
  readonly #plan: Plan;
  readonly #events: ComponentEvents;
  readonly #cursor: () => string | undefined;

  /** `cursor` gives the current cursor; an attempt keeps the one that it began with. */
  constructor(
    config: HeartbeatConfig,
    events: ComponentEvents,
    cursor = (): string | undefined => undefined,
  ) {
    const { send, interval, timeout, silence_timeout: silence, ignore = [], reply = [] } = config;
    this.#events = events;
    this.#cursor = cursor;
    this.#plan = {
      send: send === undefined ? undefined : compileOutgoing(send, attemptNames),
      interval,
      timeout,
      silence,
      ignore: ignore.map(compileMatcher),
      replies: reply.map((each) => ({
        match: compileMatcher(each.match),
        send: compileOutgoing(each.send, answerNames),
      })),
    };
  }

  /**
   * Call in the turn in which the connection opens. Then messages that are not data are taken out, and pings are
   * answered. `values` are those of the attempt.
   */
  attach(session: Session, values: TemplateValues): Heartbeat {
    const current: TemplateValues = (name, argument) =>
      name === 'cursor' ? this.#cursor() : values(name, argument);
    return new Heartbeat(session, this.#plan, messageValues(current), this.#events);
  }
}

/** The heartbeat of one connection. It has one timer, which ends with the connection. */
export class Heartbeat {
  readonly #session: Session;
  readonly #plan: Plan;
  readonly #values: MessageValues;
  readonly #events: ComponentEvents;
  /** The interval of the timer: short enough to notice that the connection was not read for a while. */
  readonly #step: number;
  #timer: NodeJS.Timeout | undefined;
  #due = 0;
  #nextSend = Infinity;
  /** When the last message arrived, or when we last did not read. */
  #heardAt = 0;
  /** When the server last waited for an acknowledgement of ours. */
  #awaitedAt = 0;
  /** When the first ping was sent that nothing has followed. */
  #askedAt: number | undefined;
  #toldMistake = false;

  constructor(session: Session, plan: Plan, values: MessageValues, events: ComponentEvents) {
    this.#session = session;
    this.#plan = plan;
    this.#values = values;
    this.#events = events;
    this.#step = Math.max(5, Math.min(plan.timeout ?? Infinity, plan.silence ?? Infinity) / 4);
    const { ignore, replies } = plan;
    if (this.#step < Infinity || ignore.length > 0 || replies.length > 0) {
      session.intercepts.push(this.#intercept);
    }
    session.socket.once('close', () => this.#stop());
  }

  /** Call when the last step of `on_open` is done. From then on pings are sent, and silence counts. */
  start(): void {
    const { socket } = this.#session;
    if (socket.readyState !== socket.OPEN) return;
    const now = performance.now();
    this.#heardAt = now;
    if (this.#plan.send !== undefined) this.#nextSend = now + this.#plan.interval;
    this.#arm(now);
  }

  readonly #intercept = (payload: Buffer, binary: boolean): boolean => {
    if (this.#step < Infinity) this.#heardAt = performance.now();
    for (const { match, send } of this.#plan.replies) {
      if (!match(payload, binary)) continue;
      this.#send('heartbeat.reply', send, answerValues(this.#values, payload));
      return true;
    }
    return this.#plan.ignore.some((match) => match(payload, binary));
  };

  readonly #tick = (): void => {
    const { timeout, silence, send, interval } = this.#plan;
    const session = this.#session;
    if (session.socket.readyState !== session.socket.OPEN) return this.#stop();
    const now = performance.now();
    // Silence means nothing while we don't read, or after the process itself was held up. A server that does not take
    // our data is busy, and our ping waits behind that data.
    if (session.held || session.socket.bufferedAmount > 0 || now - this.#due > this.#step) {
      this.#heardAt = now;
      this.#askedAt = undefined;
    }
    if (this.#askedAt !== undefined && this.#heardAt > this.#askedAt) this.#askedAt = undefined;
    if (session.awaitsUs) this.#awaitedAt = now;
    if (silence !== undefined && now - Math.max(this.#heardAt, this.#awaitedAt) >= silence) {
      return this.#cut(`no message for ${silence / 1000} s (\`heartbeat.silence_timeout\`)`);
    }
    if (timeout !== undefined && this.#askedAt !== undefined && now - this.#askedAt >= timeout) {
      return this.#cut(
        `no message within ${timeout / 1000} s after one of \`heartbeat.send\` (\`heartbeat.timeout\`)`,
      );
    }
    if (now >= this.#nextSend) {
      // Counted from the time it was due, so that it does not drift; missed pings are not made up for.
      this.#nextSend = Math.max(this.#nextSend + interval, now);
      this.#send('heartbeat.send', send!, this.#values);
      this.#askedAt ??= now;
    }
    this.#arm(now);
  };

  #arm(now: number): void {
    this.#due = Math.min(this.#nextSend, now + this.#step);
    if (this.#due < Infinity) this.#timer = setTimeout(this.#tick, Math.max(1, Math.ceil(this.#due - now)));
  }

  #cut(reason: string): void {
    this.#stop();
    this.#session.cut({ code: 1006, reason });
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#nextSend = Infinity;
  }

  #send(field: string, render: (values: MessageValues) => Outgoing, values: MessageValues): void {
    const { socket } = this.#session;
    if (socket.readyState !== socket.OPEN || socket.bufferedAmount > ENOUGH_WAITING) return;
    try {
      const { payload, binary } = render(values);
      this.#session.send(payload, binary);
    } catch (error) {
      if (this.#toldMistake) return;
      this.#toldMistake = true;
      this.#events.noticed(
        { session_id: this.#session.id },
        `cannot fill in \`${field}\`, so it is not sent: ${errorMessage(error)}`,
      );
    }
  }
}

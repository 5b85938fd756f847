import { messageValues, type MessageValues } from '../../component/message-template.ts';
import type { TemplateValues } from '../../component/template.ts';
import { NotConnectedError, errorMessage } from '../../errors.ts';
import { compileMatcher, compileOutgoing, type Match, type Outgoing } from '../messages.ts';
import type { Session } from '../session.ts';
import type { ClientConfig } from './client-schema.ts';
import { endingError } from './policy.ts';
import type { Secrets } from '../../net/attempt-secrets.ts';
import { attemptNames } from './values.ts';

/** How long a server has to answer the close frame when a step has failed, in milliseconds. */
const CLOSE_GRACE = 1_000;

/** How much of a message that made an attempt fail is shown, in characters. */
const LONGEST_QUOTE = 200;

export type Step =
  | { readonly field: string; readonly send: (values: MessageValues) => Outgoing }
  | {
      readonly field: string;
      readonly expect: Match;
      readonly reject: readonly Match[];
      readonly timeout: number;
    };

export function compileSteps(config: ClientConfig['on_open']): Step[] {
  return config.map(({ send, expect, timeout, reject = [] }, index) => {
    const field = `on_open[${index}]`;
    if (send !== undefined) return { field, send: compileOutgoing(send, attemptNames) };
    return { field, expect: compileMatcher(expect), reject: reject.map(compileMatcher), timeout };
  });
}

export interface StepsContext {
  /** The URL as it may be shown. */
  readonly shown: string;
  readonly values: TemplateValues;
  /** Sent messages are added to it, because servers quote them. */
  readonly secrets: Secrets;
  readonly signal: AbortSignal;
  readonly reconnect: ClientConfig['reconnect'];
}

/**
 * Runs the steps on a connection that has just opened, in the same turn, because the expected message may have come in
 * the handshake's packet. Messages that arrive meanwhile and are not expected are data.
 * @throws NotConnectedError that names the step, when the connection has closed; the signal's reason at once
 */
export function runSteps(steps: readonly Step[], session: Session, context: StepsContext): Promise<void> {
  const { shown, secrets, signal, reconnect } = context;
  const values = messageValues(context.values);
  const { socket, intercepts } = session;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let at = 0;
  let timer: NodeJS.Timeout | undefined;

  const settle = (act: () => void): void => {
    clearTimeout(timer);
    signal.removeEventListener('abort', aborted);
    socket.off('close', closed);
    const place = intercepts.indexOf(intercept);
    if (place >= 0) intercepts.splice(place, 1);
    act();
  };
  const fail = (message: string, cause?: unknown): void =>
    settle(() => {
      const error = new NotConnectedError(`cannot connect to ${shown}: ${message}`, cause);
      endConnection(session, signal, () => reject(error));
    });
  const aborted = (): void =>
    settle(() => {
      socket.terminate();
      reject(signal.reason as Error);
    });
  const closed = (code: number, reason: Buffer): void =>
    settle(() => {
      const ending = session.ours ?? { code, reason: reason.toString() };
      const masked = { code: ending.code, reason: secrets.mask(ending.reason) };
      const ours = session.ours !== undefined;
      reject(endingError(shown, masked, ours, reconnect, `, before \`on_open[${at}]\` was done`));
    });

  /** Continues without a pause: the next message may be in the packet of this one. */
  const advance = (): void => {
    for (;;) {
      const step = steps[at];
      if (step === undefined) {
        session.established = true;
        return settle(resolve);
      }
      if ('expect' in step) {
        timer = setTimeout(() => {
          const held = session.held ? '; nothing was read, because the stream is full' : '';
          fail(
            `\`${step.field}\`: the expected message did not arrive within ${step.timeout / 1000} s${held}`,
          );
        }, step.timeout);
        return;
      }
      try {
        const { payload, binary } = step.send(values);
        if (typeof payload === 'string') secrets.addMessage(payload);
        session.send(payload, binary);
      } catch (error) {
        return fail(`cannot fill in \`${step.field}.send\`: ${errorMessage(error)}`, error);
      }
      at++;
    }
  };
  const intercept = (payload: Buffer, binary: boolean): boolean => {
    const step = steps[at];
    if (step === undefined || !('expect' in step)) return false;
    if (step.reject.some((matches) => matches(payload, binary))) {
      fail(`\`${step.field}\`: the server sent a message that \`reject\` names: ${quote(payload, secrets)}`);
      return true;
    }
    if (!step.expect(payload, binary)) return false;
    clearTimeout(timer);
    at++;
    advance();
    return true;
  };

  intercepts.unshift(intercept);
  signal.addEventListener('abort', aborted, { once: true });
  socket.once('close', closed);
  advance();
  return promise;
}

/** Closes with 1000, and cuts the connection if the server does not answer or the signal aborts. */
function endConnection(session: Session, signal: AbortSignal, done: () => void): void {
  const { socket } = session;
  if (socket.readyState === socket.CLOSED) return done();
  const cut = (): void => socket.terminate();
  signal.addEventListener('abort', cut, { once: true });
  socket.once('close', () => {
    signal.removeEventListener('abort', cut);
    done();
  });
  session.expel({ code: 1000, reason: '' }, CLOSE_GRACE);
}

function quote(payload: Buffer, secrets: Secrets): string {
  const text = secrets.mask(payload.toString('utf8', 0, LONGEST_QUOTE * 10));
  return text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE)}…` : text;
}

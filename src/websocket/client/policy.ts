import { declareErrors, MillraceError, NotConnectedError } from '../../errors.ts';
import type { ReconnectConfig } from '../../component/fields.ts';
import { readRetryAfter } from '../../net/retry-after.ts';
import { describeEnding, type Ending } from '../ending.ts';

/** The code for a server that wants no more attempts. */
export const stopErrors = declareErrors({
  MILLRACE_RECONNECT_STOPPED: {
    help: 'The server closed the connection, or answered the handshake, with a code that `reconnect.stop_on` names. The stream has failed.',
  },
});

type Policy = Pick<ReconnectConfig, 'stop_on' | 'end_on'>;

/** Thrown when a server asks to be left alone for a while. */
export class ServerBusyError extends NotConnectedError {}

/** An answer to a handshake that does not open a WebSocket. */
export interface Refusal {
  readonly status: number;
  /** The status in words. */
  readonly reason: string;
  /** The server's explanation, if it is short and meant for people. */
  readonly explanation: string | undefined;
  readonly location: string | undefined;
  readonly retryAfter: string | undefined;
}

/**
 * The error of a connection that has ended; `ours` if we ended it. It is fatal if the server closed it with a code of
 * `reconnect.stop_on`. `when` is added to the sentence.
 */
export function endingError(
  url: string,
  ending: Ending,
  ours: boolean,
  reconnect: Policy,
  when = '',
): MillraceError {
  const message = describeEnding(url, ending, ours) + when;
  if (!sentOneOf(reconnect.stop_on.close_codes, ending, ours)) return new NotConnectedError(message);
  return stopped(`${message}; \`reconnect.stop_on.close_codes\` names ${ending.code}`);
}

/** Whether the server has closed with a code of `reconnect.end_on`. */
export function endsOn(ending: Ending, ours: boolean, reconnect: Policy): boolean {
  return sentOneOf(reconnect.end_on, ending, ours);
}

type CloseCodes = readonly { readonly first: number; readonly last: number }[];

/** 1006 stands for a broken connection; nobody has sent it. */
function sentOneOf(codes: CloseCodes = [], { code }: Ending, ours: boolean): boolean {
  return !ours && code !== 1006 && codes.some(({ first, last }) => code >= first && code <= last);
}

/** Whether `reconnect.stop_on` names the status. */
export function stopsOn(status: number, reconnect: Policy): boolean {
  return reconnect.stop_on.statuses.includes(status);
}

/** The error of a refused handshake; `message` says so. It is fatal for a status of `reconnect.stop_on`. */
export function refusalError(message: string, refusal: Refusal, reconnect: Policy): MillraceError {
  const { status, retryAfter } = refusal;
  if (stopsOn(status, reconnect)) {
    return stopped(`${message}; \`reconnect.stop_on.statuses\` names ${status}`);
  }
  // Other statuses may have a Retry-After too, but these two ask to wait (RFC 6585 section 4, RFC 9110 section 15.6.4).
  const wait = status === 429 || status === 503 ? readRetryAfter(retryAfter) : 0;
  return wait > 0 ? new ServerBusyError(message, undefined, wait) : new NotConnectedError(message);
}

function stopped(message: string): MillraceError {
  return new MillraceError(stopErrors.MILLRACE_RECONNECT_STOPPED, message, { fatal: true });
}

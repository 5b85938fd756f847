import { maskUrl } from '../component/mask.ts';

/** How a connection ended. */
export interface Ending {
  /** The close code (RFC 6455 section 7.4); 1006 if there was no close frame. */
  readonly code: number;
  readonly reason: string;
}

/** The ending of a connection that we cut because its peer no longer answers. */
export const deadPeer: Ending = { code: 1006, reason: 'no answer to a ping' };

/** How we ended a connection whose peer broke the protocol; undefined for another error. `ws` sends the code. */
export function violation(error: Error & { code?: string }): Ending | undefined {
  const { code = '', message: reason } = error;
  if (code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH' || code === 'WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH') {
    return { code: 1009, reason };
  }
  if (code === 'WS_ERR_TOO_MANY_BUFFERED_PARTS') return { code: 1008, reason };
  // The error of `zlib` for data that is not deflated.
  if (code === 'WS_ERR_INVALID_UTF8' || code.startsWith('Z_')) return { code: 1007, reason };
  return code.startsWith('WS_ERR_') ? { code: 1002, reason } : undefined;
}

/** A client's sentence about the end of its connection; `ours` if we ended it. */
export function describeEnding(url: string, { code, reason }: Ending, ours: boolean): string {
  const why = reason === '' ? '' : `: ${reason}`;
  if (code === 1006) return `the connection to ${maskUrl(url)} broke (1006)${why}`;
  return ours
    ? `closed the connection to ${maskUrl(url)} with ${code}${why}`
    : `${maskUrl(url)} closed the connection with ${code}${why}`;
}

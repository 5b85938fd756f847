import { errorMessage } from '../../errors.ts';

/** Errors of a server that cannot be used now, but will be, or another one in its place. */
const AWAY = /^(?:LOADING|MASTERDOWN|READONLY|CLUSTERDOWN|NOAUTH|WRONGPASS) /;

export function isAway(reply: unknown): boolean {
  return reply instanceof Error && AWAY.test(errorMessage(reply));
}

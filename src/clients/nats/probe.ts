import { once } from 'node:events';
import { connect } from 'node:net';
import { abortable } from '../../component/waker.ts';

/**
 * Resolves when a server has greeted on a connection of its own. The library can neither abort an attempt, nor does it
 * close the connection to a server that accepts it and says nothing.
 * @throws Error of the system; the signal's reason
 */
export async function probe({ hostname, port }: URL, signal: AbortSignal): Promise<void> {
  const socket = connect({ host: hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(port) });
  try {
    await abortable(once(socket, 'data'), signal);
  } finally {
    socket.on('error', () => {});
    socket.destroy();
  }
}

import { once } from 'node:events';
import type { Socket } from 'node:net';

/** Writes `bytes` again and again, as fast as the other side takes them, until `over` is or the connection. */
export async function pour(socket: Socket, bytes: Uint8Array, over: Promise<unknown>): Promise<void> {
  const state = { done: false };
  const closed = new Promise<void>((resolve) => {
    if (socket.destroyed) resolve();
    socket.once('close', () => resolve());
  });
  const end = Promise.race([closed, over]).then(() => (state.done = true));
  socket.setMaxListeners(0);
  while (!state.done) {
    if (socket.write(bytes)) await new Promise((resolve) => setImmediate(resolve));
    else await Promise.race([once(socket, 'drain').catch(() => {}), end]);
  }
}

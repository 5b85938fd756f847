// A process of its own: it connects to a server and floods it, as fast as its sockets take it.
import type { Socket } from 'node:net';
import { closeConnections, openConnections } from './connection.ts';
import { encodeChunks, type Chunk, type Shape } from './messages.ts';
import { sleep } from './wait.ts';

export type SenderCommand =
  | { type: 'connect'; port: number; connections: number; messageBytes: number; shape: Shape }
  | { type: 'flood'; seconds: number }
  | { type: 'close' };

/** Everything that was passed to the sockets; whole frames only, so the server gets exactly that. */
export interface Sent {
  readonly messages: number;
  readonly warm: number;
}

let sockets: Socket[] = [];
let chunks: readonly Chunk[] = [];

process.on('message', (command: SenderCommand) => {
  void obey(command).then((reply) => process.send!(reply));
});
process.on('disconnect', () => process.exit());

async function obey(command: SenderCommand): Promise<object> {
  if (command.type === 'connect') return await connectAll(command);
  if (command.type === 'flood') return await flood(command.seconds);
  await closeConnections(sockets);
  return {};
}

async function connectAll(command: Extract<SenderCommand, { type: 'connect' }>): Promise<object> {
  chunks = encodeChunks(command.messageBytes, command.shape);
  sockets = await openConnections(command.port, command.connections);
  return {};
}

async function flood(seconds: number): Promise<Sent> {
  const sent = { messages: 0, warm: 0 };
  const flooding = new AbortController();
  for (const [index, socket] of sockets.entries()) {
    let next = index;
    const pump = (): void => {
      while (!flooding.signal.aborted) {
        const chunk = chunks[next++ % chunks.length]!;
        sent.messages += chunk.messages;
        sent.warm += chunk.warm;
        if (!socket.write(chunk.data)) return;
      }
    };
    socket.removeAllListeners('drain');
    socket.on('drain', pump);
    if (!socket.writableNeedDrain) pump();
  }
  await sleep(seconds * 1000);
  flooding.abort();
  return sent;
}

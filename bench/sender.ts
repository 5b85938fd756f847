// A process of its own: connects to a server and floods it, as fast as its sockets take it.
import type { Socket } from 'node:net';
import { closeConnections, openConnections } from './connection.ts';
import { encodeChunks, type Chunk } from './messages.ts';

export type SenderCommand =
  | { type: 'connect'; port: number; connections: number; messageBytes: number }
  | { type: 'flood'; seconds: number }
  | { type: 'close' };

/** What has been given to the sockets; whole frames only, so the server gets exactly that. */
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
  chunks = encodeChunks(command.messageBytes);
  sockets = await openConnections(command.port, command.connections);
  return {};
}

async function flood(seconds: number): Promise<Sent> {
  let messages = 0;
  let warm = 0;
  let flooding = true;
  for (const [index, socket] of sockets.entries()) {
    let next = index;
    const pump = (): void => {
      while (flooding) {
        const chunk = chunks[next++ % chunks.length]!;
        messages += chunk.messages;
        warm += chunk.warm;
        if (!socket.write(chunk.data)) return;
      }
    };
    socket.removeAllListeners('drain');
    socket.on('drain', pump);
    if (!socket.writableNeedDrain) pump();
  }
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  flooding = false;
  return { messages, warm } satisfies Sent;
}

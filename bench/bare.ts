// A process of its own: the least that a WebSocket server in Node can do with a message, which is to count it. With
// `--forward PORT` it sends each message on to another server, the least that a relay can do.
import { WebSocket, WebSocketServer } from 'ws';

const forwardTo = process.argv[2] === '--forward' ? process.argv[3] : undefined;
const relay =
  forwardTo === undefined
    ? undefined
    : new WebSocket(`ws://127.0.0.1:${forwardTo}`, { perMessageDeflate: false });
// The product configures its own server in the same way.
const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  backlog: 4096,
  perMessageDeflate: false,
  clientTracking: false,
  maxPayload: 1024 * 1024,
});
let count = 0;
server.on('connection', (socket) => {
  socket.on('message', (data, binary) => {
    count++;
    if (relay !== undefined) relay.send(data as Buffer, { binary });
  });
  socket.on('error', () => {});
});
server.on('listening', () => process.send!({ port: (server.address() as { port: number }).port }));
process.on('message', () => process.send!({ count }));
process.on('disconnect', () => process.exit());

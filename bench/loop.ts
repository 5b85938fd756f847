// A process of its own: the loop that a user would write by hand instead of running the product. It parses each message,
// keeps some, and appends a part of each to a file. It has no reconnect, no limits, no backpressure and no metrics.
import { createWriteStream } from 'node:fs';
import { WebSocketServer } from 'ws';
import { WARM_FROM } from './messages.ts';

const file = createWriteStream(process.argv[2]!, { flags: 'a' });
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
let count = 0;
server.on('connection', (socket) => {
  socket.on('message', (data) => {
    count++;
    const { sensor, temperature, at } = JSON.parse((data as Buffer).toString()) as Record<string, unknown>;
    if (Number(temperature) >= WARM_FROM) file.write(`${JSON.stringify({ sensor, temperature, at })}\n`);
  });
  socket.on('error', () => {});
});
server.on('listening', () => process.send!({ port: (server.address() as { port: number }).port }));
process.on('message', () => process.send!({ count }));
process.on('disconnect', () => process.exit());

/**
 * The sink as a process of its own: a WebSocket server that appends each message to a file.
 *
 *     node sink-process.ts PORT FILE [FAIL_EVERY]
 *
 * On `/each` a message is a line. On `/confirmed` a message is a batch of lines, and is answered with `ok` once the
 * system has it. With FAIL_EVERY, every n-th batch fails in one of three ways: it is refused, the connection is cut
 * before it is written, or after that and without an answer.
 */
import { appendFileSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { WebSocketServer } from 'ws';

const [port, path, failEvery] = process.argv.slice(2);
const every = Number(failEvery ?? 0);
// The last process may have been killed in the middle of a line.
if (existsSync(path!) && /[^\n]$/.test(readFileSync(path!, 'latin1'))) appendFileSync(path!, '\n');
const file = openSync(path!, 'a');
let writes = 0;
let failures = 0;

const server = new WebSocketServer({ host: '127.0.0.1', port: Number(port), maxPayload: 64 * 1024 * 1024 });
server.on('connection', (socket, request) => {
  socket.on('error', () => {});
  const confirms = request.url === '/confirmed';
  socket.on('message', (data) => {
    const lines = `${(data as Buffer).toString()}\n`;
    const fails = confirms && every > 0 && ++writes % every === 0;
    const way = fails ? failures++ % 3 : undefined;
    if (way === 0) return socket.send('not now');
    if (way === 1) return socket.terminate();
    writeAll(lines);
    if (way === 2) return socket.terminate();
    if (confirms) socket.send('ok');
  });
});
server.on('listening', () => process.stdout.write('listening\n'));
// Reports the number of failures at the end.
process.on('SIGTERM', () => {
  process.stdout.write(`${failures}\n`, () => process.exit(0));
});

function writeAll(text: string): void {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done);
}

// A process of its own: it sends stamped messages at a steady rate, and reads them at the other end. One process and
// one clock serve both, so that nothing has to be corrected.
import { closeSync, openSync, readSync } from 'node:fs';
import type { Socket } from 'node:net';
import { WebSocketServer } from 'ws';
import { closeConnections, openConnections } from './connection.ts';
import { maskedFrame, stamped } from './messages.ts';
import { until } from './wait.ts';

const MESSAGE_BYTES = 70;
const STAMP = /"at":(\d+)/g;

export type ProbeCommand =
  | { type: 'listen' }
  | { type: 'connect'; port: number; connections: number; file: string | undefined }
  /** `observed`: it waits until every message has been read at the other end. */
  | { type: 'run'; perSecond: number; warmUpSeconds: number; seconds: number; observed: boolean }
  | { type: 'close' };

/** Milliseconds from the call that writes a message to the socket to the moment when the result has been read. */
export interface Latencies {
  readonly messages: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

let sockets: Socket[] = [];
let file: number | undefined;
let seen = 0;
let measureFrom = Infinity;
let latencies: number[] = [];
const piece = Buffer.alloc(1024 * 1024);
let rest = '';

process.on('message', (command: ProbeCommand) => {
  void obey(command).then((reply) => process.send!(reply));
});
process.on('disconnect', () => process.exit());

async function obey(command: ProbeCommand): Promise<object> {
  if (command.type === 'listen') return { port: await listen() };
  if (command.type === 'run') return await run(command);
  if (command.type === 'close') {
    await closeConnections(sockets);
    if (file !== undefined) closeSync(file);
  } else {
    sockets = await openConnections(command.port, command.connections);
    file = command.file === undefined ? undefined : openSync(command.file, 'r');
  }
  return {};
}

/** The server that an output of type `websocket` writes to. */
async function listen(): Promise<number> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
  server.on('connection', (socket) => {
    socket.on('message', (data) => observe((data as Buffer).toString('latin1')));
  });
  await new Promise((resolve) => {
    server.once('listening', resolve);
  });
  return (server.address() as { port: number }).port;
}

/** The bytes that an output of type `file` has written since the last look. */
function readFile(descriptor: number): void {
  for (;;) {
    const length = readSync(descriptor, piece);
    if (length === 0) return;
    const text = rest + piece.toString('latin1', 0, length);
    const end = text.lastIndexOf('\n') + 1;
    rest = text.slice(end);
    observe(text.slice(0, end));
  }
}

function observe(text: string): void {
  const now = micros();
  for (const [, stamp] of text.matchAll(STAMP)) {
    seen++;
    const sentAt = Number(stamp);
    if (sentAt >= measureFrom) latencies.push((now - sentAt) / 1000);
  }
}

async function run(command: Extract<ProbeCommand, { type: 'run' }>): Promise<Latencies> {
  const { perSecond, warmUpSeconds, seconds, observed } = command;
  const start = micros();
  const total = (warmUpSeconds + seconds) * perSecond;
  seen = 0;
  latencies = [];
  measureFrom = start + warmUpSeconds * 1e6;
  let sent = 0;
  // Due messages are sent however late the timer is: the rate never adapts to the server.
  const timer = setInterval(() => {
    const due = Math.min(total, ((micros() - start) / 1e6) * perSecond);
    while (sent < due) {
      sockets[sent % sockets.length]!.write(maskedFrame(stamped(micros(), MESSAGE_BYTES), sent));
      sent++;
    }
    if (file !== undefined) readFile(file);
  }, 1);
  const isDone = (): boolean => (observed ? seen : sent) >= total;
  await until(isDone, (warmUpSeconds + seconds + 20) * 1000);
  clearInterval(timer);
  if (observed && seen !== total) throw new Error(`sent ${sent} messages, but saw ${seen}`);
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
  return { messages: sorted.length, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
}

/** The machine's monotonic clock. */
function micros(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

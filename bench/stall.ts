import { once } from 'node:events';
import { WebSocketServer, type WebSocket } from 'ws';
import { raiseFileLimit } from './idle.ts';
import type { Options } from './options.ts';
import { Sender, memoryOf } from './processes.ts';
import { mebibytes, type Row } from './report.ts';
import { startProduct } from './target.ts';
import { untilConfirmed } from './throughput.ts';
import { until } from './wait.ts';

/** The product's default, which the cases leave as it is. */
const BUDGET_BYTES = 64 * 1024 ** 2;
const BASELINE_SECONDS = 5;

interface Flood {
  readonly connections: number;
  readonly messageBytes: number;
}

const floods: readonly Flood[] = [
  { connections: 10, messageBytes: 70 },
  { connections: 2000, messageBytes: 70 },
  { connections: 10, messageBytes: 16 * 1024 },
  { connections: 2000, messageBytes: 16 * 1024 },
];

/** The most memory that the product takes while it is flooded and its output accepts nothing. */
export async function measureStall(
  options: Options,
  progress: (text: string) => void,
): Promise<{ rows: Row[]; raw: object }> {
  const rows: Row[] = [];
  const raw: object[] = [];
  for (const each of floods) {
    progress(`stall: ${name(each)}`);
    const baseline = await peakWhenDropped(options, each);
    const stalled = await peakWhenStalled(options, each);
    const held = stalled.peak - baseline;
    raw.push({ ...each, baseline, ...stalled });
    rows.push({
      what: `peak memory, output stalled ${options.stallSeconds} s: ${name(each)}`,
      bare: '',
      product: mebibytes(stalled.peak),
      reached: `${mebibytes(baseline)} ${held < 0 ? '−' : '+'} ${mebibytes(Math.abs(held))}`,
      target: `≤ ${mebibytes(baseline)} + ${mebibytes(BUDGET_BYTES)}`,
      ok: held <= BUDGET_BYTES,
    });
  }
  return { rows, raw };
}

function name({ connections, messageBytes }: Flood): string {
  const size = messageBytes < 1024 ? `${messageBytes} B` : `${messageBytes / 1024} KiB`;
  return `${connections} conn., ${size}`;
}

/** The baseline: the same flood into an output that holds nothing back. */
async function peakWhenDropped(options: Options, { connections, messageBytes }: Flood): Promise<number> {
  const product = await startProduct(options.bin, { output: { type: 'drop' } });
  const sender = await flooder(product, connections, messageBytes);
  const { messages } = await sender.flood(Math.min(BASELINE_SECONDS, options.stallSeconds));
  await untilConfirmed(product, messages);
  const { peak } = await memoryOf(product.pid);
  await sender.stop();
  await product.stop();
  return peak;
}

/** Afterwards the output is read again, and everything must come. */
async function peakWhenStalled(
  options: Options,
  { connections, messageBytes }: Flood,
): Promise<{ peak: number; inFlight: number; messages: number }> {
  const sink = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
  let stalled: WebSocket | undefined;
  let arrived = 0;
  sink.on('connection', (socket) => {
    socket.pause();
    stalled = socket;
    socket.on('message', () => arrived++);
  });
  await once(sink, 'listening');
  const { port } = sink.address() as { port: number };
  // A peer that reads nothing answers no ping either, and would be cut after a while; that is not measured here.
  const output = { type: 'websocket', url: `ws://127.0.0.1:${port}`, ping_interval: 0 };
  const product = await startProduct(options.bin, { output });
  const sender = await flooder(product, connections, messageBytes);
  const { messages } = await sender.flood(options.stallSeconds);
  const { inFlight } = await product.counts();
  const { peak } = await memoryOf(product.pid);
  stalled?.resume();
  await untilConfirmed(product, messages);
  await until(() => arrived >= messages, 10_000);
  if (arrived !== messages)
    throw new Error(`sent ${messages} through a stalled output, and ${arrived} arrived`);
  await sender.stop();
  await product.stop();
  sink.close();
  return { peak, inFlight, messages };
}

async function flooder(
  product: { pid: number; port: number },
  connections: number,
  messageBytes: number,
): Promise<Sender> {
  const sender = new Sender();
  for (const pid of [product.pid, sender.pid]) raiseFileLimit(pid, connections + 1000);
  await sender.connect(product.port, connections, messageBytes);
  return sender;
}

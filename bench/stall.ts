import { once } from 'node:events';
import { WebSocketServer, type WebSocket } from 'ws';
import { raiseFileLimit } from './idle.ts';
import type { Options } from './options.ts';
import { Sender, memoryOf } from './processes.ts';
import { mebibytes, type Row } from './report.ts';
import { startBare, startProduct, type Target } from './target.ts';
import { untilConfirmed } from './throughput.ts';
import { until } from './wait.ts';

/** The product's default, which the cases do not change. */
const BUDGET_BYTES = 64 * 1024 ** 2;
const BARE_SECONDS = 5;

interface Flood {
  readonly connections: number;
  readonly messageBytes: number;
  /**
   * Read the output again afterwards, and check that everything arrives. Not with thousands of connections: the kernel
   * has taken in tens of millions of messages by then.
   */
  readonly recover: boolean;
}

/** Resident memory in bytes: with the connections open before anything is sent, and the peak. */
interface Memory {
  readonly open: number;
  readonly peak: number;
}

// Small messages reach the budget's limit of messages, large ones that of bytes.
const floods: readonly Flood[] = [
  { connections: 10, messageBytes: 70, recover: true },
  { connections: 2000, messageBytes: 70, recover: false },
  { connections: 10, messageBytes: 16 * 1024, recover: true },
];

/**
 * The most memory that the product takes while it is flooded and its output accepts nothing. The baseline is its memory
 * with the connections open, plus the growth of a bare server under the same flood, which holds nothing.
 */
export async function measureStall(
  options: Options,
  progress: (text: string) => void,
): Promise<{ rows: Row[]; raw: object }> {
  const rows: Row[] = [];
  const raw: object[] = [];
  for (const each of floods) {
    const { connections, messageBytes } = each;
    const size = messageBytes < 1024 ? `${messageBytes} B` : `${messageBytes / 1024} KiB`;
    const name = `memory, output stalled ${options.stallSeconds} s, ${connections} conn., ${size}`;
    progress(name);
    const bare = await flooded(await startBare(), each, Math.min(BARE_SECONDS, options.stallSeconds));
    const product = await stalled(options, each);
    const baseline = product.open + bare.peak - bare.open;
    const limit = baseline + BUDGET_BYTES;
    raw.push({ ...each, bare, product, baseline, limit });
    rows.push({
      what: name,
      bare: `${mebibytes(bare.open)} → ${mebibytes(bare.peak)}`,
      product: `${mebibytes(product.open)} → ${mebibytes(product.peak)}`,
      reached: mebibytes(product.peak),
      target: `≤ ${mebibytes(baseline)} + ${mebibytes(BUDGET_BYTES)}`,
      ok: product.peak <= limit,
    });
  }
  return { rows, raw };
}

async function flooded(
  target: Target,
  { connections, messageBytes }: Flood,
  seconds: number,
): Promise<Memory> {
  const sender = await connectedSender(target, connections, messageBytes);
  const open = (await memoryOf(target.pid)).now;
  await sender.flood(seconds);
  const { peak } = await memoryOf(target.pid);
  await sender.abandon();
  await target.abandon();
  return { open, peak };
}

async function stalled(options: Options, flood: Flood): Promise<Memory & { inFlight: number }> {
  const sink = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
  let reader: WebSocket | undefined;
  let arrived = 0;
  sink.on('connection', (socket) => {
    socket.pause();
    reader = socket;
    socket.on('message', () => arrived++);
    socket.on('error', () => {});
  });
  await once(sink, 'listening');
  const { port } = sink.address() as { port: number };
  // A peer that reads nothing does not answer pings either, and would be cut after a while; that is not measured here.
  const output = { type: 'websocket', url: `ws://127.0.0.1:${port}`, ping_interval: 0 };
  const product = await startProduct(options.bin, { output });
  const sender = await connectedSender(product, flood.connections, flood.messageBytes);
  const open = (await memoryOf(product.pid)).now;
  const { messages } = await sender.flood(options.stallSeconds);
  const { inFlight } = await product.counts();
  const { peak } = await memoryOf(product.pid);
  if (flood.recover) {
    reader?.resume();
    await untilConfirmed(product, messages);
    await until(() => arrived >= messages, 10_000);
    if (arrived !== messages) throw new Error(`sent ${messages} to a stalled output, but ${arrived} arrived`);
    await sender.stop();
    await product.stop();
  } else {
    await sender.abandon();
    await product.abandon();
  }
  sink.close();
  return { open, peak, inFlight };
}

async function connectedSender(target: Target, connections: number, messageBytes: number): Promise<Sender> {
  const sender = new Sender();
  for (const pid of [target.pid, sender.pid]) raiseFileLimit(pid, connections + 1000);
  await sender.connect(target.port, connections, messageBytes);
  return sender;
}

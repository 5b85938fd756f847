import type { Ext } from '../../src/message/metadata.ts';
import { startEngine, type Run } from './engine.ts';
import { frame } from './frames.ts';
import { rawUpgrade, type RawPeer } from './peers.ts';

/** A server input with the fields given, on a port of its own. */
export function startServer(fields: string): Promise<Run> {
  return startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, ${fields} }
    output: { type: collect }
`);
}

/** The answer to a handshake written by hand. */
export interface Answer {
  readonly status: number;
  readonly peer: RawPeer;
  /** Status line and headers. */
  readonly head: string;
}

export async function handshake(url: string, headers: Record<string, string> = {}): Promise<Answer> {
  const peer = await rawUpgrade(url, headers);
  return { status: Number(peer.head.split(' ')[1]), peer, head: peer.head };
}

export async function statusOf(url: string, headers: Record<string, string> = {}): Promise<number> {
  const { status, peer } = await handshake(url, headers);
  peer.socket.destroy();
  return status;
}

/** Connects, sends a message, and gives the `__meta_ext` that it came with. */
export async function extOf(run: Run, url: string, headers: Record<string, string> = {}): Promise<Ext> {
  const { peer, head } = await handshake(url, headers);
  if (!head.startsWith('HTTP/1.1 101 ')) throw new Error(`refused: ${head}`);
  const before = run.output().messages.length;
  peer.socket.write(frame('text', 'x', { mask: true }));
  await run.output().count(before + 1);
  return run.output().messages[before]!.ext;
}

export function basic(user: string, password: string): Record<string, string> {
  return { Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}

export function bearer(token: string): Record<string, string> {
  return { Authorization: `Bearer ${token}` };
}

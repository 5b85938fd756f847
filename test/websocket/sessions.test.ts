import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { connectClient, send, type Client } from '../support/peers.ts';

const CONNECTIONS = 3000;
const AT_A_TIME = 250;
const MESSAGES = 10;

test('3,000 connections at once, each sending: every message comes out once, in the order of its session', async () => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json } }
    output: { type: collect }
`);
  const url = await run.url();
  const clients: Client[] = [];
  while (clients.length < CONNECTIONS) {
    clients.push(...(await Promise.all(Array.from({ length: AT_A_TIME }, () => connectClient(url)))));
  }
  await run.metricIs(CONNECTIONS, 'millrace_connections_open', 'stage="input"');

  // Everybody's first, then everybody's second: sessions alternate on the wire as much as they can.
  for (let number = 1; number <= MESSAGES; number++) {
    await Promise.all(clients.map((client, index) => send(client, `{"client":${index},"number":${number}}`)));
  }
  await run.output().count(CONNECTIONS * MESSAGES, 30_000);

  const values = run.output().values;
  const bySession = new Map<string, { client: number; number: number; sequence: string }[]>();
  for (const [index, { ext }] of run.output().messages.entries()) {
    const { client, number } = values[index] as { client: number; number: number };
    const id = String(ext['session_id']);
    const session = bySession.get(id) ?? [];
    session.push({ client, number, sequence: String(ext['sequence']) });
    bySession.set(id, session);
  }
  expect(bySession.size).toBe(CONNECTIONS);
  const seen = new Set<number>();
  for (const session of bySession.values()) {
    const { client } = session[0]!;
    seen.add(client);
    expect(session).toEqual(
      Array.from({ length: MESSAGES }, (_, index) => ({
        client,
        number: index + 1,
        sequence: String(index + 1),
      })),
    );
  }
  expect(seen.size).toBe(CONNECTIONS);
  expect(await run.metric('millrace_input_messages_total')).toBe(CONNECTIONS * MESSAGES);

  for (const { socket } of clients) socket.terminate();
  await run.metricIs(0, 'millrace_connections_open', 'stage="input"');
}, 60_000);

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DurableProcess } from '../support/durable-process.ts';
import { send } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const dir = tempDir();
const DEVICES = 7;

const TOTALS = `
            INSERT INTO totals SELECT device, sum(id), count(*) FROM flow GROUP BY device
              ON CONFLICT DO UPDATE SET total = total + excluded.total, n = n + excluded.n;
            SELECT device, total, n FROM totals SEMI JOIN flow USING (device)`;

/** A file with one stream that writes running totals; its log and its output are in a folder of that name. */
function stateFile(name: string): string {
  return dir.file(
    `${name}.yaml`,
    `health_check: { address: "127.0.0.1:0" }
logging: { format: json }
streams:
  - id: s
    input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      codec: { type: json }
      dedupe: { key: id, per: all, window: 1h }
      ack: { when: delivered, id: id, reply: '{{id}}' }
    pipeline:
      thread_num: 4
      processors:
        - type: sql
          state: { totals: { device: VARCHAR PRIMARY KEY, total: HUGEINT, n: BIGINT } }
          query: |${TOTALS}
    output: { type: file, path: "${join(dir.path, name, 'out.jsonl')}" }
    durability: { path: "${join(dir.path, name, 'log')}", max_bytes: 4MiB }
`,
  );
}

const deviceOf = (id: number): string => `d${id % DEVICES}`;
const message = (id: number): string => JSON.stringify({ id, device: deviceOf(id) });

/** The totals of a device after each of its messages, from the first on, for ids from 1 on in order. */
function totalsOf(device: string, last: number): number[] {
  const totals = [0];
  for (let id = 1; id <= last; id++) if (deviceOf(id) === device) totals.push(totals.at(-1)! + id);
  return totals;
}

interface Row {
  readonly device: string;
  readonly total: number;
  readonly n: number;
}

function rowsOf(name: string): Row[] {
  const file = join(dir.path, name, 'out.jsonl');
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  // A kill may leave a part of a line, and the next process goes on after it.
  return lines.flatMap((line) => (/^\{[^{}]*\}$/.test(line) ? [JSON.parse(line) as Row] : []));
}

/** Each row has the total of as many messages as it says, and the last of each device has all. */
function expectExact(name: string, last: number): void {
  const rows = rowsOf(name);
  for (let index = 0; index < DEVICES; index++) {
    const totals = totalsOf(`d${index}`, last);
    const own = rows.filter(({ device }) => device === `d${index}`);
    for (const { n, total } of own) expect([n, total]).toEqual([n, totals[n]]);
    expect(own.at(-1)!.n).toBe(totals.length - 1);
  }
}

/** Sends messages until all are delivered, or the process dies. @returns the last one that is known to be delivered */
async function pour(run: DurableProcess, from: number, last: number): Promise<number> {
  const client = await run.client();
  const delivered = (): number => Number(client.replies.at(-1) ?? from - 1);
  let sent = from - 1;
  while (delivered() < last && client.socket.readyState === client.socket.OPEN) {
    const part = Array.from({ length: Math.min(50, last - sent) }, (_, index) => message(sent + 1 + index));
    sent += part.length;
    await send(client, ...part).catch(() => {});
    const more = until('replies', () => delivered() > sent - 300 && (sent < last || delivered() === last));
    await Promise.race([more, client.closed]);
  }
  return delivered();
}

test('kill -9 under load, again and again: each message has changed the tables exactly once', async () => {
  const name = 'killed';
  const file = stateFile(name);
  const last = 6_000;
  let delivered = 0;
  // At another place of the stream each time, soon and long after a checkpoint.
  for (const count of [100, 1_500]) {
    const run = new DurableProcess(file);
    const pouring = pour(run, delivered + 1, last);
    const reached = (): boolean => rowsOf(name).some(({ n }) => n * DEVICES > delivered + count);
    await until('rows', reached, { state: () => run.log });
    run.cli.child.kill('SIGKILL');
    await run.cli.result;
    delivered = await pouring;
  }
  expect(delivered).toBeLessThan(last);
  const run = new DurableProcess(file);
  expect(await pour(run, delivered + 1, last)).toBe(last);
  run.cli.child.kill('SIGTERM');
  expect(await run.cli.result).toMatchObject({ code: 0 });
  expectExact(name, last);
  // A clean end leaves nothing to be processed again.
  const lines = rowsOf(name).length;
  const again = new DurableProcess(file);
  expect(await pour(again, last + 1, last + 1)).toBe(last + 1);
  expectExact(name, last + 1);
  expect(rowsOf(name).length).toBe(lines + 1);
}, 120_000);

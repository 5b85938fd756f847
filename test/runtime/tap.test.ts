import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { connectClient, send } from '../support/peers.ts';
import { until } from '../support/until.ts';
import type { Tap } from '../../src/runtime/tap.ts';

const never = new AbortController().signal;

const file = `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json } }
    buffer: { type: memory, capacity: 1, timeout: 1s }
    pipeline:
      processors:
        - { type: sql, query: "SELECT a + 1 AS a, __meta_ext FROM flow WHERE a > 0" }
        - { type: sql, query: "SELECT a * 10 AS a, __meta_ext FROM flow" }
    output: { type: collect }
    error_output: { type: collect, name: errors }
`;

async function texts(tap: Tap, count: number): Promise<string[]> {
  const samples: string[] = [];
  while (samples.length < count) samples.push(Buffer.from((await tap.next(never)).payload).toString());
  return samples;
}

test('a tap shows the messages that pass each stage of a stream, with their metadata, and can be taken off', async () => {
  const run = await startEngine(file);
  const client = await connectClient(await run.url());
  const stages = ['input', 'buffer', 'processors.0', 'processors.1', 'output', 'error_output'] as const;
  const [input, buffer, first, second, output, errors] = stages.map((stage) => run.tap('stream-0', stage));
  await send(client, '{"a":0}', '{"a":1}', 'no', '{"a":2}');
  expect(await texts(input!, 3)).toEqual(['{"a":0}', '{"a":1}', '{"a":2}']);
  expect(await texts(buffer!, 3)).toEqual(['{"a":0}', '{"a":1}', '{"a":2}']);
  expect(await texts(first!, 2)).toEqual(['{"a":2}', '{"a":3}']);
  expect(await texts(second!, 2)).toEqual(['{"a":20}', '{"a":30}']);
  const sample = await output!.next(never);
  expect(Buffer.from(sample.payload).toString()).toBe('{"a":20}');
  expect(sample.metadata.ext).toMatchObject({ remote_address: '127.0.0.1', path: '/' });
  expect(JSON.parse((await texts(errors!, 1))[0]!)).toMatchObject({ payload: 'no' });
  input!.close();
  await send(client, '{"a":3}');
  expect(await texts(output!, 2)).toEqual(['{"a":30}', '{"a":40}']);
  await expect(input!.next(never)).rejects.toThrow();
  expect(input!.passed).toBe(3);
});

test('a tap that nobody reads holds nothing back: it is bounded, and counts the messages that it dropped', async () => {
  const run = await startEngine(file);
  const client = await connectClient(await run.url());
  const tap = run.tap('stream-0', 'output', { rate: 1_000_000, messages: 10 });
  const narrow = run.tap('stream-0', 'output', { rate: 1_000_000, bytes: 25 });
  const slow = run.tap('stream-0', 'output', { rate: 1 });
  await send(client, ...Array.from({ length: 500 }, (_, index) => `{"a":${index + 1}}`));
  await run.output().count(500);
  expect([tap.passed, tap.missed]).toEqual([500, 490]);
  expect(await texts(tap, 10)).toEqual(run.output().texts.slice(0, 10));
  expect(await texts(narrow, 3)).toEqual(['{"a":20}', '{"a":30}', '{"a":40}']);
  expect(narrow.passed - narrow.missed).toBe(3);
  expect(slow.missed).toBeGreaterThan(400);
});

test('a tap ends with its stream, and a stage that does not exist has none', async () => {
  const run = await startEngine(file);
  const client = await connectClient(await run.url());
  expect(() => run.tap('other', 'input')).toThrow('no stream is called other');
  expect(() => run.tap('stream-0', 'processors.2')).toThrow('it has no stage processors.2');
  const tap = run.tap('stream-0', 'output');
  const seen: string[] = [];
  const reading = (async () => {
    for await (const { payload } of tap) seen.push(Buffer.from(payload).toString());
  })();
  await send(client, '{"a":1}');
  await until('the sample', () => seen.length === 1);
  await run.stop();
  await reading;
  expect(seen).toEqual(['{"a":20}']);
});

import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { messageId } from '../../src/component/message-id.ts';
import type { ComponentConfig } from '../../src/component/context.ts';
import type { Output, WriteResult } from '../../src/component/contracts.ts';
import { defineOutput } from '../../src/component/define.ts';
import { EndOfInputError } from '../../src/errors.ts';
import type { LogEntries } from '../../src/message/receipt.ts';
import { DurableProcess } from '../support/durable-process.ts';
import { send } from '../support/peers.ts';
import { program } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';
import { engineFor, settling, testInput, testOutput, testProcessor, textsOf } from './harness.ts';

const dir = tempDir();
const entry = program('recorder');
let logs = 0;
const logPath = (): string => join(dir.path, `log-${logs++}`);

interface Write {
  readonly id: string;
  readonly attempt: number;
  readonly position: LogEntries | undefined;
  readonly texts: readonly string[];
}

describe('a batch of an output that needs to know repeats', () => {
  test('has the same id and the same messages after kill -9 and a restart, whatever batches were joined before', async () => {
    const path = logPath();
    const file = (name: string, hold: boolean): string =>
      dir.file(
        `${name}.yaml`,
        `health_check: { address: "127.0.0.1:0" }
logging: { format: json }
streams:
  - input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      codec: { type: json }
      ack: { when: stored, id: n, reply: '{{id}}', reject_reply: 'no' }
    pipeline: { processors: [{ type: sql, query: "SELECT * FROM flow WHERE n % 3 <> 0" }] }
    output: { type: recorder, path: "${join(dir.path, name)}", hold: ${hold} }
    error_output: { type: drop }
    durability: { path: "${path}" }
`,
      );
    const written = (name: string): Write[] => {
      const records = join(dir.path, name);
      if (!existsSync(records)) return [];
      return readFileSync(records, 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Write);
    };

    const first = new DurableProcess(file('first', true), { entry });
    const sender = await first.client();
    let n = 0;
    for (let round = 0; round < 20; round++) {
      const messages = Array.from({ length: 5 }, () => JSON.stringify({ n: n++ }));
      await send(sender, ...messages.slice(0, 2), 'not JSON', ...messages.slice(2));
      await until('all to be stored', () => sender.replies.length === n + round + 1);
    }
    await until('eight writes', () => written('first').length === 8);
    first.cli.child.kill('SIGKILL');
    await first.cli.result;

    const second = new DurableProcess(file('second', false), { entry });
    const wanted = Array.from({ length: n }, (_, each) => each).filter((each) => each % 3 !== 0);
    const seen = (): number[] =>
      written('second').flatMap(({ texts }) => texts.map((text) => (JSON.parse(text) as { n: number }).n));
    await until('everything', () => seen().length >= wanted.length, { state: () => second.log });
    expect(seen()).toEqual(wanted);
    const after = new Map(written('second').map((write) => [write.id, write]));
    expect(after.size).toBe(written('second').length);
    for (const write of written('first')) expect(after.get(write.id)).toEqual(write);
    for (const { position, attempt } of after.values()) {
      expect(attempt).toBe(1);
      expect(position!.first).toBe(position!.last);
    }
    expect(new Set([...after.values()].map(({ position }) => position!.log)).size).toBe(1);
    second.cli.child.kill('SIGTERM');
    await second.cli.result;
  });
});

/** Runs a stream on these batches to its end; or until the output fails from its `crash`-th write on, and then ends it as a crash. */
async function runOnce(
  path: string | undefined,
  all: readonly (readonly string[])[],
  options: {
    readonly processors?: string;
    readonly crash?: number;
    readonly more?: Partial<Output>;
    readonly act?: (write: Write) => WriteResult | undefined;
  },
): Promise<(Write & { readonly ids: readonly string[] })[]> {
  const writes: (Write & { readonly ids: readonly string[] })[] = [];
  let next = 0;
  const input = testInput('texts', {
    read: () => {
      const texts = all[next++];
      return texts === undefined
        ? Promise.reject(new EndOfInputError())
        : Promise.resolve(settling(texts, () => {}));
    },
  });
  const output = testOutput('own', {
    identified: true,
    backoff: { initial: 1, max: 1, attempts: Infinity },
    ...options.more,
    write: (batch, call) => {
      const texts = textsOf(batch);
      const { id, attempt, position } = call;
      const write = { id, attempt, position, texts, ids: texts.map((_, index) => messageId(call, index)) };
      writes.push(write);
      if (options.crash !== undefined && writes.length >= options.crash)
        return Promise.reject(new Error('full'));
      return Promise.resolve(options.act?.(write));
    },
  });
  const halves = testProcessor('halves', {
    process: (batch) => [
      batch.select([...batch.payloads.keys()].filter((index) => index % 2 === 0)),
      batch.select([...batch.payloads.keys()].filter((index) => index % 2 === 1)),
    ],
  });
  const engine = engineFor(
    `streams:
      - input: { type: texts }
        pipeline: { processors: [${options.processors ?? ''}] }
        output: { type: own }
        ${path === undefined ? '' : `durability: { path: "${path}" }`}`,
    [input, output, halves],
  );
  const end = engine.run();
  if (options.crash !== undefined) {
    await until('the writes', () => writes.length > options.crash!);
    engine.abort();
  }
  await end;
  await engine.close();
  return writes;
}

const idsOf = (writes: readonly Write[]): string[] => writes.map(({ id }) => id);

test('several batches made of one entry have ids of their own, the same after a restart', async () => {
  const path = logPath();
  const all = [
    ['a', 'b', 'c', 'd'],
    ['e', 'f'],
  ];
  const before = await runOnce(path, all, { processors: '{ type: halves }', crash: 2 });
  const after = await runOnce(path, [], { processors: '{ type: halves }' });
  expect(after.map(({ texts }) => texts.join())).toEqual(['a,c', 'b,d', 'e', 'f']);
  expect(new Set(idsOf(after)).size).toBe(4);
  expect(idsOf(before).slice(0, 2)).toEqual(idsOf(after).slice(0, 2));
  expect(after.map(({ position }) => [position!.first, position!.last])).toEqual([
    [1, 1],
    [1, 1],
    [2, 2],
    [2, 2],
  ]);
});

test('the rest of a batch keeps its id, and each message its own, also after a restart', async () => {
  const path = logPath();
  const act = ({ attempt }: Write): WriteResult | undefined =>
    attempt === 1 ? { retry: [1, 3] } : undefined;
  const more = { order: 'none' } as const;
  const before = await runOnce(path, [['a', 'b', 'c', 'd']], { act, more, crash: 2 });
  expect(before.slice(0, 2).map(({ texts, attempt }) => [texts.join(), attempt])).toEqual([
    ['a,b,c,d', 1],
    ['b,d', 2],
  ]);
  expect(new Set(idsOf(before)).size).toBe(1);
  const [whole, rest] = before;
  expect(rest!.ids).toEqual([whole!.ids[1], whole!.ids[3]]);
  const after = await runOnce(path, [], { act, more });
  expect(after.map(({ ids }) => ids)).toEqual([whole!.ids, rest!.ids]);
});

test('an entry that gives another result after a restart has another id: it is not a repeat', async () => {
  const path = logPath();
  const filter = (where: string): string =>
    `{ type: sql, query: "SELECT __value__ FROM flow WHERE __value__::VARCHAR <> '${where}'" }`;
  const [before] = await runOnce(path, [['a', 'b', 'c']], { processors: filter('a'), crash: 1 });
  const [after] = await runOnce(path, [], { processors: filter('b') });
  expect(before!.texts).toHaveLength(2);
  expect(after!.texts).toHaveLength(2);
  expect(after!.id).not.toBe(before!.id);
});

test('behind a processor that groups by count, an id is the same at each attempt, and no id is used again after a restart', async () => {
  const path = logPath();
  const processors = '{ type: batch, count: 2 }';
  const before = await runOnce(path, [['x'], ['x'], ['x', 'x', 'x', 'x']], { processors, crash: 2 });
  const after = await runOnce(path, [], { processors });
  expect(after.map(({ texts }) => texts)).toEqual([
    ['x', 'x'],
    ['x', 'x'],
  ]);
  expect(new Set(idsOf(before)).size).toBe(2);
  expect(new Set([...idsOf(before), ...idsOf(after)]).size).toBe(4);
  expect(before[0]!.position).toMatchObject({ first: 1, last: 2 });
  expect(after.map(({ position }) => [position!.first, position!.last])).toEqual([
    [3, 3],
    [3, 3],
  ]);
});

test('a log that was removed and begun anew gives other ids; so does each run without a log, which has no position', async () => {
  const path = logPath();
  const [first] = await runOnce(path, [['a']], {});
  rmSync(path, { recursive: true });
  const [second] = await runOnce(path, [['a']], {});
  expect(second!.position).toMatchObject({ first: 1, last: 1 });
  expect(second!.id).not.toBe(first!.id);
  const [third] = await runOnce(undefined, [['a'], ['b']], { crash: 2 });
  const fourth = await runOnce(undefined, [['a'], ['b']], {});
  expect(new Set([third!.id, ...idsOf(fourth)]).size).toBe(3);
  expect(fourth.map(({ position }) => position)).toEqual([undefined, undefined]);
});

test('outputs that another one opens get its id, each with attempts of its own', async () => {
  const seen: [string, string, number][] = [];
  const part = (type: string, failures: number) =>
    testOutput(type, {
      backoff: { initial: 1, max: 1, attempts: Infinity },
      write: (_, { id, attempt }) => {
        seen.push([type, id, attempt]);
        return attempt <= failures ? Promise.reject(new Error('busy')) : Promise.resolve();
      },
    });
  const both = defineOutput({
    type: 'both',
    summary: 'For tests.',
    status: 'stable',
    examples: [],
    schema: (schemas) => z.strictObject({ outputs: z.array(schemas.output) }),
    create({ outputs }, context): Output {
      const parts = (outputs as ComponentConfig[]).map((config) => context.open('output', config));
      return {
        identified: parts.some(({ identified }) => identified),
        connect: (signal) => {
          for (const each of parts) each.start(signal);
          return Promise.resolve();
        },
        write: async (batch, call) => {
          await Promise.all(parts.map((each) => each.write(batch, call)));
        },
        close: async (signal) => {
          for (const each of parts) await each.close(signal);
        },
      };
    },
  });
  const engine = engineFor(
    `streams: [{ input: { type: memory, messages: [a] }, output: { type: both, outputs: [{ type: one }, { type: two }] }, durability: { path: "${logPath()}" } }]`,
    [both, part('one', 0), part('two', 2)],
  );
  expect(await engine.run()).toEqual({ failed: [], left: [] });
  expect(seen.map(([type, , attempt]) => `${type} ${attempt}`).toSorted()).toEqual([
    'one 1',
    'two 1',
    'two 2',
    'two 3',
  ]);
  expect(new Set(seen.map(([, id]) => id)).size).toBe(1);
});

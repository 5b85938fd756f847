import { describe, expect, test } from 'vitest';
import { startEngine, type Run } from '../support/engine.ts';
import { connectClient, rawUpgrade, send, type Client, type RawPeer } from '../support/peers.ts';
import { until } from '../support/until.ts';

const SIZE = 64 * 1024;
/** 20 MiB: five times the 4 MiB that Linux keeps for a peer that does not read, if it is left as it is. */
const MESSAGES = 320;
/** Room for three messages, each counted with its overhead. */
const BUFFER = '256KiB';

/** Messages on `/in` go to the sessions of a server input. */
const hub = (output: string): string => `
streams:
  - id: hub
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /hub, limits: { outgoing_bytes: ${BUFFER} } }
    output: { type: drop }
  - id: feed
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /in, limits: { in_flight_share: 1 } }
    output: { type: websocket, mode: server, path: /hub, ${output} }
    in_flight: { messages: 100, bytes: 8MiB }
`;

/** The same with an output that listens itself. */
const listening = (output: string): string => `
streams:
  - id: feed
    input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /in, limits: { in_flight_share: 1 } }
    output: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /hub, limits: { outgoing_bytes: ${BUFFER} }, ${output} }
    in_flight: { messages: 100, bytes: 8MiB }
`;

const forms = [
  { form: 'to an input’s sessions', yaml: hub, stage: 'input', stream: 'hub' },
  { form: 'to its own sessions', yaml: listening, stage: 'output', stream: 'feed' },
] as const;

/** The number at the start of a message. */
const numberOf = (message: Buffer): number => Number(message.toString('latin1', 0, 5));
/** Those of the messages that a peer got. */
const numbers = (peer: RawPeer): number[] => peer.messages.map(({ payload }) => numberOf(payload));
const all = Array.from({ length: MESSAGES }, (_, number) => number);

interface Stage {
  readonly run: Run;
  readonly feed: Client;
  readonly stalled: RawPeer;
  /** The messages of a client that reads. */
  readonly healthy: number[];
  readonly open: (count: number) => Promise<void>;
}

/** A client that reads, one that does not, and one that sends. */
async function setUp({ yaml, stage, stream }: (typeof forms)[number], output: string): Promise<Stage> {
  const run = await startEngine(yaml(output));
  const listens = await run.logged(
    /^listening on /,
    (line) => line.stream === stream && line.stage === stage,
  );
  const url = String(listens['url']);
  const stalled = await rawUpgrade(url);
  stalled.socket.pause();
  const reader = await connectClient(url);
  const healthy: number[] = [];
  reader.socket.on('message', (data: Buffer) => healthy.push(numberOf(data)));
  const open = (count: number): Promise<void> =>
    run.metricIs(count, 'millrace_connections_open', `stage="${stage}"`, `stream="${stream}"`);
  await open(2);
  const into = await run.logged(/^listening on /, (line) => String(line['url']).endsWith('/in'));
  return { run, feed: await connectClient(String(into['url'])), stalled, healthy, open };
}

const message = (number: number): string => String(number).padStart(5, '0').padEnd(SIZE, '.');

/** Sends them all, at the pace of the one that reads. */
async function feedAll({ feed, healthy }: Stage): Promise<void> {
  // Two at a time: the buffer holds three.
  for (let number = 0; number < MESSAGES; number += 2) {
    await send(feed, message(number), message(number + 1));
    await until('the reader to have them', () => healthy.length === number + 2, {
      state: () => `it has ${healthy.length}`,
    });
  }
}

describe.each(forms)('a session that does not read, $form', (form) => {
  test('disconnect: it is closed with 1008, and cut when it does not answer; the other gets everything', async () => {
    const stage = await setUp(form, 'slow_consumer: disconnect');
    await feedAll(stage);
    expect(stage.healthy).toEqual(all);
    // It never reads: the close frame does not reach it, so it is cut.
    await until('it to be cut', () =>
      stage.run.log.some(({ msg }) => msg === 'connection closed with 1008 too slow'),
    );
    await stage.open(1);
    await stage.run.metricIs(1, 'millrace_connections_closed_total', 'code="1008"');
    expect(await stage.run.metric('millrace_messages_dropped_total', 'reason="slow_consumer"')).toBe(1);
  }, 60_000);

  test('disconnect: one that reads again at last gets the messages of its buffer, and the reason of the close', async () => {
    const stage = await setUp(form, 'slow_consumer: disconnect');
    const { stalled, healthy, feed } = stage;
    let sent = 0;
    while ((await stage.run.metric('millrace_messages_dropped_total', 'reason="slow_consumer"')) === 0) {
      await send(feed, message(sent++));
      await until('the reader to have it', () => healthy.length === sent);
    }
    stalled.socket.resume();
    expect(await stalled.closeCode()).toBe(1008);
    // All up to the one that did not fit.
    expect(numbers(stalled)).toEqual(Array.from({ length: sent - 1 }, (_, number) => number));
  }, 60_000);

  test('drop_oldest: waiting messages are bounded, the newest are kept, and the drops are counted', async () => {
    const stage = await setUp(form, 'slow_consumer: drop_oldest');
    const { run, stalled, healthy } = stage;
    await feedAll(stage);
    expect(healthy).toEqual(all);
    const dropped = await run.metric('millrace_messages_dropped_total', 'reason="slow_consumer"');
    stalled.socket.resume();
    await until('the newest', () => numbers(stalled).at(-1) === MESSAGES - 1);
    const got = numbers(stalled);
    expect(got).toHaveLength(MESSAGES - dropped);
    expect(got).toEqual(got.toSorted((a, b) => a - b));
    // First the messages in the system's buffers, then those kept here: as many as there is room for.
    const gap = got.findIndex((number, index) => number !== index);
    expect(got.slice(gap)).toEqual(all.slice(-(got.length - gap)));
    expect(got.length - gap).toBeLessThanOrEqual(3);
    expect(dropped).toBeGreaterThan(MESSAGES / 2);
    // It is as good as new.
    await send(stage.feed, message(MESSAGES));
    await until('one more', () => numbers(stalled).at(-1) === MESSAGES);
  }, 60_000);

  test('block: the sender is held until it reads; then everybody has everything', async () => {
    const stage = await setUp(form, 'slow_consumer: block');
    const { run, feed, stalled, healthy } = stage;
    const sending = send(feed, ...all.map(message));
    await until('the stream to be full', async () => (await run.inFlight('feed')).messages >= 100, {
      timeout: 30_000,
    });
    expect(stalled.messages).toEqual([]);
    expect(healthy.length).toBeLessThan(MESSAGES);
    stalled.socket.resume();
    await sending;
    await until('it to have all', () => stalled.messages.length >= MESSAGES);
    expect(numbers(stalled)).toEqual(all);
    await until('the reader to have all', () => healthy.length === MESSAGES);
    expect(healthy).toEqual(all);
  }, 60_000);

  test('block: one that goes away instead lets the others go on', async () => {
    const stage = await setUp(form, 'slow_consumer: block');
    const { run, feed, stalled, healthy } = stage;
    const sending = send(feed, ...all.map(message));
    await until('the stream to be full', async () => (await run.inFlight('feed')).messages >= 100, {
      timeout: 30_000,
    });
    stalled.socket.resetAndDestroy();
    await sending;
    await until('the reader to have all', () => healthy.length === MESSAGES);
    expect(healthy).toEqual(all);
  }, 60_000);
});

test('a burst larger than the buffer does not make a session slow if it reads', async () => {
  const run = await startEngine(hub('slow_consumer: disconnect').replace('8MiB', '64MiB'));
  const reader = await connectClient(await run.url('hub'));
  let got = 0;
  reader.socket.on('message', () => got++);
  await run.metricIs(1, 'millrace_connections_open', 'stream="hub"');
  const feed = await connectClient(await run.url('feed'));
  // 100 times 8 KiB in one batch is more than the 256 KiB that may wait.
  await send(feed, ...Array.from({ length: 100 }, (_, number) => String(number).padEnd(8192)));
  await until('all of it', () => got === 100);
});

/** Numbers of 2,000 bytes each, 10 MiB in all: forty times what the buffer holds, and more than Linux keeps too. */
const many = Array.from({ length: 5000 }, (_, number) => number);
const short = (number: number): string => String(number).padStart(5, '0').padEnd(2000, '.');

/** Readers that read, and some that don't, while messages come as fast as they can be sent. */
describe.each(forms)('a client that reads loses nothing, $form', (form) => {
  test.each(
    ['drop_oldest', 'disconnect', 'block'].flatMap((policy) =>
      (policy === 'block' ? [0] : [0, 30]).map((deaf) => ({ policy, deaf })),
    ),
  )(
    '$policy, beside $deaf that do not',
    async ({ policy, deaf }) => {
      const yaml = form
        .yaml(`slow_consumer: ${policy}`)
        .replace('messages: 100, bytes: 8MiB', 'messages: 20000');
      const run = await startEngine(yaml);
      const { stage, stream } = form;
      const listens = await run.logged(
        /^listening on /,
        (line) => line.stream === stream && line.stage === stage,
      );
      const url = String(listens['url']);
      for (let n = 0; n < deaf; n++) (await rawUpgrade(url)).socket.pause();
      const readers = await Promise.all(Array.from({ length: 2 }, () => connectClient(url)));
      const got = readers.map(({ socket }) => {
        const seen: number[] = [];
        socket.on('message', (data: Buffer) => seen.push(numberOf(data)));
        return seen;
      });
      await run.metricIs(deaf + 2, 'millrace_connections_open', `stage="${stage}"`, `stream="${stream}"`);
      const into = await run.logged(/^listening on /, (line) => String(line['url']).endsWith('/in'));
      const feed = await connectClient(String(into['url']));
      await send(feed, ...many.map(short));
      for (const seen of got) {
        await until('all of it', () => seen.at(-1) === many.length - 1, {
          state: () => `${seen.length} came, the last ${seen.at(-1)}`,
        });
        expect(seen.length).toBe(many.length);
        expect(seen).toEqual(many);
      }
      if (deaf === 0)
        expect(await run.metric('millrace_messages_dropped_total', 'reason="slow_consumer"')).toBe(0);
    },
    60_000,
  );
});

test.each(['drop_oldest', 'disconnect'])(
  '%s: a session that reads a little at a time does not hold the others',
  async (policy) => {
    const stage = await setUp(forms[0], `slow_consumer: ${policy}`);
    const { stalled, run, feed, healthy } = stage;
    const sip = setInterval(() => stalled.socket.read(2048), 10);
    try {
      await send(feed, ...all.map(message));
      await until('the reader to have all', () => healthy.length === MESSAGES);
      expect(healthy).toEqual(all);
      expect(await run.metric('millrace_messages_dropped_total', 'reason="slow_consumer"')).toBeGreaterThan(
        0,
      );
    } finally {
      clearInterval(sip);
    }
  },
  60_000,
);

test('max_outgoing_bytes of the output goes before that of the input', async () => {
  const stage = await setUp(forms[0], 'slow_consumer: drop_oldest, max_outgoing_bytes: 1MiB');
  await feedAll(stage);
  stage.stalled.socket.resume();
  await until('the newest', () => numbers(stage.stalled).at(-1) === MESSAGES - 1);
  const got = numbers(stage.stalled);
  const gap = got.findIndex((number, index) => number !== index);
  expect(got.length - gap).toBeGreaterThan(10);
  expect(got.length - gap).toBeLessThanOrEqual(16);
}, 60_000);

import { once } from 'node:events';
import { createServer, Socket, type AddressInfo, type Server } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { Delivery } from '../../src/message/delivery.ts';
import { joinDeliveries } from '../../src/message/delivery.ts';
import { EndOfInputError, MillraceError, NotConnectedError } from '../../src/errors.ts';
import type { Processor } from '../../src/component/contracts.ts';
import {
  collecting,
  engineFor,
  metric,
  numbers,
  settling,
  testInput,
  testProcessor,
  textsOf,
} from './harness.ts';
import { until } from '../support/until.ts';

const backoff = { initial: 5, max: 20, attempts: Infinity };

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A server that answers each line with the same in upper case. It can be killed, and come back on its port. */
class Upper {
  connections = 0;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;
  /** Answers are held until it resolves. */
  held: Promise<void> = Promise.resolve();

  constructor() {
    closers.push(() => this.kill());
  }

  get port(): number {
    return this.#port;
  }

  async start(): Promise<void> {
    this.#server = createServer((socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket));
      socket.on('data', (data) => void this.held.then(() => socket.write(data.toString().toUpperCase())));
    });
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  kill(): void {
    this.#server?.close();
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }
}

/** Has the server answer every message, one after the other. */
function asking(server: Upper): Processor {
  let socket: Socket | undefined;
  let tail: Promise<unknown> = Promise.resolve();
  const ask = async (text: string): Promise<Buffer> => {
    const open = socket;
    if (open === undefined || open.destroyed) throw new NotConnectedError('the server is away');
    open.write(text);
    const gone = new AbortController();
    const stop = (): void => gone.abort();
    open.once('close', stop);
    try {
      const [answer] = (await once(open, 'data', { signal: gone.signal })) as [Buffer];
      return answer;
    } catch (error) {
      throw new NotConnectedError('the server has hung up', error);
    } finally {
      open.off('close', stop);
    }
  };
  return {
    backoff,
    async connect(signal) {
      const next = new Socket({ signal });
      next.connect({ host: '127.0.0.1', port: server.port });
      await once(next, 'connect', { signal });
      next.on('error', () => {});
      socket = next;
    },
    async process(batch, { reject }) {
      if (textsOf(batch)[0] === 'bad')
        reject({ index: 0, error: new MillraceError('MILLRACE_PROCESSOR_FAILED', 'bad') });
      const asked = tail.then(async () => {
        const answers: Buffer[] = [];
        for (const text of textsOf(batch)) answers.push(await ask(text));
        return batch.withPayloads(answers, 'bytes');
      });
      tail = asked.catch(() => {});
      const answered = await asked;
      return textsOf(batch)[0] === 'bad' ? [] : [answered];
    },
    close: () => void socket?.destroy(),
  };
}

const name = (number: number): string => `n${number}`;

const file = (threads: number, processors: string): string =>
  `streams: [{ id: s, input: { type: numbers }, pipeline: { thread_num: ${threads}, processors: [${processors}] }, output: { type: collect }, error_output: { type: letters } }]`;

const reasons = (engine: ReturnType<typeof engineFor>): readonly string[] => engine.health()[0]!.reasons;

describe('a processor that talks to something', () => {
  test('waits for its server, says so in readiness, and loses, repeats and rejects nothing', async () => {
    const server = new Upper();
    await server.start();
    server.kill();
    const input = numbers(200, (number) => (number === 3 ? 'bad' : `n${number}`));
    const [output, letters] = [collecting('collect'), collecting('letters')];
    const engine = engineFor(file(4, '{ type: asking }'), [
      input.definition,
      output.definition,
      letters.definition,
      testProcessor('asking', asking(server)),
    ]);
    const ended = engine.run();
    const away = /^processor asking is not connected: .*ECONNREFUSED.* \(since .*Z\)$/;
    await until('it says that it waits', () => reasons(engine).some((reason) => away.test(reason)));
    expect(output.texts).toEqual([]);
    await server.start();
    await until('some are there', () => output.texts.length > 20);
    // In the middle of it, with several batches on their way.
    const { promise: held, resolve: goOn } = Promise.withResolvers<void>();
    server.held = held;
    server.kill();
    goOn();
    await until('it says that it is away', () =>
      reasons(engine).some((reason) => reason.startsWith('processor asking is not connected: ')),
    );
    await server.start();
    expect(await ended).toEqual({ failed: [], left: [] });
    const expected = Array.from({ length: 200 }, (_, number) => `N${number}`);
    expect(output.texts).toEqual(expected.filter((text) => text !== 'N3'));
    expect(letters.texts.map((letter) => (JSON.parse(letter) as { payload: string }).payload)).toEqual([
      'bad',
    ]);
    expect([...input.settled.values()]).toEqual(Array.from({ length: 200 }));
    expect(server.connections).toBe(2);
    const labels = 'stream="s",stage="processor"';
    expect(await metric(engine, 'millrace_reconnects_total', labels)).toBeGreaterThanOrEqual(2);
  });

  test('is tried again after a pause if it has no connection of its own', async () => {
    const input = numbers(3, name);
    const [output, letters] = [collecting('collect'), collecting('letters')];
    let calls = 0;
    const engine = engineFor(file(1, '{ type: shaky }'), [
      input.definition,
      output.definition,
      letters.definition,
      testProcessor('shaky', {
        backoff,
        process: (batch) => {
          if (++calls % 3 !== 0) throw new NotConnectedError('not now');
          return [batch];
        },
      }),
    ]);
    expect(await engine.run()).toEqual({ failed: [], left: [] });
    expect([output.texts, letters.texts, calls]).toEqual([['n0', 'n1', 'n2'], [], 9]);
  });

  test('fails the stream when its attempts are used up: nothing is rejected or confirmed', async () => {
    const input = numbers(1, name);
    const [output, letters] = [collecting('collect'), collecting('letters')];
    const engine = engineFor(file(1, '{ type: gone }'), [
      input.definition,
      output.definition,
      letters.definition,
      testProcessor('gone', {
        backoff: { ...backoff, attempts: 3 },
        connect: () => Promise.reject(new Error('nobody')),
        process: (batch) => [batch],
      }),
    ]);
    expect(await engine.run()).toMatchObject({ failed: ['s'] });
    expect(reasons(engine)).toEqual([expect.stringMatching('gave up after 3 attempts: nobody')]);
    expect([output.texts, letters.texts]).toEqual([[], []]);
    expect([...input.settled.values()].filter((error) => error === undefined)).toEqual([]);
  });

  test('does not hold up the end of a stream that has no message for it', async () => {
    const engine = engineFor(file(1, '{ type: gone }'), [
      numbers(0, name).definition,
      collecting('collect').definition,
      collecting('letters').definition,
      testProcessor('gone', {
        connect: () => Promise.reject(new Error('nobody')),
        process: (batch) => [batch],
      }),
    ]);
    expect(await engine.run()).toEqual({ failed: [], left: [] });
  });

  test('may have kept messages of a batch that it is given again: each is confirmed, once it is delivered', async () => {
    const input = numbers(6, name);
    const [output, letters] = [collecting('collect'), collecting('letters')];
    const held: Delivery[] = [];
    let processed = 0;
    let flushes = 0;
    const engine = engineFor(file(1, '{ type: keeper }'), [
      input.definition,
      output.definition,
      letters.definition,
      testProcessor('keeper', {
        ordered: true,
        backoff,
        process: (batch, { keep }) => {
          const receipt = keep();
          if (++processed % 2 === 1) throw new NotConnectedError('not now');
          held.push({ batch, receipt });
          return [];
        },
        flush: () => {
          expect(input.settled.size).toBe(0);
          if (++flushes < 3) throw new NotConnectedError('not now');
          return joinDeliveries(held.splice(0));
        },
      }),
    ]);
    expect(await engine.run()).toEqual({ failed: [], left: [] });
    expect(output.texts).toEqual(['n0', 'n1', 'n2', 'n3', 'n4', 'n5']);
    expect([...input.settled.values()]).toEqual(Array.from({ length: 6 }));
  });

  test('is connected by `check --dial`, too', async () => {
    const server = new Upper();
    await server.start();
    const own = [
      numbers(0, name).definition,
      collecting('collect').definition,
      collecting('letters').definition,
      testProcessor('asking', asking(server)),
    ];
    const dial = async () =>
      (await engineFor(file(1, '{ type: asking }'), own).dial(AbortSignal.timeout(10_000))).filter(
        ({ stage }) => stage === 'processor',
      );
    expect(await dial()).toEqual([{ stream: 's', stage: 'processor', type: 'asking' }]);
    server.kill();
    expect(await dial()).toEqual([
      {
        stream: 's',
        stage: 'processor',
        type: 'asking',
        error: expect.objectContaining({ code: 'ECONNREFUSED' }),
      },
    ]);
  });
});

describe('a flush that is due', () => {
  test('is pending once, however late it is', async () => {
    const [output, letters] = [collecting('collect'), collecting('letters')];
    const { promise: slow, resolve: goOn } = Promise.withResolvers<void>();
    let looks = 0;
    let flushes = 0;
    let due: number | undefined;
    const held: Delivery[] = [];
    const keeper: Processor = {
      ordered: true,
      get flushAt() {
        looks++;
        return due;
      },
      process: (batch, { keep }) => {
        held.push({ batch, receipt: keep() });
        due = performance.now();
        return [];
      },
      flush: () => {
        flushes++;
        due = undefined;
        return joinDeliveries(held.splice(0));
      },
    };
    let given = 0;
    const { promise: end, resolve: endInput } = Promise.withResolvers<void>();
    const input = testInput('numbers', {
      read: async () => {
        if (given === 2) await end.then(() => Promise.reject(new EndOfInputError()));
        return settling([`n${given++}`], () => {});
      },
    });
    const engine = engineFor(file(2, '{ type: first }, { type: keeper }'), [
      input,
      output.definition,
      letters.definition,
      testProcessor('first', {
        process: async (batch) => {
          if (textsOf(batch)[0] === 'n1') await slow;
          return [batch];
        },
      }),
      testProcessor('keeper', keeper),
    ]);
    const ended = engine.run();
    // The keeper has n0, and n1 has its turn before the flush, whose time has long passed.
    await until('it is due', () => due !== undefined);
    const since = performance.now();
    await until('it is late', () => performance.now() > since + 300);
    expect(flushes).toBe(0);
    const before = looks;
    goOn();
    await until('what was kept is there', () => output.texts.length === 2);
    endInput();
    await ended;
    expect(output.texts).toEqual(['n0', 'n1']);
    // One for n0 and n1 or two, and one at the end.
    expect(flushes).toBeLessThanOrEqual(3);
    expect(before).toBeLessThan(50);
  });
});

import { createServer, type Server as TcpServer } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { Input } from '../../src/component/contracts.ts';
import { defineInput, defineProcessor, kinds } from '../../src/component/define.ts';
import { secret } from '../../src/component/fields.ts';
import { EndOfInputError, MillraceError, NotConnectedError } from '../../src/errors.ts';
import { Batch } from '../../src/message/batch.ts';
import { createReceipt } from '../../src/message/receipt.ts';
import { conformance, type Subject } from '../../src/testing-api.ts';
import {
  about,
  BAD,
  copied,
  given,
  goodInput,
  goodProcessor,
  LineDecoder,
  never,
  Server,
  toyCodec,
  toyFraming,
  toyInput,
  toyOutput,
  toyProcessor,
  type Line,
  type Toy,
} from './toys.ts';

const timers: NodeJS.Timeout[] = [];
const servers: TcpServer[] = [];
afterEach(() => {
  for (const timer of timers.splice(0)) clearInterval(timer);
  for (const server of servers.splice(0)) server.close();
});

/** A timer that nobody clears. */
const tick = (): void => void timers.push(setInterval(() => {}, 60_000));

const as = (toy: Toy, more: Subject): Toy => ({ ...toy, subject: { ...toy.subject, ...more } });

type Phase = 'made' | 'prepared' | 'connecting' | 'connected' | 'lost';

/** An output whose `close` never resolves in one phase, at its first call or at its second. */
const stuckIn = (stuck: Phase, call: number): Toy =>
  toyOutput((good) => {
    let phase: Phase = 'made';
    let calls = 0;
    return {
      prepare: () => Promise.resolve(void (phase = 'prepared')),
      async connect(signal, lost) {
        phase = 'connecting';
        try {
          await good.connect(signal, lost);
          phase = 'connected';
        } catch (error) {
          phase = 'lost';
          throw error;
        }
      },
      close: (signal) => (phase === stuck && ++calls === call ? never() : good.close(signal)),
    };
  });

/** Each breaks one promise: the case for it, the component, and the words by which its author knows. */
const broken: readonly (readonly [string, Toy, RegExp])[] = [
  [
    'the examples of its definition load',
    {
      definition: defineProcessor({
        ...about,
        examples: [{ title: 'Wrong', yaml: 'type: toy\nnone: 1\n' }],
        create: () => goodProcessor,
      }),
      subject: { refused: BAD },
    },
    /the example “Wrong” does not load: .*none/,
  ],
  [
    'a field that it does not have is a mistake',
    {
      definition: defineProcessor({
        ...about,
        // Whatever a file says there is taken.
        schema: z.strictObject({ field_of_nobody: z.unknown().optional().describe('Anything.') }),
        create: () => goodProcessor,
      }),
      subject: { refused: BAD },
    },
    /the field field_of_nobody is taken/,
  ],
  [
    'prepare does not need the peer, and leaves nothing behind',
    toyOutput((good) => {
      const open: NodeJS.Timeout[] = [];
      return {
        prepare: () => Promise.resolve(void open.push(setInterval(() => {}, 60_000))),
        close(signal) {
          for (const timer of open) clearInterval(timer);
          return good.close(signal);
        },
      };
    }),
    /nothing is left.*Still there: 1 × Timeout/,
  ],
  [
    'prepare does not need the peer, and leaves nothing behind',
    toyOutput((_, server) => ({
      prepare: async () => (await server.dial(new AbortController().signal)).close(),
    })),
    /it reports mistakes: the server is away/,
  ],
  [
    'a mistake is reported before anything runs',
    as(
      toyProcessor(() => ({})),
      { mistake: {} },
    ),
    /the mistake is not reported by loading the file, nor by prepare/,
  ],
  [
    'no secret of its fields is in logs, metrics, readiness, mistakes or metadata',
    tellingInput(),
    /a secret is shown: .*"source":"a-token-to-keep"/,
  ],
  [
    'its metrics go with its stream',
    toyOutput((good, _, { events }) => ({
      async connect(signal, lost) {
        // It goes on for ever.
        timers.push(setInterval(() => events.messagesDropped('nobody', 1), 1).unref());
        await good.connect(signal, lost);
      },
    })),
    /they are still there: millrace_messages_dropped_total/,
  ],
  [
    'no timer, socket, server or open file is left after its end',
    toyOutput((good) => ({
      async connect(signal, lost) {
        tick();
        await good.connect(signal, lost);
      },
    })),
    /Still there: 1 × Timeout/,
  ],
  [
    'no timer, socket, server or open file is left after its end',
    toyOutput((good) => ({
      async connect(signal, lost) {
        servers.push(createServer().listen(0, '127.0.0.1'));
        await good.connect(signal, lost);
      },
    })),
    /Still there: .*1 × TCPServerWrap/,
  ],
  ['it can be closed before anything else, and closed again', stuckIn('made', 1), /close has not ended/],
  ['it can be closed once it is prepared, and closed again', stuckIn('prepared', 1), /close has not ended/],
  ['it can be closed while it connects, and closed again', stuckIn('connecting', 1), /close has not ended/],
  [
    'it can be closed once it is connected, and closed again',
    stuckIn('connected', 2),
    /close, called again, has not ended/,
  ],
  [
    'it can be closed while it reads, and closed again',
    toyInput((good) => {
      let reading = false;
      return {
        async read(signal) {
          reading = true;
          try {
            return await good.read(signal);
          } finally {
            reading = false;
          }
        },
        close: (signal) => (reading ? never() : good.close(signal)),
      };
    }),
    /close has not ended/,
  ],
  [
    'a connect that waits for an answer ends when it is aborted',
    toyOutput((good) => ({
      connect: (_signal, lost) => good.connect(new AbortController().signal, lost),
    })),
    /connect, which was aborted, has not ended/,
  ],
  [
    'a connect that waits for an answer ends when it is aborted',
    toyInput((good) => ({ connect: () => good.connect(new AbortController().signal) })),
    /connect, which was aborted, has not ended/,
  ],
  [
    'a stream whose peer is away ends at once when it is aborted',
    toyOutput((good, server) => ({
      async connect(signal, lost) {
        await good.connect(signal, lost).catch(async (error: unknown) => {
          if (!(error instanceof NotConnectedError)) throw error;
          await server.back();
          await good.connect(signal, lost);
        });
      },
    })),
    /the stream, which was aborted, has not ended/,
  ],
  [
    'a read that waits for messages ends when it is aborted',
    toyInput((good) => {
      let reads = 0;
      return { read: (signal) => good.read(reads++ === 0 ? new AbortController().signal : signal) };
    }),
    /read, which was aborted, has not ended/,
  ],
  [
    'a write that the peer does not take ends when it is aborted',
    toyOutput((good) => ({
      write: (batch, call) => good.write(batch, { ...call, signal: new AbortController().signal }),
    })),
    /the stream, which was aborted, has not ended/,
  ],
  [
    'it connects again when the connection was lost, and messages keep their order',
    toyOutput((good, server) => {
      let last: readonly string[] = [];
      return {
        async connect(signal, lost) {
          await good.connect(signal, lost);
          // To be sure.
          server.texts.push(...last);
        },
        async write(batch, call) {
          const result = await good.write(batch, call);
          last = batch.payloads.map(String);
          return result;
        },
      };
    }),
    /what came out: expected 6: .*, and there were 9: /,
  ],
  [
    'it connects again when the connection was lost, and messages keep their order',
    toyInput((good) => ({
      read: (signal) =>
        good.read(signal).catch((error: unknown) => {
          throw error instanceof NotConnectedError ? new Error('it is over') : error;
        }),
    })),
    /connecting to the peer has not ended/,
  ],
  [
    'messages that were not confirmed when the connection was lost come again',
    as(
      toyInput(() => ({})),
      { repeats: true },
    ),
    /every message comes, and one comes again\..*has no `repeats`/,
  ],
  [
    'messages for nobody are dropped, or rejected, as it says, and hold nothing up',
    as(
      toyOutput(() => ({})),
      { whileAway: 'drops' },
    ),
    /They wait; an output whose messages wait has no `whileAway`/,
  ],
  [
    'messages come through, each once, in order',
    toyProcessor(() => ({
      process(batch, call) {
        // It goes on as well.
        if (!batch.payloads.map(String).includes(BAD))
          call.reject({ index: 0, error: new MillraceError('MILLRACE_PROCESSOR_FAILED', 'not nice') });
        return goodProcessor.process(batch, call);
      },
    })),
    /rejected: expected 0: \[\], and there were 2: /,
  ],
  [
    'nothing is lost, repeated or out of order while the output fails',
    toyProcessor(() => ({
      process(batch, call) {
        const made = goodProcessor.process(batch, call) as Batch[];
        // It wants its memory back soon.
        const reuse = (): void => {
          for (const { payloads } of made) for (const payload of payloads) payload.fill(0x20);
        };
        setTimeout(reuse, 2).unref();
        return made;
      },
    })),
    /what came out: expected 6: /,
  ],
  [
    'a message that it can never take is a dead letter alone, and its neighbours go on in order',
    toyCodec({
      decode(batch) {
        if (!batch.payloads.map(String).includes(BAD)) return batch;
        throw new MillraceError('MILLRACE_PROCESSOR_FAILED', 'one is bad');
      },
    }),
    /6 messages come out\. 0 did, 7 were rejected/,
  ],
  [
    'when it is drained, it gives the messages that it has taken in, and ends',
    toyInput((good) => {
      let open = 0;
      let late = false;
      return {
        async read(signal) {
          // Messages that were open at the drain are settled by now, but it has not heard of it.
          const { batch, receipt } = await good.read(signal).catch(async (error: unknown) => {
            if (late && error instanceof EndOfInputError) await never();
            throw error;
          });
          open++;
          const settled = (): void => {
            open--;
            receipt.done();
          };
          return { batch, receipt: createReceipt({ settled }) };
        },
        drain() {
          late = open > 0;
          good.drain?.();
        },
      };
    }),
    /the stream, which is to drain, has not ended/,
  ],
  [
    'a message that a processor rejects does not hold its neighbours, and every receipt is settled',
    waitingInput(),
    /5 messages come out\. 1 did, 1 were rejected/,
  ],
  [
    'when the stream drains, the peer gets every message that was taken in',
    toyOutput((good) => ({
      // It lingers, and forgets at its end.
      write: (batch, call) => (batch.length === 1 ? Promise.resolve() : good.write(batch, call)),
    })),
    /messages come out\. 0 did/,
  ],
  [
    'it leaves the batches that it is given as they are',
    toyProcessor(() => ({
      process(batch, call) {
        const made = copied(batch);
        for (const payload of batch.payloads) if (String(payload) !== BAD) payload.fill(0x20);
        return goodProcessor.process(made, call);
      },
    })),
    /process has written into the batch that it was given/,
  ],
  [
    'every receipt is settled exactly once, when the stream has drained',
    toyProcessor(() => ({
      process(batch, call) {
        // It waits for a second message, and forgets the first.
        if (batch.length === 1) call.keep();
        return goodProcessor.process(batch, call);
      },
    })),
    /messages were taken in and not seen to: .*not confirmed/,
  ],
  [
    'every receipt is settled exactly once, when the stream has drained',
    toyProcessor(() => ({
      process(batch, call) {
        const [made] = goodProcessor.process(batch, call) as [Batch];
        const receipt = call.keep();
        receipt.done();
        return [{ batch: made, receipt }];
      },
    })),
    /a receipt of `keep` was settled twice, or settled and passed on as well/,
  ],
  [
    'the messages of a stream come out of the frames that they were put into',
    {
      ...toyFraming({ fit: (payload, format) => (format === 'json' ? payload : payload.slice(1)) }),
      subject: {},
    },
    /what came out: expected 6: /,
  ],
  [
    'it finds the same messages however the bytes are cut, and is ready for others after the end',
    toyFraming({
      decoder: (longest) => {
        const lines = new LineDecoder(longest);
        return {
          push(bytes, out) {
            lines.push(bytes, out);
            lines.flush(out);
          },
          flush: () => {},
        };
      },
    }),
    /in pieces of 1 bytes: expected 6: /,
  ],
  [
    'a message longer than the longest allowed is not given',
    toyFraming({ decoder: () => new LineDecoder(Infinity) }),
    /a message of \d+ bytes is given/,
  ],
  [
    'a frame that is wrong is rejected alone, and its neighbours go on in order',
    toyFraming({
      decoder: (longest) =>
        new (class extends LineDecoder {
          protected override line(line: Uint8Array, out: Parameters<LineDecoder['push']>[1]): void {
            if (String(line) !== BAD) super.line(line, out);
          }
        })(longest),
    }),
    /the wrong frame is not rejected/,
  ],
];

/** It shows its token as the source of its messages. */
function tellingInput(): Toy {
  const server = new Server();
  const definition = defineInput({
    ...about,
    schema: z.strictObject({ token: secret().default('').describe('A secret.') }),
    create({ token }): Input {
      const good = goodInput(server);
      return {
        ...good,
        async read(signal) {
          const { batch, receipt } = await good.read(signal);
          const runs = [{ start: 0, origin: { source: token, ext: {} }, time: 0 }];
          return { batch: new Batch(batch.payloads, { runs }), receipt };
        },
      };
    },
  });
  return { definition, subject: { peer: server, config: { token: 'a-token-to-keep' } } };
}

/** It gives one message after the other, each when the last is delivered: one that is rejected never is. */
function waitingInput(): Toy {
  return toyInput((_, server) => {
    let line: Line | undefined;
    let free = true;
    let draining = false;
    const wake = (): void => line?.changed.wake();
    return {
      connect: async (signal) => void (line = await server.dial(signal)),
      async read(signal) {
        const own = line!;
        const due = (): boolean => free && own.inbox.length > 0;
        await own.changed.until(() => due() || !own.open || draining, signal);
        if (!due() && draining) throw new EndOfInputError();
        if (!due()) throw new NotConnectedError('the connection was cut');
        free = false;
        return given(own.inbox.shift()!, (_error, rejected) => {
          free = rejected.length === 0;
          wake();
        });
      },
      drain() {
        draining = true;
        wake();
      },
      close: () => Promise.resolve(line?.close()),
    };
  });
}

/** The case that fails is to fail soon; the others may take their time. */
const SOON = 800;

describe.each(broken)('%s', (name, { definition, subject }, says) => {
  test('a component that breaks it does not pass, and is told why', async () => {
    const found = [...conformance(definition, { ...subject, patience: SOON })].find(
      (each) => each.name === name,
    );
    expect(found).toBeDefined();
    await expect(found!.run()).rejects.toThrow(says);
  });

  test('and passes every other case', async () => {
    const failed: string[] = [];
    for (const each of conformance(definition, subject)) {
      if (each.name === name) continue;
      await each.run().catch((error: unknown) => failed.push(`${each.name}: ${String(error)}`));
    }
    expect(failed).toEqual([]);
  });
});

test('every case of the kit can fail', () => {
  const toys = [
    toyInput(() => ({})),
    toyOutput(() => ({})),
    toyProcessor(() => ({})),
    toyCodec({}),
    toyFraming({}),
  ];
  const all = toys.flatMap(({ definition, subject }) => {
    const { cases, leftOut } = conformance(definition, subject);
    return [...cases, ...leftOut].map(({ name }) => name);
  });
  expect(toys.length).toBe(kinds.length - 1);
  expect(new Set(broken.map(([name]) => name))).toEqual(new Set(all));
});

test('an input that gives unconfirmed messages again, as it says, passes', async () => {
  const { definition, subject } = toyInput((_good, server) => {
    const good = goodInput(server);
    return {
      ...good,
      async connect(signal) {
        await good.connect(signal);
        const pending = [...server.pending];
        server.pending.clear();
        server.push(pending);
      },
    };
  });
  for (const { run } of conformance(definition, { ...subject, repeats: true })) await run();
});

test('a case that needs more than it was given is left out, and the list says what is missing', () => {
  const { definition } = toyOutput(() => ({}));
  const { cases, leftOut } = conformance(definition);
  const name = 'when the stream drains, the peer gets every message that was taken in';
  expect(cases.map((each) => each.name)).not.toContain(name);
  expect(leftOut).toContainEqual({ name, why: 'a `peer`' });
});

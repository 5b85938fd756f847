import { z } from 'zod';
import type { Context } from '../../src/component/context.ts';
import type { Codec, Input, Output, Processor } from '../../src/component/contracts.ts';
import {
  type AnyDefinition,
  defineCodec,
  defineFraming,
  defineInput,
  defineOutput,
  defineProcessor,
} from '../../src/component/define.ts';
import type { FrameDecoder, Framing, Unframed } from '../../src/component/framing/framing.ts';
import { abortable, Waker } from '../../src/component/waker.ts';
import { EndOfInputError, MillraceError, NotConnectedError } from '../../src/errors.ts';
import { Batch } from '../../src/message/batch.ts';
import { createReceipt } from '../../src/message/receipt.ts';
import type { Peer, Subject } from '../../src/testing-api.ts';

/** Resolves never. */
export const never = (): Promise<never> => new Promise(() => {});

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A message that every toy refuses. */
export const BAD = '!bad';

const refusal = new MillraceError('MILLRACE_OUTPUT_REFUSED', 'it is bad');

/** A connection to a `Server`. */
export class Line {
  readonly inbox: string[] = [];
  readonly changed = new Waker();
  open = true;
  readonly #lost: (error: Error) => void;

  constructor(lost: (error: Error) => void) {
    this.#lost = lost;
  }

  /** From the server's side. */
  cut(): void {
    this.close();
    this.#lost(new NotConnectedError('the connection was cut'));
  }

  close(): void {
    this.open = false;
    this.changed.wake();
  }
}

/** A server in this process, which costs nothing: the peer of a toy. */
export class Server implements Peer {
  readonly texts: string[] = [];
  /** Messages that are not confirmed. */
  readonly pending = new Set<string>();
  readonly #changed = new Waker();
  #lines: Line[] = [];
  #up = false;
  /** Counts starts: a connection that began before is not one to this server. */
  #life = 0;
  #frozen = false;

  start(): void {
    this.texts.length = 0;
    this.pending.clear();
    this.#frozen = false;
    this.#life++;
    this.restart();
  }

  stop(): void {
    this.#up = false;
    for (const line of this.#lines.splice(0)) line.cut();
  }

  restart(): void {
    this.#up = true;
    this.#changed.wake();
  }

  freeze(): void {
    this.#frozen = true;
  }

  async connected(): Promise<void> {
    await this.#changed.until(() => this.#lines.some(({ open }) => open), new AbortController().signal);
  }

  push(messages: readonly string[]): void {
    for (const message of messages) this.pending.add(message);
    const line = this.#lines.at(-1);
    line?.inbox.push(...messages);
    line?.changed.wake();
  }

  arrived(): readonly string[] {
    return this.texts;
  }

  /** Resolves when it is there. */
  async back(): Promise<void> {
    await this.#changed.until(() => this.#up, new AbortController().signal);
  }

  /** Resolves when it answers. */
  async answer(signal: AbortSignal): Promise<void> {
    if (this.#frozen) await abortable(never(), signal);
  }

  async dial(signal: AbortSignal, lost: (error: Error) => void = () => {}): Promise<Line> {
    const life = this.#life;
    // As a real one does, it takes a turn.
    await turn();
    await this.answer(signal);
    if (!this.#up || life !== this.#life) throw new NotConnectedError('the server is away');
    const line = new Line(lost);
    this.#lines.push(line);
    this.#changed.wake();
    return line;
  }
}

export const about = {
  type: 'toy',
  summary: 'A toy.',
  status: 'stable',
  schema: z.strictObject({}),
  examples: [{ title: 'A toy', yaml: 'type: toy\n' }],
} as const;

const backoff = { initial: 1, max: 5, attempts: Infinity };

/** An input that keeps every promise. */
export function goodInput(server: Server): Input {
  let line: Line | undefined;
  let draining = false;
  return {
    backoff,
    connect: async (signal) => void (line = await server.dial(signal)),
    async read(signal) {
      const own = line;
      if (own === undefined) throw new NotConnectedError('not connected');
      await own.changed.until(() => own.inbox.length > 0 || !own.open || draining, signal);
      const text = own.inbox.shift();
      if (text !== undefined) return given(text, () => void server.pending.delete(text));
      if (draining) throw new EndOfInputError();
      throw new NotConnectedError('the connection was cut');
    },
    drain() {
      draining = true;
      line?.changed.wake();
    },
    close: () => Promise.resolve(line?.close()),
  };
}

export function given(text: string, settled: (error: unknown, rejected: readonly unknown[]) => void) {
  return { batch: new Batch([Buffer.from(text)]), receipt: createReceipt({ settled }) };
}

/** An output that keeps every promise. */
export function goodOutput(server: Server): Output {
  let line: Line | undefined;
  return {
    backoff,
    connect: async (signal, lost) => void (line = await server.dial(signal, lost)),
    async write(batch, { signal }) {
      if (line?.open !== true) throw new NotConnectedError('the connection was cut');
      await server.answer(signal);
      const texts = batch.payloads.map(String);
      server.texts.push(...texts.filter((text) => text !== BAD));
      return { refused: badIn(texts).map((index) => ({ index, error: refusal })) };
    },
    close: () => Promise.resolve(line?.close()),
  };
}

const badIn = (texts: readonly string[]): number[] =>
  [...texts.keys()].filter((index) => texts[index] === BAD);

/** A processor that keeps every promise: it copies. */
export const goodProcessor: Processor = {
  process(batch, { reject }) {
    const bad = badIn(batch.payloads.map(String));
    for (const index of bad) reject({ index, error: refusal });
    return [copied(batch).without(bad)];
  },
};

export function copied(batch: Batch): Batch {
  return batch.withPayloads(
    batch.payloads.map((payload) => Buffer.from(payload)),
    batch.format,
  );
}

/** A codec that keeps every promise. */
export const goodCodec: Codec = {
  decode(batch, reject) {
    const bad = badIn(batch.payloads.map(String));
    for (const index of bad) reject({ index, error: refusal });
    return batch.without(bad);
  },
  encode: (batch) => batch,
};

/** Finds lines. */
export class LineDecoder implements FrameDecoder {
  readonly #longest: number;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(longest: number) {
    this.#longest = longest;
  }

  push(bytes: Uint8Array, out: Unframed): void {
    const lines = Buffer.concat([this.#rest, bytes]).toString('latin1').split('\n');
    this.#rest = Buffer.from(lines.pop()!, 'latin1');
    for (const line of lines) this.line(Buffer.from(line, 'latin1'), out);
  }

  flush(out: Unframed): void {
    if (this.#rest.length > 0) this.line(this.#rest, out);
    this.#rest = new Uint8Array(0);
  }

  protected line(line: Uint8Array, out: Unframed): void {
    if (String(line) === BAD || line.length > this.#longest) out.reject(line, refusal);
    else out.add(line);
  }
}

/** A framing that keeps every promise: lines. */
export const goodFraming: Framing = {
  decoder: (longest) => new LineDecoder(longest),
  binary: false,
  overhead: 1,
  fit: (payload) => payload,
  join: (messages) => Buffer.concat(messages.flatMap((message) => [message, Buffer.from('\n')])),
};

/** A toy, and everything that the kit needs to try it. */
export interface Toy {
  readonly definition: AnyDefinition;
  readonly subject: Subject;
}

/** A toy that is the good one but for what `change` returns. */
export function toyInput(change: (good: Input, server: Server, context: Context) => Partial<Input>): Toy {
  const server = new Server();
  const create = (_: unknown, context: Context): Input => {
    const good = goodInput(server);
    return { ...good, ...change(good, server, context) };
  };
  return { definition: defineInput({ ...about, create }), subject: { peer: server } };
}

/** As `toyInput`. */
export function toyOutput(change: (good: Output, server: Server, context: Context) => Partial<Output>): Toy {
  const server = new Server();
  const create = (_: unknown, context: Context): Output => {
    const good = goodOutput(server);
    return { ...good, ...change(good, server, context) };
  };
  return { definition: defineOutput({ ...about, create }), subject: { peer: server, refused: BAD } };
}

/** As `toyInput`. */
export function toyProcessor(change: () => Partial<Processor>): Toy {
  const create = (): Processor => ({ ...goodProcessor, ...change() });
  return { definition: defineProcessor({ ...about, create }), subject: { refused: BAD } };
}

export function toyCodec(codec: Partial<Codec>): Toy {
  const create = (): Codec => ({ ...goodCodec, ...codec });
  return { definition: defineCodec({ ...about, create }), subject: { refused: BAD } };
}

export function toyFraming(framing: Partial<Framing>): Toy {
  const create = (): Framing => ({ ...goodFraming, ...framing });
  return { definition: defineFraming({ ...about, create }), subject: { refused: `${BAD}\n` } };
}

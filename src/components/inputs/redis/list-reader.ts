import type { RedisLink, RedisReply } from '../../../clients/redis/link.ts';
import { Contiguous } from '../../../delivery/contiguous.ts';
import { NotConnectedError } from '../../../errors.ts';
import { Batch, nowMicros, type Origin } from '../../../message/batch.ts';
import type { InputDelivery } from '../../../message/delivery.ts';
import { createReceipt } from '../../../message/receipt.ts';
import type { ListKind } from './config.ts';
import { ReadSize } from './read-size.ts';
import type { Links, RedisReader } from './reader.ts';

/** How long one read waits for an element, in seconds: of the only list, and of one where they are asked in turn. */
const BLOCK = 1;
const BLOCK_IN_TURN = 0.1;

/**
 * A list, and another one to which elements move as they are read. They leave that one when they are done, so that a crash
 * loses none. Elements count from 0 in the order in which they move.
 */
interface Source {
  readonly key: string;
  readonly taken: string;
  /** A key that counts the elements that have left `taken`: it tells whether a removal has happened that nobody confirmed. */
  readonly removals: string;
  readonly origin: Origin;
  readonly done: Contiguous;
  /** The next element to deliver. */
  next: number;
  /** Elements that have left `taken`. */
  removed: number;
  /** The value of `removals` when none had. */
  base: number | undefined;
  removing: Promise<void> | undefined;
  /** Whether `taken` may have elements that are not delivered yet. */
  isBehind: boolean;
}

/** Takes elements from the start of lists. */
export class ListReader implements RedisReader {
  readonly #sources: readonly Source[];
  readonly #size = new ReadSize();
  #links: Links | undefined;
  #turn = 0;

  constructor(kind: ListKind, source: string, consumer: string) {
    this.#sources = kind.list.map((key) => {
      // In a cluster, keys are together if they have the same text in braces.
      const taken = `${/\{[^}]+\}/.test(key) ? key : `{${key}}`}:taken:${consumer}`;
      return {
        key,
        taken,
        removals: `${taken}:removals`,
        origin: { source, ext: { list: key } },
        done: new Contiguous(0),
        next: 0,
        removed: 0,
        base: undefined,
        removing: undefined,
        isBehind: true,
      };
    });
  }

  async open(links: Links, signal: AbortSignal): Promise<void> {
    this.#links = links;
    for (const source of this.#sources) {
      const [reply] = answers(await links.tells.run([['get', source.removals]], signal));
      const removals = Number(reply ?? 0);
      source.base ??= removals;
      source.removed = removals - source.base;
      source.removing = undefined;
      source.isBehind = true;
      this.#remove(source);
    }
  }

  async read(signal: AbortSignal): Promise<InputDelivery> {
    for (;;) {
      for (const source of this.#sources) {
        const delivery = await this.#take(source, signal);
        if (delivery !== undefined) return delivery;
      }
      const isInTurn = this.#sources.length > 1;
      const source = this.#sources[this.#turn++ % this.#sources.length]!;
      const seconds = isInTurn ? BLOCK_IN_TURN : BLOCK;
      const command = ['blmove', source.key, source.taken, 'left', 'right', seconds];
      const [element] = answers(await this.#open.run([command], signal, { wait: seconds * 1000 }));
      if (element !== null) return this.#deliver(source, [element as Buffer]);
    }
  }

  async close(): Promise<void> {
    for (const source of this.#sources) {
      let removing: Promise<void> | undefined;
      while (source.removing !== removing) {
        removing = source.removing;
        await removing;
      }
    }
  }

  get #open(): RedisLink {
    if (this.#links === undefined) throw new NotConnectedError('not connected');
    return this.#links.reads;
  }

  /** The elements that moved before a crash or a lost connection, or those that move now. */
  async #take(source: Source, signal: AbortSignal): Promise<InputDelivery | undefined> {
    const { key, taken } = source;
    const { messages } = this.#size;
    const link = this.#open;
    if (source.isBehind) {
      const from = source.next - source.removed;
      const [moved] = answers(await link.run([['lrange', taken, from, from + messages - 1]], signal));
      const elements = moved as Buffer[];
      source.isBehind = elements.length === messages;
      if (elements.length > 0) return this.#deliver(source, elements);
    }
    const [length] = answers(await link.run([['llen', key]], signal));
    const count = Math.min(Number(length), messages);
    if (count === 0) return undefined;
    const moves = Array.from({ length: count }, () => ['lmove', key, taken, 'left', 'right']);
    // Others may take from the list as well.
    const elements = answers(await link.run(moves, signal)).filter((each) => each !== null) as Buffer[];
    return elements.length === 0 ? undefined : this.#deliver(source, elements);
  }

  #deliver(source: Source, payloads: Buffer[]): InputDelivery {
    this.#size.saw(payloads);
    const first = source.next;
    source.next += payloads.length;
    const last = source.next - 1;
    const batch = new Batch(payloads, { runs: [{ start: 0, origin: source.origin, time: nowMicros() }] });
    const settled = (error: unknown): void => {
      // An element that failed stays in `taken`, with those behind it: the next process begins there.
      if (error !== undefined) return;
      source.done.add(first, last);
      this.#remove(source);
    };
    return { batch, receipt: createReceipt({ settled }) };
  }

  /** Removes what is done from `taken`, in one removal at a time: with the next connection, if this one is gone. */
  #remove(source: Source): void {
    const link = this.#links?.tells;
    const count = source.done.first - source.removed;
    if (count === 0 || source.removing !== undefined || link === undefined || link.gone.aborted) return;
    const { taken, removals } = source;
    const commands = [
      ['ltrim', taken, count, -1],
      ['incrby', removals, count],
    ];
    source.removing = link.run(commands, link.gone, { atomic: true }).then(
      (replies) => {
        if (link !== this.#links?.tells || replies.some((reply) => reply instanceof Error)) return;
        source.removed += count;
        source.removing = undefined;
        this.#remove(source);
      },
      // The next connection asks what has happened.
      () => {},
    );
  }
}

/** @throws Error of the server */
function answers(replies: readonly RedisReply[]): readonly RedisReply[] {
  const wrong = replies.find((reply) => reply instanceof Error);
  if (wrong !== undefined) throw wrong;
  return replies;
}

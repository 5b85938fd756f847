import { NotConnectedError, errorMessage } from '../../../errors.ts';
import type { RedisCommand } from '../../../clients/redis/link.ts';
import { Batch, nowMicros, type Origin } from '../../../message/batch.ts';
import type { InputDelivery } from '../../../message/delivery.ts';
import { extName, type MetaColumn, type MetaName } from '../../../message/metadata.ts';
import { createReceipt } from '../../../message/receipt.ts';
import { textOf } from '../../../message/text.ts';
import type { StreamKind } from './config.ts';
import { ReadSize } from './read-size.ts';
import type { Links, RedisReader } from './reader.ts';

/** How long one read waits for new entries, in milliseconds: of all streams, and of one where they are asked in turn. */
const BLOCK = 1_000;
const BLOCK_IN_TURN = 100;

/** The start of a search for entries of others, and its end. */
const ALL = '0-0';

/** An entry: its id, and the names and values of its fields; null if it has been deleted. */
type Entry = readonly [id: Buffer, fields: readonly Buffer[] | null];

/** A stream, and the entries of it that this consumer has. */
interface Source {
  readonly key: string;
  readonly origin: Origin;
  /** The entries that the server has not been told to be done. */
  readonly held: Set<string>;
  /** Those of them that are done. */
  readonly done: string[];
  /** Behind this entry, those that the server says this consumer holds are still to be looked at; undefined at their end. */
  own: string | undefined;
  /** Where the search for entries of others goes on; undefined if none is due. */
  claims: string | undefined;
}

/** Reads streams as a member of a consumer group. */
export class StreamReader implements RedisReader {
  readonly #kind: StreamKind;
  readonly #consumer: string;
  readonly #sources: readonly Source[];
  readonly #size = new ReadSize();
  #links: Links | undefined;
  #turn = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #acknowledging = new Set<Promise<void>>();

  constructor(kind: StreamKind, source: string, consumer: string) {
    this.#kind = kind;
    this.#consumer = consumer;
    this.#sources = kind.streams.map((key) => ({
      key,
      origin: { source, ext: { stream: key } },
      held: new Set(),
      done: [],
      own: undefined,
      claims: ALL,
    }));
  }

  async open(links: Links, signal: AbortSignal): Promise<void> {
    this.#links = links;
    const { consumer_group: group, start_from_oldest, claim_after } = this.#kind;
    const start = start_from_oldest ? '0' : '$';
    const replies = await links.tells.run(
      this.#sources.map(({ key }) => ['xgroup', 'create', key, group, start, 'mkstream']),
      signal,
    );
    for (const reply of replies)
      if (reply instanceof Error && !reply.message.startsWith('BUSYGROUP')) throw reply;
    for (const source of this.#sources) {
      // The answer to the last read may have been lost.
      source.own = ALL;
      await this.#acknowledge(source, signal);
    }
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#keep(), claim_after / 3);
    this.#timer.unref();
  }

  async read(signal: AbortSignal): Promise<InputDelivery> {
    for (;;) {
      const delivery =
        (await this.#readOwn(signal)) ?? (await this.#claim(signal)) ?? (await this.#readNew(signal));
      if (delivery !== undefined) return delivery;
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#acknowledging);
  }

  /** Entries that an earlier process with this name did not finish, or that were lost on their way here. */
  async #readOwn(signal: AbortSignal): Promise<InputDelivery | undefined> {
    for (const source of this.#sources) {
      while (source.own !== undefined) {
        const [[, entries] = [undefined, []]] = await this.#readGroup([source], source.own, 0, signal);
        source.own = entries.at(-1)?.[0].toString();
        const delivery = await this.#deliver([[source, entries]], signal);
        if (delivery !== undefined) return delivery;
      }
    }
    return undefined;
  }

  /** Entries of consumers that show no sign of life. */
  async #claim(signal: AbortSignal): Promise<InputDelivery | undefined> {
    const { consumer_group: group, claim_after } = this.#kind;
    for (const source of this.#sources) {
      while (source.claims !== undefined) {
        const range = [claim_after, source.claims, 'count', this.#size.messages];
        const reply = await this.#ask(
          'reads',
          ['xautoclaim', source.key, group, this.#consumer, ...range],
          signal,
        );
        const [next, entries] = reply as [Buffer, Entry[]];
        source.claims = next.toString() === ALL ? undefined : next.toString();
        const delivery = await this.#deliver([[source, entries]], signal);
        if (delivery !== undefined) return delivery;
      }
    }
    return undefined;
  }

  async #readNew(signal: AbortSignal): Promise<InputDelivery | undefined> {
    const isInTurn = this.#links?.reads.isCluster === true && this.#sources.length > 1;
    const sources = isInTurn ? [this.#sources[this.#turn++ % this.#sources.length]!] : this.#sources;
    const found = await this.#readGroup(sources, '>', isInTurn ? BLOCK_IN_TURN : BLOCK, signal);
    return await this.#deliver(found, signal);
  }

  /** Waits up to `block` milliseconds for entries; not at all if it is 0. */
  async #readGroup(
    sources: readonly Source[],
    behind: string,
    block: number,
    signal: AbortSignal,
  ): Promise<(readonly [Source, readonly Entry[]])[]> {
    const keys = sources.map(({ key }) => key);
    const reply = await this.#ask(
      'reads',
      [
        'xreadgroup',
        'group',
        this.#kind.consumer_group,
        this.#consumer,
        'count',
        this.#size.messages,
        ...(block === 0 ? [] : ['block', block]),
        'streams',
        ...keys,
        ...keys.map(() => behind),
      ],
      signal,
      block,
    );
    return ((reply as [Buffer, Entry[]][] | null) ?? []).map(([key, entries]) => [
      sources[keys.indexOf(key.toString())]!,
      entries,
    ]);
  }

  async #ask(which: keyof Links, command: RedisCommand, signal: AbortSignal, wait = 0): Promise<unknown> {
    const link = this.#links?.[which];
    if (link === undefined) throw new NotConnectedError('not connected');
    const [reply] = await link.run([command], signal, { wait });
    if (!(reply instanceof Error)) return reply;
    if (!reply.message.startsWith('NOGROUP')) throw reply;
    // The next connection creates the group.
    const gone = new NotConnectedError(errorMessage(reply), reply);
    link.cut(gone);
    throw gone;
  }

  /** Delivers the entries that this consumer does not hold already. Those that have been deleted are done. */
  async #deliver(
    found: readonly (readonly [Source, readonly Entry[]])[],
    signal: AbortSignal,
  ): Promise<InputDelivery | undefined> {
    const { body_key, fields } = this.#kind;
    const taken = new Taken(body_key, fields);
    for (const [source, entries] of found) {
      taken.begin(source);
      for (const [bytes, values] of entries) {
        const id = bytes.toString();
        if (source.held.has(id)) continue;
        if (values === null) source.done.push(id);
        else taken.add(id, values);
      }
      for (const id of taken.idsOf(source)) source.held.add(id);
      await this.#acknowledge(source, signal);
    }
    if (taken.payloads.length === 0) return undefined;
    this.#size.saw(taken.payloads);
    const settled = (error: unknown): void => this.#settled(found, taken, error);
    return { batch: taken.batch(), receipt: createReceipt({ settled }) };
  }

  /** Entries that failed stay with the server: after a restart, this consumer gets them again, or another does. */
  #settled(found: readonly (readonly [Source, unknown])[], taken: Taken, error: unknown): void {
    const link = this.#links?.tells;
    if (error !== undefined) return;
    for (const [source] of found) {
      source.done.push(...taken.idsOf(source));
      // With the next connection, if it is gone.
      if (link?.gone.aborted !== false) continue;
      const acknowledging = this.#acknowledge(source, link.gone)
        .catch(() => {})
        .finally(() => this.#acknowledging.delete(acknowledging));
      this.#acknowledging.add(acknowledging);
    }
  }

  async #acknowledge(source: Source, signal: AbortSignal): Promise<void> {
    const ids = source.done.splice(0);
    if (ids.length === 0) return;
    try {
      await this.#ask('tells', ['xack', source.key, this.#kind.consumer_group, ...ids], signal);
    } catch (error) {
      source.done.push(...ids);
      throw error;
    }
    for (const id of ids) source.held.delete(id);
  }

  /** Tells the server that this consumer lives and what it holds, and has the others looked after. */
  #keep(): void {
    const link = this.#links?.tells;
    if (link === undefined || link.gone.aborted) return;
    for (const source of this.#sources) {
      source.claims ??= ALL;
      if (source.held.size === 0) continue;
      const who = [this.#kind.consumer_group, this.#consumer, 0];
      const command = ['xclaim', source.key, ...who, ...source.held, 'justid'];
      void link.run([command], link.gone).catch(() => {});
    }
  }
}

/** Entries that are delivered together. */
class Taken {
  readonly payloads: Buffer[] = [];
  readonly #bodyKey: string;
  readonly #ids: string[] = [];
  readonly #columns: ReadonlyMap<string, (string | undefined)[]>;
  readonly #runs: { start: number; origin: Origin; time: number }[] = [];
  readonly #starts = new Map<Source, number>();
  readonly #time = nowMicros();

  constructor(bodyKey: string, fields: readonly string[]) {
    this.#bodyKey = bodyKey;
    this.#columns = new Map(fields.map((name) => [name, []]));
  }

  /** The next entries are of this source. */
  begin(source: Source): void {
    const start = this.#ids.length;
    this.#starts.set(source, start);
    if (this.#runs.at(-1)?.start === start) this.#runs.pop();
    this.#runs.push({ start, origin: source.origin, time: this.#time });
  }

  add(id: string, values: readonly Buffer[]): void {
    let body: Buffer | undefined;
    const index = this.#ids.length;
    for (let at = 0; at < values.length; at += 2) {
      const name = textOf(values[at]!);
      if (name === this.#bodyKey) body = values[at + 1]!;
      else if (this.#columns.has(name)) this.#columns.get(name)![index] = textOf(values[at + 1]!);
    }
    this.#ids.push(id);
    this.payloads.push(body ?? objectOf(values));
  }

  idsOf(source: Source): readonly string[] {
    const start = this.#starts.get(source)!;
    const next = [...this.#starts.values()].find((each) => each > start);
    return this.#ids.slice(start, next);
  }

  batch(): Batch {
    const columns = new Map<MetaName, MetaColumn>();
    for (const [name, column] of this.#columns) {
      column.length = this.#ids.length;
      columns.set(extName(name), column);
    }
    // An id is the time in milliseconds, a hyphen and a number.
    columns.set(
      'event_time',
      Float64Array.from(this.#ids, (id) => Number(id.slice(0, id.indexOf('-'))) * 1000),
    );
    columns.set(extName('entry_id'), this.#ids);
    return new Batch(this.payloads, { runs: this.#runs, columns });
  }
}

/** The JSON object of an entry’s fields. */
function objectOf(values: readonly Buffer[]): Buffer {
  const texts = values.map((value) => JSON.stringify(textOf(value)));
  const members = Array.from({ length: texts.length / 2 }, (_, n) => `${texts[2 * n]}:${texts[2 * n + 1]}`);
  return Buffer.from(`{${members.join(',')}}`);
}

import { Inbox } from '../../../component/inbox.ts';
import type { Budget } from '../../../component/budget.ts';
import type { Origin } from '../../../message/batch.ts';
import type { InputDelivery } from '../../../message/delivery.ts';
import type { SubscribeKind } from './config.ts';
import type { Links, RedisReader } from './reader.ts';

/** How often it asks the server whether it is still there, in milliseconds. */
const PING_EVERY = 10_000;

/** The origins of so many channels are kept: with patterns, there may be any number. */
const MOST_CHANNELS = 10_000;

/** Hears channels. */
export class Subscriber implements RedisReader {
  readonly #subscribe: SubscribeKind['subscribe'];
  readonly #source: string;
  readonly #budget: Budget;
  readonly #inbox: Inbox;
  readonly #origins = new Map<string, Origin>();
  #end = (): void => {};

  constructor(kind: SubscribeKind, source: string, budget: Budget) {
    this.#subscribe = kind.subscribe;
    this.#source = source;
    this.#budget = budget;
    this.#inbox = new Inbox(budget);
  }

  async open({ reads: link }: Links, signal: AbortSignal): Promise<void> {
    this.#end();
    this.#inbox.reopen();
    const { client } = link;
    const heard = (channel: Buffer, message: Buffer): void => {
      this.#inbox.push(message, this.#origin(channel.toString()));
    };
    client.on('messageBuffer', heard);
    client.on('pmessageBuffer', (_: Buffer, channel: Buffer, message: Buffer) => heard(channel, message));
    const stopWatching = this.#budget.onChange({ full: () => link.pause(), room: () => link.resume() });
    if (this.#budget.full) link.pause();
    const timer = setInterval(() => {
      // A connection that is not read has no answers either.
      if (!this.#budget.full) void link.run([['ping']], link.gone).catch(() => {});
    }, PING_EVERY);
    timer.unref();
    const gone = (): void => this.#inbox.end(link.gone.reason as Error);
    link.gone.addEventListener('abort', gone, { once: true });
    this.#end = () => {
      stopWatching();
      clearInterval(timer);
      link.gone.removeEventListener('abort', gone);
    };
    const subscribe = this.#subscribe;
    const command =
      subscribe.type === 'channels'
        ? ['subscribe', ...subscribe.channels]
        : ['psubscribe', ...subscribe.patterns];
    const [reply] = await link.run([command], signal);
    if (reply instanceof Error) throw reply;
  }

  async read(signal: AbortSignal): Promise<InputDelivery> {
    return await this.#inbox.read(signal);
  }

  async close(): Promise<void> {
    this.#end();
  }

  #origin(channel: string): Origin {
    let origin = this.#origins.get(channel);
    if (origin === undefined) {
      origin = { source: this.#source, ext: { channel } };
      if (this.#origins.size >= MOST_CHANNELS) this.#origins.clear();
      this.#origins.set(channel, origin);
    }
    return origin;
  }
}

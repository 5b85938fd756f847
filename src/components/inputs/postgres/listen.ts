import { PostgresLink } from '../../../clients/postgres/link.ts';
import { quoted } from '../../../clients/postgres/names.ts';
import type { Context } from '../../../component/context.ts';
import type { Input } from '../../../component/contracts.ts';
import { Inbox } from '../../../component/inbox.ts';
import { EndOfInputError } from '../../../errors.ts';
import type { Origin } from '../../../message/batch.ts';
import type { InputDelivery } from '../../../message/delivery.ts';
import type { PostgresInputConfig } from './config.ts';

/** Calls `notified` for each notification on the channels, from when it resolves. */
export async function listenTo(
  link: PostgresLink,
  channels: readonly string[],
  signal: AbortSignal,
  notified: (channel: string, payload: string) => void,
): Promise<void> {
  link.client.on('notification', ({ channel, payload = '' }) => notified(channel, payload));
  for (const channel of channels) await link.query(`LISTEN ${quoted(channel)}`, [], signal);
}

/** The payloads of notifications. Nothing makes the server wait: what comes while the stream is full is dropped and counted. */
export class PostgresListenInput implements Input {
  readonly budgeted = true;
  readonly #config: PostgresInputConfig;
  readonly #context: Context;
  readonly #inbox: Inbox;
  readonly #origins = new Map<string, Origin>();
  #link: PostgresLink | undefined;

  constructor(config: PostgresInputConfig, context: Context) {
    this.#config = config;
    this.#context = context;
    this.#inbox = new Inbox(context.stream.budget);
  }

  async connect(signal: AbortSignal): Promise<void> {
    const link = await PostgresLink.open(this.#config, this.#context, signal);
    this.#link = link;
    this.#inbox.reopen();
    const channels = this.#config.listen!;
    for (const channel of channels)
      this.#origins.set(channel, { source: this.#context.name ?? link.url, ext: { channel } });
    link.gone.addEventListener('abort', () => this.#inbox.end(link.gone.reason as Error), { once: true });
    await listenTo(link, channels, signal, (channel, payload) => {
      if (this.#context.stream.budget.full) return this.#context.events.messagesDropped('overflow', 1);
      this.#inbox.push(Buffer.from(payload), this.#origins.get(channel)!);
    });
  }

  async read(signal: AbortSignal): Promise<InputDelivery> {
    return await this.#inbox.read(signal);
  }

  drain(): void {
    this.#inbox.end(new EndOfInputError());
  }

  async close(signal: AbortSignal): Promise<void> {
    await this.#link?.close(signal);
  }
}

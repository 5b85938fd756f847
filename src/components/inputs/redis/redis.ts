import { hostname } from 'node:os';
import { RedisLink } from '../../../clients/redis/link.ts';
import { within } from '../../../clients/within.ts';
import { maskUrl } from '../../../component/mask.ts';
import type { Context } from '../../../component/context.ts';
import type { Input } from '../../../component/contracts.ts';
import { defineInput } from '../../../component/define.ts';
import type { InputDelivery } from '../../../message/delivery.ts';
import { schema, type RedisInputConfig } from './config.ts';
import { ListReader } from './list-reader.ts';
import type { Links, RedisReader } from './reader.ts';
import { StreamReader } from './stream-reader.ts';
import { Subscriber } from './subscriber.ts';

/** How long `close` tells the server what is done, in milliseconds. */
const LAST_WORDS = 500;

/** Reads from Redis. */
export const redisInput = defineInput({
  type: 'redis',
  givesBytes: true,
  summary: 'Reads from Redis or Valkey: streams with consumer groups, lists, or channels.',
  status: 'beta',
  description: `With \`redis_type.type: stream\`, an entry is acknowledged (\`XACK\`) when its message is delivered; behind a log, when the log has it. A process that crashes gets its unfinished entries again when it restarts, and if it does not, another consumer of the group takes them over after \`claim_after\`. Messages can then be there twice. \`__meta_ext\` has \`stream\` and \`entry_id\`, and \`__meta_event_time\` is the time in the id.

With \`list\`, elements move to a list of the consumer’s own as they are read (\`LMOVE\`, Redis 6.2), and leave it when they are delivered, so that a crash loses none. That list is called as the list, followed by \`:taken:\` and the name of the consumer. If a process never comes back, move its elements back. \`__meta_ext\` has \`list\`.

With \`subscribe\`, Millrace hears the messages that are published while it is connected. Redis keeps none: messages during an outage are lost, and if the stream stands still for long, the server cuts the connection (\`client-output-buffer-limit\`). \`__meta_ext\` has \`channel\`.`,
  schema,
  examples: [
    {
      title: 'A stream that several processes share',
      yaml: "type: redis\nmode: { type: single, url: 'redis://localhost:6379' }\nredis_type: { type: stream, streams: [readings], consumer_group: millrace }\ncodec: { type: json }\n",
    },
    {
      title: 'Channels by pattern',
      yaml: "type: redis\nmode: { type: single, url: 'redis://localhost:6379' }\nredis_type:\n  type: subscribe\n  subscribe: { type: patterns, patterns: ['news.*'] }\n",
    },
  ],
  create: (config, context) => new RedisInput(config, context),
});

class RedisInput implements Input {
  readonly budgeted: boolean;
  readonly #config: RedisInputConfig;
  readonly #context: Context;
  readonly #reader: RedisReader;
  #links: Links | undefined;

  constructor(config: RedisInputConfig, context: Context) {
    this.#config = config;
    this.#context = context;
    this.budgeted = config.redis_type.type === 'subscribe';
    this.#reader = readerOf(config, context);
  }

  async connect(signal: AbortSignal): Promise<void> {
    this.#closeLinks();
    const reads = await this.#connect(signal);
    this.#links = { reads, tells: reads };
    if (this.#config.redis_type.type !== 'subscribe') {
      const tells = await this.#connect(signal);
      this.#links = { reads, tells };
      tells.gone.addEventListener('abort', () => reads.cut(tells.gone.reason as Error), { once: true });
    }
    await this.#reader.open(this.#links, signal);
  }

  async read(signal: AbortSignal): Promise<InputDelivery> {
    return await this.#reader.read(signal);
  }

  async dial(signal: AbortSignal): Promise<void> {
    const link = await this.#connect(signal);
    link.close();
  }

  async close(signal: AbortSignal): Promise<void> {
    await within('confirm', this.#reader.close(), { timeout: LAST_WORDS, signal }).catch(() => {});
    this.#closeLinks();
  }

  #closeLinks(): void {
    this.#links?.reads.close();
    this.#links?.tells.close();
  }

  async #connect(signal: AbortSignal): Promise<RedisLink> {
    const { mode, redis_type } = this.#config;
    if (mode.type === 'single' || redis_type.type !== 'subscribe')
      return await RedisLink.open(this.#config, this.#context, signal);
    // Every node of a cluster has every message.
    let last: unknown;
    for (const url of mode.urls) {
      try {
        const config = { ...this.#config, mode: { type: 'single', url } as const };
        return await RedisLink.open(config, this.#context, signal);
      } catch (error) {
        last = error;
      }
    }
    throw last;
  }
}

function readerOf({ mode, redis_type: kind }: RedisInputConfig, { name, stream }: Context): RedisReader {
  const source = name ?? maskUrl(mode.type === 'single' ? mode.url : mode.urls[0]!);
  if (kind.type === 'subscribe') return new Subscriber(kind, source, stream.budget);
  const consumer = kind.consumer ?? `${hostname()}-${stream.id}`;
  return kind.type === 'list'
    ? new ListReader(kind, source, consumer)
    : new StreamReader(kind, source, consumer);
}

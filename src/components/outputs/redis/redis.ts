import { MessageValue, type MessageColumn } from '../../../clients/message-value.ts';
import { RedisLink, type RedisReply } from '../../../clients/redis/link.ts';
import { Refusals } from '../../../clients/refusals.ts';
import { payloadsOf } from '../../../clients/value-field.ts';
import type { Context } from '../../../component/context.ts';
import type { Output, WriteCall, WriteResult } from '../../../component/contracts.ts';
import { defineOutput } from '../../../component/define.ts';
import { MillraceError, NotConnectedError, errorMessage } from '../../../errors.ts';
import type { Batch } from '../../../message/batch.ts';
import { writingsOf, type Writing } from './commands.ts';
import { schema, type RedisKind, type RedisOutputConfig } from './config.ts';

/** Writes to Redis. */
export const redisOutput = defineOutput({
  type: 'redis',
  summary: 'Writes to Redis or Valkey: streams, lists, hashes, strings, or subscribers of a channel.',
  status: 'beta',
  description: `A message is confirmed when the server has executed its command. Whether a crash of the server can lose it is up to the server’s \`appendfsync\`, and a failover can lose it unless \`replicas\` waits for them.

On one server, a batch is a transaction (\`MULTI\`): all of it is there, or nothing. If the connection is lost before the answer arrives, the batch is written again, and can then be there twice; repeats of \`hashes\` and \`strings\` change nothing. In a cluster, each message is a command of its own, so only a part of the batch may be repeated. The order of messages with one key is kept.

A message goes to \`error_output\` if its key has a value of another kind (\`WRONGTYPE\`), or if the user may not write to a key that differs by message. If the server is full (\`OOM\`) or read-only, the output waits; readiness says so.

\`publish\` passes a message to whoever subscribes at that moment. Redis keeps nothing of it.`,
  schema,
  examples: [
    {
      title: 'A stream of at most about a million entries',
      yaml: "type: redis\nmode: { type: single, url: 'redis://localhost:6379' }\nredis_type:\n  type: stream\n  stream: readings\n  fields: { device: '{{json:device}}' }\n  max_length: 1000000\n",
    },
    {
      title: 'The last reading of each device, for an hour',
      yaml: "type: redis\nmode: { type: single, url: 'rediss://redis.example.com/0' }\nusername: millrace\npassword_file: ./redis-password\nredis_type:\n  type: strings\n  key: last:{{json:device}}\n  ttl: 1h\n",
    },
  ],
  create: (config, context) => new RedisOutput(config, context),
});

class RedisOutput implements Output {
  readonly #config: RedisOutputConfig;
  readonly #context: Context;
  readonly #key: MessageValue;
  readonly #field: MessageValue | undefined;
  readonly #others: readonly (readonly [name: string, value: MessageValue])[];
  #link: RedisLink | undefined;

  constructor(config: RedisOutputConfig, context: Context) {
    this.#config = config;
    this.#context = context;
    const kind = config.redis_type;
    const [field, value] = keyOf(kind);
    this.#key = new MessageValue(value, { field: `redis_type.${field}`, context });
    if (kind.type === 'hashes')
      this.#field = new MessageValue(kind.field, { field: 'redis_type.field', context });
    this.#others = Object.entries(kind.type === 'stream' ? kind.fields : {}).map(([name, each]) => [
      name,
      new MessageValue(each, { field: `redis_type.fields.${name}`, context, optional: true }),
    ]);
  }

  async prepare(): Promise<void> {
    for (const value of this.#values()) await value.prepare();
  }

  async connect(signal: AbortSignal, lost: (error: Error) => void): Promise<void> {
    const link = await RedisLink.open(this.#config, this.#context, signal);
    this.#link = link;
    link.gone.addEventListener('abort', () => lost(link.gone.reason as Error), { once: true });
  }

  async write(batch: Batch, { signal }: WriteCall): Promise<WriteResult> {
    const link = this.#link;
    if (link === undefined) throw new NotConnectedError('not connected');
    const refusals = new Refusals();
    const others = new Map<string, MessageColumn>();
    for (const [name, value] of this.#others) others.set(name, await value.of(batch, refusals.add, signal));
    const outgoing = {
      keys: await this.#key.of(batch, refusals.add, signal),
      fields: (await this.#field?.of(batch, refusals.add, signal)) ?? '',
      others,
      payloads: payloadsOf(batch, this.#config.value_field, refusals.add),
    };
    const writings = writingsOf(this.#config.redis_type, outgoing, (index) => refusals.has(index));
    if (writings.length === 0) return { refused: refusals.list };
    const replies = await link.run(
      writings.map(({ command }) => command),
      signal,
      { atomic: true },
    );
    const retry = this.#judge(writings, replies, refusals);
    if (retry.length === 0) await this.#replicated(link, signal);
    return { refused: refusals.list, retry };
  }

  async close(): Promise<void> {
    this.#link?.close();
    for (const value of this.#values()) await value.close();
  }

  #values(): MessageValue[] {
    return [this.#key, this.#field, ...this.#others.map(([, value]) => value)].filter(
      (value) => value !== undefined,
    );
  }

  /**
   * Refuses the messages that can never be written.
   * @returns those that were not written because of them: a transaction fails as a whole if a command cannot be queued
   * @throws Error of the server that may be gone at the next attempt
   */
  #judge(writings: readonly Writing[], replies: readonly RedisReply[], refusals: Refusals): number[] {
    const isQueued = replies.some((reply) => String(reply) === 'QUEUED');
    let isDiscarded = false;
    for (const [place, { indices }] of writings.entries()) {
      const reply = replies[place];
      if (!(reply instanceof Error)) continue;
      const message = errorMessage(reply);
      const isKey = message.startsWith('NOPERM') && this.#key.constant === undefined;
      if (!isKey && !message.startsWith('WRONGTYPE')) throw new Error(message, { cause: reply });
      isDiscarded ||= isKey;
      for (const index of indices)
        refusals.add({ index, error: new MillraceError('MILLRACE_OUTPUT_REFUSED', message) });
    }
    if (!isDiscarded || !isQueued) return [];
    return writings.flatMap(({ indices }) => indices).filter((index) => !refusals.has(index));
  }

  async #replicated(link: RedisLink, signal: AbortSignal): Promise<void> {
    const { replicas, timeout } = this.#config;
    if (replicas === 0) return;
    const [reply] = await link.run([['wait', replicas, timeout]], signal, { wait: timeout });
    if (reply instanceof Error) throw reply;
    if (Number(reply) < replicas)
      throw new Error(`${String(reply)} replicas have the messages; \`replicas\` demands ${replicas}`);
  }
}

function keyOf(kind: RedisKind) {
  if (kind.type === 'stream') return ['stream', kind.stream] as const;
  return kind.type === 'publish' ? (['channel', kind.channel] as const) : (['key', kind.key] as const);
}

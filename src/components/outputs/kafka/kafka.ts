import type { Producer } from '@platformatic/kafka';
import { isAnswer, reasonOf } from '../../../clients/kafka/faults.ts';
import { KafkaLink } from '../../../clients/kafka/link.ts';
import { MessageValue } from '../../../clients/message-value.ts';
import { Refusals } from '../../../clients/refusals.ts';
import { payloadsOf } from '../../../clients/value-field.ts';
import type { Context } from '../../../component/context.ts';
import type { Output, WriteCall, WriteResult } from '../../../component/contracts.ts';
import { defineOutput } from '../../../component/define.ts';
import { MillraceError, NotConnectedError } from '../../../errors.ts';
import type { Batch } from '../../../message/batch.ts';
import { schema, type KafkaOutputConfig } from './config.ts';
import { recordsOf, requestsOf, topicProblem, type KafkaRecord, type Outgoing } from './records.ts';
import { writtenIn } from './written.ts';

/** Below the `max.message.bytes` of a topic that nobody has configured, with what Kafka adds to each message. Bytes. */
const MOST_BYTES = 900_000;

const REFUSED = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE', 'INVALID_RECORD']);
const NO_TOPIC = new Set(['UNKNOWN_TOPIC_OR_PARTITION', 'TOPIC_AUTHORIZATION_FAILED']);

const ACKS = { '0': 0, '1': 1, all: -1 } as const;

/** Writes to Kafka. */
export const kafkaOutput = defineOutput({
  type: 'kafka',
  summary: 'Writes to topics of Kafka, or of a broker that speaks its protocol.',
  status: 'beta',
  description: `A message is confirmed when all replicas in sync have it, unless \`acks\` says otherwise. Messages with one key go to one partition, in order.

Repeats: a batch is sent again after an outage. As long as the outage is shorter than \`timeout\`, the brokers drop what they have already (\`idempotent\`). After a longer one, and after a restart of Millrace, the messages of the last batch can be in the topic twice. A batch may go to several partitions; those that have confirmed their part do not get it again.

A message goes to \`error_output\` if the topic does not take it (larger than its \`max.message.bytes\`, or without a key in a compacted topic), if it asks for a partition that the topic does not have, or, where the topic differs by message, if there is no such topic or the user may not write to it. If the topic is the same for all, the output waits until there is such a topic or permission; readiness says so. Millrace creates no topics.

ArkFlow’s \`exactly_once\` and \`transactional_id\` are not supported.`,
  schema,
  examples: [
    {
      title: 'Readings by device',
      yaml: "type: kafka\nbrokers: [kafka-1:9092, kafka-2:9092]\ntopic: readings\nkey: '{{json:device}}'\nheaders: { origin: '{{source}}' }\ncompression: zstd\n",
    },
    {
      title: 'TLS and a password',
      yaml: 'type: kafka\nbrokers: [kafka.example.com:9093]\ntopic: ticks\ntls: { ca_file: ./ca.pem }\nsasl: { mechanism: SCRAM-SHA-512, username: millrace, password_file: ./kafka-password }\n',
    },
  ],
  create: (config, context) => new KafkaOutput(config, context),
});

class KafkaOutput implements Output {
  readonly #config: KafkaOutputConfig;
  readonly #context: Context;
  readonly #topic: MessageValue;
  readonly #key: MessageValue | undefined;
  readonly #partition: MessageValue | undefined;
  readonly #headers: readonly (readonly [name: Buffer, value: MessageValue])[];
  #hash: (key: Buffer) => number = () => 0;
  #link: KafkaLink<Producer> | undefined;
  #turn = 0;

  constructor(config: KafkaOutputConfig, context: Context) {
    this.#config = config;
    this.#context = context;
    const { topic, key, partition, headers } = config;
    this.#topic = new MessageValue(topic, { field: 'topic', context });
    if (key !== undefined) this.#key = new MessageValue(key, { field: 'key', context, optional: true });
    if (partition !== undefined)
      this.#partition = new MessageValue(partition, { field: 'partition', context, optional: true });
    this.#headers = Object.entries(headers).map(([name, value]) => [
      Buffer.from(name),
      new MessageValue(value, { field: `headers.${name}`, context, optional: true }),
    ]);
  }

  async prepare(): Promise<void> {
    for (const value of this.#values()) await value.prepare();
  }

  async connect(signal: AbortSignal, lost: (error: Error) => void): Promise<void> {
    const library = await import('@platformatic/kafka');
    this.#hash = (key) => library.murmur2(key) & 0x7fffffff;
    const link = await KafkaLink.open(this.#config, this.#context, signal, (options) => {
      // Only an idempotent producer may send again what may have arrived; our deadline ends its attempts.
      const retries = this.#isIdempotent ? Number.MAX_SAFE_INTEGER : 0;
      return new library.Producer({ ...options, maxInflights: 1, retries });
    });
    this.#link = link;
    link.gone.addEventListener('abort', () => lost(link.gone.reason as Error), { once: true });
  }

  async write(batch: Batch, { signal }: WriteCall): Promise<WriteResult> {
    const link = this.#link;
    if (link === undefined) throw new NotConnectedError('not connected');
    const refusals = new Refusals();
    const outgoing = await this.#outgoing(batch, refusals, signal);
    const counts = await this.#partitionsOf(link, outgoing.topics, refusals, signal);
    const records = recordsOf(outgoing, refusals, {
      countOf: (topic) => counts.get(topic)!,
      hash: this.#hash,
      turn: this.#turn++,
    });
    const written = new Set<number>();
    try {
      for (const request of requestsOf(records, MOST_BYTES))
        await this.#produce(link, request, { refusals, written, signal });
    } catch (reason) {
      if (written.size === 0 || signal.aborted) throw reason;
      const isOpen = ({ index }: KafkaRecord): boolean => !written.has(index) && !refusals.has(index);
      const retry = records.filter(isOpen).map(({ index }) => index);
      return { refused: refusals.list, retry, reason: reason as Error };
    }
    return { refused: refusals.list };
  }

  async close(): Promise<void> {
    this.#link?.close();
    for (const value of this.#values()) await value.close();
  }

  get #isIdempotent(): boolean {
    return this.#config.idempotent && this.#config.acks === 'all';
  }

  #values(): MessageValue[] {
    return [this.#topic, this.#key, this.#partition, ...this.#headers.map(([, value]) => value)].filter(
      (value) => value !== undefined,
    );
  }

  async #outgoing(batch: Batch, refusals: Refusals, signal: AbortSignal): Promise<Outgoing> {
    const headers: [Buffer, Outgoing['topics']][] = [];
    for (const [name, value] of this.#headers)
      headers.push([name, await value.of(batch, refusals.add, signal)]);
    return {
      topics: await this.#topic.of(batch, refusals.add, signal),
      keys: await this.#key?.of(batch, refusals.add, signal),
      partitions: await this.#partition?.of(batch, refusals.add, signal),
      headers,
      payloads: payloadsOf(batch, this.#config.value_field, refusals.add),
    };
  }

  /**
   * The number of partitions of each topic. Refuses messages whose topic is not there.
   * @throws Error when all messages have one topic, which somebody may still create
   */
  async #partitionsOf(
    link: KafkaLink<Producer>,
    topics: Outgoing['topics'],
    refusals: Refusals,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, number>> {
    const counts = new Map<string, number>();
    const problems = new Map<string, string>();
    for (const topic of new Set(typeof topics === 'string' ? [topics] : topics)) {
      if (topic === undefined) continue;
      let problem = topicProblem(topic);
      try {
        if (problem === undefined) {
          const ask = () => link.client.metadata({ topics: [topic], retries: 0 });
          const { topics: known } = await link.answer('tell the partitions', ask, signal);
          counts.set(topic, known.get(topic)!.partitionsCount);
        }
      } catch (error) {
        if (!isAnswer(error, NO_TOPIC)) throw error;
        problem = `the topic ${topic} cannot be written to: ${reasonOf(error)}`;
      }
      if (problem !== undefined) problems.set(topic, problem);
    }
    if (problems.size === 0) return counts;
    if (typeof topics === 'string') throw new Error(problems.get(topics));
    for (const [index, topic] of topics.entries()) {
      const problem = topic === undefined ? undefined : problems.get(topic);
      if (problem !== undefined)
        refusals.add({ index, error: new MillraceError('MILLRACE_OUTPUT_REFUSED', problem) });
    }
    return counts;
  }

  /** Sends the records. If the brokers do not take one of them, it finds out which by halves, in order. */
  async #produce(
    link: KafkaLink<Producer>,
    records: readonly KafkaRecord[],
    call: { refusals: Refusals; written: Set<number>; signal: AbortSignal },
  ): Promise<void> {
    const { acks, compression } = this.#config;
    const messages = records as KafkaRecord[];
    const idempotent = this.#isIdempotent;
    const send = () => link.client.send({ messages, acks: ACKS[acks], compression, idempotent });
    try {
      await link.answer('confirm messages', send, call.signal);
      if (acks === '0') await link.flushed(call.signal);
      for (const { index } of records) call.written.add(index);
    } catch (error) {
      const isWritten = writtenIn(error);
      const open = records.filter((record) => !isWritten(record));
      for (const record of records) if (isWritten(record)) call.written.add(record.index);
      if (!isAnswer(error, REFUSED)) throw new Error(reasonOf(error), { cause: error });
      if (open.length === 1) {
        const refused = new MillraceError('MILLRACE_OUTPUT_REFUSED', reasonOf(error));
        call.refusals.add({ index: open[0]!.index, error: refused });
        return;
      }
      const half = open.length >> 1;
      await this.#produce(link, open.slice(0, half), call);
      await this.#produce(link, open.slice(half), call);
    }
  }
}

import type { IPublishPacket } from 'mqtt';
import { z } from 'zod';
import { checkMqtt, mqttFields, qos } from '../../../clients/mqtt/fields.ts';
import { MqttLink, type Session } from '../../../clients/mqtt/link.ts';
import type { Context } from '../../../component/context.ts';
import type { Input } from '../../../component/contracts.ts';
import { defineInput } from '../../../component/define.ts';
import { duration } from '../../../component/fields.ts';
import { settings, type Filled } from '../../../component/settings.ts';
import { Waker } from '../../../component/waker.ts';
import { EndOfInputError, NotConnectedError } from '../../../errors.ts';
import { Batch, nowMicros, type Origin } from '../../../message/batch.ts';
import type { InputDelivery } from '../../../message/delivery.ts';
import { extName, type MetaColumn, type MetaName } from '../../../message/metadata.ts';
import { createReceipt } from '../../../message/receipt.ts';

/** The most messages in a batch. */
const LARGEST = 16_384;

/** The most messages that a broker can have on their way at a time: their numbers have 16 bits. */
const MOST = 65_535;

const shape = {
  ...mqttFields,
  client_id: z
    .string()
    .min(1)
    .describe(
      'The client’s id, by which the broker knows its session. Two clients with one id cut each other off.',
    ),
  topics: z
    .array(z.string().min(1))
    .min(1)
    .describe(
      'The topics, with the wildcards `+` and `#`. Several clients share the messages of `$share/GROUP/TOPIC` (MQTT 5).',
    ),
  qos: qos.default(1).describe('The highest quality of service at which the broker may send messages.'),
  clean_session: z
    .boolean()
    .default(false)
    .describe(
      'Begin anew with each connection. Otherwise the broker keeps messages of quality 1 and 2 while the client is away.',
    ),
  session_expiry: duration('s', { min: 1_000, max: 0xffff_ffff * 1000 })
    .default(86_400_000)
    .describe('How long the broker keeps the session while the client is away (MQTT 5).'),
  user_properties: z
    .array(z.string().min(1))
    .default([])
    .describe('User properties of a message that become entries of `__meta_ext` with these names (MQTT 5).'),
};

const schema = settings(shape, (value, fail, given) => {
  checkMqtt(value, fail);
  if (value.clean_session && given.session_expiry !== undefined)
    fail(['session_expiry'], 'has no effect with `clean_session: true`');
});
type MqttInputConfig = Filled<typeof shape>;

/** Subscribes to topics of an MQTT broker. */
export const mqttInput = defineInput({
  type: 'mqtt',
  givesBytes: true,
  summary: 'Subscribes to topics of an MQTT broker, over TCP or WebSocket.',
  status: 'beta',
  description: `A message of quality of service 1 or 2 is acknowledged when it is delivered; behind a log, when the log has it. Until then the broker keeps it, and sends it again after a crash or a restart, so that it can be there twice. How many may be on their way is up to the broker; Mosquitto’s \`max_inflight_messages\` is 20 unless you raise it.

A message of quality 0 is sent once. While the stream is full, those are dropped, and counted in \`millrace_messages_dropped_total\` with the reason \`overflow\`.

\`__meta_ext\` has \`topic\`, \`retain\` (\`true\` for a message that the broker had kept) and the \`user_properties\` that you name.`,
  schema,
  examples: [
    {
      title: 'Every device of a plant',
      yaml: 'type: mqtt\nurl: mqtt://localhost:1883\nclient_id: millrace-plant\ntopics: [plant/+/state]\ncodec: { type: json }\n',
    },
    {
      title: 'As ArkFlow has it, shared by several processes',
      yaml: 'type: mqtt\nhost: broker.example.com\nport: 1883\nclient_id: millrace-${HOSTNAME:-1}\ntopics: [$share/millrace/plant/#]\nqos: 1\nclean_session: false\nkeep_alive: 30\n',
    },
  ],
  create: (config, context) => new MqttInput(config, context),
});

class MqttInput implements Input {
  readonly #config: MqttInputConfig;
  readonly #context: Context;
  readonly #waker = new Waker();
  #link: MqttLink | undefined;
  #origin: Origin | undefined;
  #waiting: IPublishPacket[] = [];
  #bytes = 0;
  /** Messages of the session that are not acknowledged, by their numbers. */
  readonly #held = new Map<number, IPublishPacket>();
  #draining = false;

  constructor(config: MqttInputConfig, context: Context) {
    this.#config = config;
    this.#context = context;
  }

  async connect(signal: AbortSignal): Promise<void> {
    const { topics, qos: level } = this.#config;
    // Messages of the session can arrive before it is known whether the broker has kept it.
    const early: IPublishPacket[] = [];
    let arrived = (message: IPublishPacket): void => void early.push(message);
    const link = await MqttLink.open(this.#config, {
      context: this.#context,
      signal,
      session: this.#session(),
      arrived: (message) => arrived(message),
    });
    this.#link = link;
    this.#origin = { source: this.#context.name ?? link.url, ext: {} };
    link.gone.addEventListener('abort', () => this.#waker.wake(), { once: true });
    if (!link.connack.sessionPresent) this.#held.clear();
    for (const message of early) this.#arrived(message);
    arrived = (message) => this.#arrived(message);
    const granted = await link.answer(
      'subscribe',
      link.client.subscribeAsync([...topics], { qos: level }),
      signal,
    );
    const refused = granted.find((each) => each.qos >= 0x80);
    if (refused === undefined) return;
    const error = new NotConnectedError(`${link.url}: the broker refuses a subscription to ${refused.topic}`);
    link.cut(error);
    throw error;
  }

  async read(signal: AbortSignal): Promise<InputDelivery> {
    const over = (): boolean => this.#draining || this.#link!.gone.aborted;
    await this.#waker.until(() => this.#waiting.length > 0, signal, { over });
    if (this.#waiting.length === 0) {
      if (this.#draining) throw new EndOfInputError();
      throw this.#link!.gone.reason;
    }
    const messages = this.#waiting.splice(0, LARGEST);
    for (const { payload } of messages) this.#bytes -= payload.length;
    return {
      batch: this.#batch(messages),
      receipt: createReceipt({ settled: (error) => this.#settled(messages, error) }),
    };
  }

  drain(): void {
    this.#draining = true;
    this.#waker.wake();
  }

  async close(signal: AbortSignal): Promise<void> {
    await this.#link?.close(signal);
  }

  #session(): Session {
    const { clean_session: clean, session_expiry } = this.#config;
    const receiveMaximum = Math.min(this.#context.stream.limits.messages, MOST);
    return { clean, expiry: Math.ceil(session_expiry / 1000), receiveMaximum };
  }

  #arrived(message: IPublishPacket): void {
    const { messageId } = message;
    if (messageId === undefined) {
      const { limits } = this.#context.stream;
      const isFull = this.#waiting.length >= limits.messages || this.#bytes >= limits.bytes;
      if (isFull || this.#draining) return this.#context.events.messagesDropped('overflow', 1);
    } else {
      // After a cut, the broker sends again what it knows nothing of; the stream has it already.
      if (message.dup && this.#held.get(messageId)?.topic === message.topic) return;
      // It stays with the broker.
      if (this.#draining) return;
      this.#held.set(messageId, message);
    }
    this.#waiting.push(message);
    this.#bytes += message.payload.length;
    this.#waker.wake();
  }

  #batch(messages: readonly IPublishPacket[]): Batch {
    const columns = new Map<MetaName, MetaColumn>();
    for (const name of this.#config.user_properties)
      columns.set(
        extName(name),
        messages.map(({ properties }) => {
          const value = properties?.userProperties?.[name];
          return Array.isArray(value) ? value.join(', ') : value;
        }),
      );
    columns.set(
      extName('topic'),
      messages.map(({ topic }) => topic),
    );
    if (messages.some(({ retain }) => retain))
      columns.set(
        extName('retain'),
        messages.map(({ retain }) => (retain ? 'true' : undefined)),
      );
    const payloads = messages.map(({ payload }) =>
      typeof payload === 'string' ? Buffer.from(payload) : payload,
    );
    return new Batch(payloads, { runs: [{ start: 0, origin: this.#origin!, time: nowMicros() }], columns });
  }

  /** A message that failed stays with the broker, which sends it again when the session goes on. */
  #settled(messages: readonly IPublishPacket[], error: unknown): void {
    for (const message of messages) {
      const { messageId } = message;
      if (messageId === undefined || this.#held.get(messageId) !== message) continue;
      this.#held.delete(messageId);
      if (error === undefined) this.#link?.acknowledge(message);
    }
  }
}

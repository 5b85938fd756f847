import type { IClientPublishOptions } from 'mqtt';
import { z } from 'zod';
import { MessageValue, messageValue, valueIn, type MessageColumn } from '../../../clients/message-value.ts';
import { checkMqtt, mqttFields, qos } from '../../../clients/mqtt/fields.ts';
import { MqttLink } from '../../../clients/mqtt/link.ts';
import { Refusals } from '../../../clients/refusals.ts';
import { payloadsOf, valueField } from '../../../clients/value-field.ts';
import type { Context } from '../../../component/context.ts';
import type { Output, WriteCall, WriteResult } from '../../../component/contracts.ts';
import { defineOutput } from '../../../component/define.ts';
import { settings, type Filled } from '../../../component/settings.ts';
import { MillraceError, NotConnectedError, errorMessage } from '../../../errors.ts';
import type { Batch } from '../../../message/batch.ts';
import { topicProblem } from './topic.ts';

const shape = {
  ...mqttFields,
  client_id: z
    .string()
    .min(1)
    .optional()
    .describe('The client’s id. Two clients with one id cut each other off. Default: a random one.'),
  topic: messageValue('The topic to publish a message to.'),
  qos: qos
    .default(1)
    .describe(
      'The quality of service: 1 and 2 are confirmed by the broker, 0 only by the operating system of this machine.',
    ),
  retain: z
    .boolean()
    .default(false)
    .describe('The broker keeps the last message of each topic for new subscribers.'),
  user_properties: z
    .record(z.string().min(1), messageValue('The value of the property.'))
    .default({})
    .describe(
      'User properties of each message, by name (MQTT 5). A message that lacks a value of one goes without it.',
    ),
  value_field: valueField,
};

const schema = settings(shape, (value, fail) => {
  checkMqtt(value, fail);
  if (value.protocol_version === 4 && Object.keys(value.user_properties).length > 0)
    fail(['user_properties'], 'needs `protocol_version: 5`');
});
type MqttOutputConfig = Filled<typeof shape>;

/** The most messages that wait for a confirmation, if the broker takes as many. */
const WINDOW = 1_000;

/** Publishes to an MQTT broker. */
export const mqttOutput = defineOutput({
  type: 'mqtt',
  summary: 'Publishes to an MQTT broker, over TCP or WebSocket.',
  status: 'beta',
  description: `With \`qos: 1\` or \`2\`, a message is confirmed when the broker has acknowledged it. Many brokers acknowledge before they write to the disk, some keep messages only in memory, and none keeps a message that nobody has subscribed to: for data that must not be lost behind the broker, look at its persistence.

If the connection is lost before a confirmation arrives, the batch is published again. Subscribers can then get messages twice, and the order of the batch is broken; also with \`qos: 2\`, which knows repeats within one connection only.

A message goes to \`error_output\` if its topic is none that a message can have, if it is larger than the broker takes, or if the broker refuses it where topics differ by message (MQTT 5). A broker of MQTT 3.1.1 drops messages that the user may not publish, and says nothing.`,
  schema,
  examples: [
    {
      title: 'A topic for each device, its last value retained',
      yaml: 'type: mqtt\nurl: mqtt://localhost:1883\ntopic: plant/{{json:device}}/state\nretain: true\n',
    },
    {
      title: 'Over WebSocket, with a password',
      yaml: 'type: mqtt\nurl: wss://broker.example.com/mqtt\nusername: millrace\npassword_file: ./mqtt-password\ntopic: ticks\nqos: 2\n',
    },
  ],
  create: (config, context) => new MqttOutput(config, context),
});

class MqttOutput implements Output {
  readonly #config: MqttOutputConfig;
  readonly #context: Context;
  readonly #topic: MessageValue;
  readonly #properties: readonly (readonly [name: string, value: MessageValue])[];
  #link: MqttLink | undefined;

  constructor(config: MqttOutputConfig, context: Context) {
    this.#config = config;
    this.#context = context;
    this.#topic = new MessageValue(config.topic, { field: 'topic', context });
    this.#properties = Object.entries(config.user_properties).map(([name, value]) => [
      name,
      new MessageValue(value, { field: `user_properties.${name}`, context, optional: true }),
    ]);
  }

  async prepare(): Promise<void> {
    for (const value of this.#values()) await value.prepare();
  }

  async connect(signal: AbortSignal, lost: (error: Error) => void): Promise<void> {
    const link = await MqttLink.open(this.#config, { context: this.#context, signal });
    this.#link = link;
    link.gone.addEventListener('abort', () => lost(link.gone.reason as Error), { once: true });
  }

  async write(batch: Batch, { signal }: WriteCall): Promise<WriteResult> {
    const link = this.#link;
    if (link === undefined || link.gone.aborted)
      throw link?.gone.reason ?? new NotConnectedError('not connected');
    const refusals = new Refusals();
    const topics = await this.#topic.of(batch, refusals.add, signal);
    const properties = new Map<string, MessageColumn>();
    for (const [name, value] of this.#properties)
      properties.set(name, await value.of(batch, refusals.add, signal));
    const payloads = payloadsOf(batch, this.#config.value_field, refusals.add);
    refuseUnfit(topics, payloads, link.connack.properties?.maximumPacketSize ?? Infinity, refusals);
    const { receiveMaximum = WINDOW } = link.connack.properties ?? {};
    const window = Math.min(receiveMaximum, WINDOW);
    for (let start = 0; start < payloads.length; start += window) {
      const end = Math.min(start + window, payloads.length);
      const sent: Promise<void>[] = [];
      for (let index = start; index < end; index++) {
        if (refusals.has(index)) continue;
        const payload = Buffer.from(
          payloads[index]!.buffer,
          payloads[index]!.byteOffset,
          payloads[index]!.length,
        );
        sent.push(
          link.client
            .publishAsync(valueIn(topics, index)!, payload, this.#options(properties, index))
            .then(noValue, (error: unknown) => this.#refused(error, index, refusals)),
        );
      }
      await link.answer('confirm messages', Promise.all(sent), signal);
    }
    return { refused: refusals.list };
  }

  async close(signal: AbortSignal): Promise<void> {
    await this.#link?.close(signal);
    for (const value of this.#values()) await value.close();
  }

  #values(): MessageValue[] {
    return [this.#topic, ...this.#properties.map(([, value]) => value)];
  }

  #options(properties: ReadonlyMap<string, MessageColumn>, index: number): IClientPublishOptions {
    const { qos: level, retain } = this.#config;
    if (properties.size === 0) return { qos: level, retain };
    const userProperties = Object.fromEntries(
      [...properties].flatMap(([name, column]) => {
        const value = valueIn(column, index);
        return value === undefined ? [] : [[name, value]];
      }),
    );
    return { qos: level, retain, properties: { userProperties } };
  }

  /** @throws the error, if it is not about this message alone */
  #refused(error: unknown, index: number, refusals: Refusals): void {
    const code = (error as { code?: unknown }).code;
    // With one topic for all, somebody can give us the permission, and nothing is written until then.
    if (typeof code !== 'number' || code < 0x80 || this.#topic.constant !== undefined) throw error;
    const message = `the broker refuses it: ${errorMessage(error)}`;
    refusals.add({ index, error: new MillraceError('MILLRACE_OUTPUT_REFUSED', message) });
  }
}

function noValue(): void {}

/** Bytes of a packet beside its topic and its payload, at most. */
const PACKET_BYTES = 32;

function refuseUnfit(
  topics: MessageColumn,
  payloads: readonly Uint8Array[],
  largest: number,
  refusals: Refusals,
): void {
  for (let index = 0; index < payloads.length; index++) {
    const topic = valueIn(topics, index);
    if (topic === undefined) continue;
    const bytes = payloads[index]!.length + Buffer.byteLength(topic) + PACKET_BYTES;
    const problem =
      topicProblem(topic) ??
      (bytes > largest ? `it is larger than the ${largest} bytes that the broker takes` : undefined);
    if (problem !== undefined)
      refusals.add({ index, error: new MillraceError('MILLRACE_OUTPUT_REFUSED', problem) });
  }
}

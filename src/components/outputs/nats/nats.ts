import { MessageValue, valueIn, type MessageColumn } from '../../../clients/message-value.ts';
import { NatsLink } from '../../../clients/nats/link.ts';
import { Refusals } from '../../../clients/refusals.ts';
import { payloadsOf } from '../../../clients/value-field.ts';
import type { Context } from '../../../component/context.ts';
import type { Output, WriteCall, WriteResult } from '../../../component/contracts.ts';
import { defineOutput } from '../../../component/define.ts';
import { messageId } from '../../../component/message-id.ts';
import { MillraceError, NotConnectedError } from '../../../errors.ts';
import type { Batch } from '../../../message/batch.ts';
import { schema, type NatsOutputConfig } from './config.ts';
import { JetStreamPublisher, OWN_HEADER_BYTES } from './jet-stream.ts';
import { refuseUnfit, setHeaders, type Outgoing } from './outgoing.ts';

/** Publishes to NATS. */
export const natsOutput = defineOutput({
  type: 'nats',
  summary: 'Publishes to NATS: to whoever subscribes, or to a JetStream stream.',
  status: 'beta',
  description: `With \`mode.type: jet_stream\`, a message is confirmed when its stream has stored it. If the stream has \`allow_atomic\` (nats-server 2.12), and all messages of a batch go to it (\`subject\` is the same for all, or \`stream\` names it), up to 1000 messages at a time are stored whole or not at all, in order. Otherwise they are published one after the other, and confirmed together.

Repeats: each message has a \`Nats-Msg-Id\` that is the same when it is written again, also after a restart behind a log. The stream drops repeats within its \`duplicate_window\` (2 minutes unless you set it). After a longer outage, the messages of the last batch can be there twice. Without \`allow_atomic\`, an outage in the middle of a batch can leave a gap that is filled afterwards: then the order of these messages changes.

With \`mode.type: regular\`, a message is confirmed when the server has it. Core NATS keeps nothing: subscribers that are not connected at that moment never get it.

A message goes to \`error_output\` if it is larger than the server’s \`max_payload\` or the stream’s \`max_msg_size\`, if its subject or a header is not one that NATS can have, or, where the subject differs by message, if no stream has its subject or the user may not publish to it. If the subject is the same for all, the output waits until there is such a stream or permission; readiness says so.`,
  schema,
  examples: [
    {
      title: 'A stream, by the device in each message',
      yaml: "type: nats\nurl: nats://localhost:4222\nmode:\n  type: jet_stream\n  subject: readings.{{json:device}}\n  stream: READINGS\nheaders:\n  Origin: '{{source}}'\n",
    },
    {
      title: 'Subscribers of the moment',
      yaml: 'type: nats\nurl: tls://nats.example.com:4222\nauth: { credentials_file: ./millrace.creds }\nmode: { type: regular, subject: ticks }\n',
    },
  ],
  create: (config, context) => new NatsOutput(config, context),
});

class NatsOutput implements Output {
  readonly identified = true;
  readonly #config: NatsOutputConfig;
  readonly #context: Context;
  readonly #subject: MessageValue;
  readonly #id: MessageValue | undefined;
  readonly #headers: readonly (readonly [name: string, value: MessageValue])[];
  #link: NatsLink | undefined;
  #publisher: JetStreamPublisher | undefined;

  constructor(config: NatsOutputConfig, context: Context) {
    this.#config = config;
    this.#context = context;
    const { mode, headers } = config;
    this.#subject = new MessageValue(mode.subject, { field: 'mode.subject', context });
    if (mode.type === 'jet_stream' && mode.message_id !== undefined)
      this.#id = new MessageValue(mode.message_id, { field: 'mode.message_id', context });
    this.#headers = Object.entries(headers).map(([name, value]) => [
      name,
      new MessageValue(value, { field: `headers.${name}`, context, optional: true }),
    ]);
  }

  async prepare(): Promise<void> {
    for (const value of this.#values()) await value.prepare();
  }

  async connect(signal: AbortSignal, lost: (error: Error) => void): Promise<void> {
    const { mode } = this.#config;
    const link = await NatsLink.open(this.#config, this.#context, signal);
    this.#link = link;
    if (mode.type === 'jet_stream') this.#publisher = await JetStreamPublisher.open(link, mode.stream);
    link.gone.addEventListener('abort', () => lost(link.gone.reason as Error), { once: true });
  }

  async write(batch: Batch, call: WriteCall): Promise<WriteResult> {
    const { signal } = call;
    const link = this.#link;
    if (link === undefined || link.gone.aborted)
      throw link?.gone.reason ?? new NotConnectedError('not connected');
    const refusals = new Refusals();
    const outgoing = await this.#outgoing(batch, refusals, signal);
    const publisher = this.#publisher;
    const extra = publisher === undefined ? 0 : OWN_HEADER_BYTES;
    refuseUnfit(outgoing, link.nc.info?.max_payload ?? Infinity, extra, refusals);
    if (publisher === undefined) {
      await this.#publish(link, outgoing, refusals, signal);
      return { refused: refusals.list };
    }
    const ids = await this.#ids(batch, call, refusals);
    const isLeftOut = (index: number): boolean => refusals.has(index);
    const { refused, failed } = await publisher.publish({ ...outgoing, ids, isLeftOut }, signal);
    for (const { index, reason } of refused)
      refusals.add({ index, error: new MillraceError('MILLRACE_OUTPUT_REFUSED', reason) });
    if (failed === undefined) return { refused: refusals.list };
    const retry: number[] = [];
    for (let index = failed.index; index < batch.length; index++) if (!refusals.has(index)) retry.push(index);
    const reason = new Error(`${valueIn(outgoing.subjects, failed.index)}: ${failed.reason}`);
    return { refused: refusals.list, retry, reason };
  }

  async close(): Promise<void> {
    this.#link?.close();
    for (const value of this.#values()) await value.close();
  }

  #values(): MessageValue[] {
    return [this.#subject, this.#id, ...this.#headers.map(([, value]) => value)].filter(
      (value) => value !== undefined,
    );
  }

  async #outgoing(batch: Batch, refusals: Refusals, signal: AbortSignal): Promise<Outgoing> {
    const subjects = await this.#subject.of(batch, refusals.add, signal);
    const headers = new Map<string, MessageColumn>();
    for (const [name, value] of this.#headers) headers.set(name, await value.of(batch, refusals.add, signal));
    return { payloads: payloadsOf(batch, this.#config.value_field, refusals.add), subjects, headers };
  }

  async #ids(batch: Batch, call: WriteCall, refusals: Refusals): Promise<MessageColumn> {
    if (this.#id !== undefined) return await this.#id.of(batch, refusals.add, call.signal);
    return Array.from({ length: batch.length }, (_, index) => messageId(call, index));
  }

  /** Core NATS: the answer to a ping says that the server has everything that was sent before. */
  async #publish(link: NatsLink, outgoing: Outgoing, refusals: Refusals, signal: AbortSignal): Promise<void> {
    const { payloads, subjects, headers } = outgoing;
    const { nc, denied } = link;
    const library = headers.size === 0 ? undefined : await import('@nats-io/transport-node');
    denied.clear();
    for (let index = 0; index < payloads.length; index++) {
      if (refusals.has(index)) continue;
      const own = library?.headers();
      if (own !== undefined) setHeaders(own, headers, index);
      nc.publish(valueIn(subjects, index)!, payloads[index], own && { headers: own });
    }
    await link.answer('confirm messages', nc.flush(), signal);
    if (denied.size === 0) return;
    for (let index = 0; index < payloads.length; index++) {
      const reason = denied.get(valueIn(subjects, index) ?? '');
      if (reason === undefined || refusals.has(index)) continue;
      // With one subject for all, somebody can give us the permission, and nothing is written until then.
      if (this.#subject.constant !== undefined) throw new Error(reason);
      refusals.add({ index, error: new MillraceError('MILLRACE_OUTPUT_REFUSED', reason) });
    }
  }
}

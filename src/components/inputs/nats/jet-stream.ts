import type { Consumer, ConsumerMessages } from '@nats-io/jetstream';
import type { Msg } from '@nats-io/transport-node';
import { NatsLink } from '../../../clients/nats/link.ts';
import { within } from '../../../clients/within.ts';
import type { Context } from '../../../component/context.ts';
import type { Input } from '../../../component/contracts.ts';
import { Waker } from '../../../component/waker.ts';
import { EndOfInputError, errorMessage, NotConnectedError } from '../../../errors.ts';
import type { Origin } from '../../../message/batch.ts';
import type { InputDelivery } from '../../../message/delivery.ts';
import { createReceipt } from '../../../message/receipt.ts';
import { streamBatchOf } from './batch.ts';
import { HeldMessages } from './held.ts';
import type { JetStreamMode, NatsInputConfig } from './config.ts';

/** How many messages are asked for at a time. */
const AT_A_TIME = 1000;

/** How long the server keeps a question for messages. In milliseconds; it sends a sign of life every 5 s meanwhile. */
const EXPIRES = 30_000;
const HEARTBEAT = 5_000;

/** How long the server has to take the last acknowledgements, in milliseconds. */
const FAREWELL = 500;

const NANOS_PER_MS = 1e6;

/** Reads a stream through a durable consumer. */
export class NatsStreamInput implements Input {
  readonly #config: NatsInputConfig;
  readonly #mode: JetStreamMode;
  readonly #context: Context;
  readonly #waker = new Waker();
  readonly #held = new HeldMessages();
  #link: NatsLink | undefined;
  #consumer: Consumer | undefined;
  #origin: Origin | undefined;
  /** The question that is under way. */
  #pull: ConsumerMessages | undefined;
  #isAsking = false;
  #waiting: Msg[] = [];
  #draining = false;

  constructor(config: NatsInputConfig, mode: JetStreamMode, context: Context) {
    this.#config = config;
    this.#mode = mode;
    this.#context = context;
  }

  async connect(signal: AbortSignal): Promise<void> {
    // The server gives them again to the new connection.
    this.#waiting = [];
    this.#pull = undefined;
    const link = await NatsLink.open(this.#config, this.#context, signal);
    this.#link = link;
    try {
      await this.#bind(link, signal);
    } catch (error) {
      link.close();
      throw error;
    }
    link.gone.addEventListener('abort', () => this.#waker.wake(), { once: true });
  }

  async read(signal: AbortSignal): Promise<InputDelivery> {
    const link = this.#link!;
    while (this.#waiting.length === 0) {
      if (this.#draining) throw new EndOfInputError();
      if (link.gone.aborted) throw link.gone.reason;
      if (!this.#isAsking) void this.#ask(link);
      await this.#waker.wait(signal);
      signal.throwIfAborted();
    }
    const messages = this.#waiting;
    this.#waiting = [];
    const settled = this.#held.hold(repliesOf(messages));
    const batch = streamBatchOf(messages, this.#origin!, this.#config.headers);
    return { batch, receipt: createReceipt({ settled }) };
  }

  drain(): void {
    this.#draining = true;
    this.#pull?.stop();
    this.#held.giveBack(repliesOf(this.#waiting));
    this.#waiting = [];
    this.#waker.wake();
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#pull?.stop();
    this.#held.close();
    const link = this.#link;
    if (link === undefined) return;
    // The last acknowledgements must get to the server.
    if (!link.gone.aborted && !signal.aborted)
      await within('flush', link.nc.flush(), { timeout: FAREWELL, signal }).catch(() => {});
    link.close();
  }

  /** Finds the consumer, or creates it. */
  async #bind(link: NatsLink, signal: AbortSignal): Promise<void> {
    const { stream, durable_name, consumer_name } = this.#mode;
    const name = durable_name ?? consumer_name!;
    const { jetstream, jetstreamManager } = await import('@nats-io/jetstream');
    const manager = await jetstreamManager(link.nc, { checkAPI: false });
    const ask = async <T>(what: string, promise: Promise<T>): Promise<T> => {
      try {
        return await link.answer(what, promise, signal);
      } catch (error) {
        if (error instanceof NotConnectedError || signal.aborted) throw error;
        throw new NotConnectedError(`${link.url}: cannot ${what}: ${errorMessage(error)}`, error);
      }
    };
    const what = `find the consumer ${name} of the stream ${stream}`;
    const isUnknown = (error: unknown): boolean => (error as Error).name === 'ConsumerNotFoundError';
    let info = await ask(
      what,
      manager.consumers.info(stream, name).catch((error: unknown) => {
        if (isUnknown(error)) return undefined;
        throw error;
      }),
    );
    info ??= await ask(
      `create the consumer ${name} of the stream ${stream}`,
      manager.consumers.add(stream, await this.#settings(name)),
    );
    const { ack_wait: ackWait = 0 } = info.config;
    this.#consumer = await ask(what, jetstream(link.nc).consumers.get(stream, name));
    this.#held.connected(link, ackWait / NANOS_PER_MS);
    this.#origin = { source: this.#context.name ?? link.url, ext: { stream, consumer: name } };
  }

  async #settings(name: string) {
    const { AckPolicy, DeliverPolicy } = await import('@nats-io/jetstream');
    const { subjects, deliver, ack_wait, max_ack_pending } = this.#mode;
    const policies = { all: DeliverPolicy.All, new: DeliverPolicy.New, last: DeliverPolicy.Last };
    return {
      durable_name: name,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: policies[deliver],
      ack_wait: ack_wait * NANOS_PER_MS,
      max_ack_pending,
      ...(subjects !== undefined && { filter_subjects: subjects }),
    };
  }

  /** Asks for messages, which come as they are there, until that question is answered. */
  async #ask(link: NatsLink): Promise<void> {
    this.#isAsking = true;
    try {
      this.#pull = await this.#consumer!.fetch({
        max_messages: AT_A_TIME,
        expires: EXPIRES,
        idle_heartbeat: HEARTBEAT,
      });
      for await (const message of this.#pull) {
        // It is one, but its type says nothing of the subject to reply to.
        this.#waiting.push(message as unknown as Msg);
        this.#waker.wake();
      }
    } catch (error) {
      link.cut(new NotConnectedError(`${link.url}: ${errorMessage(error)}`, error));
    } finally {
      this.#pull = undefined;
      this.#isAsking = false;
      this.#waker.wake();
    }
  }
}

function repliesOf(messages: readonly Msg[]): string[] {
  return messages.map(({ reply = '' }) => reply);
}

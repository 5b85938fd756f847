import type { Msg } from '@nats-io/transport-node';
import { NatsLink } from '../../../clients/nats/link.ts';
import type { Context } from '../../../component/context.ts';
import type { Input } from '../../../component/contracts.ts';
import { Waker } from '../../../component/waker.ts';
import { EndOfInputError, NotConnectedError } from '../../../errors.ts';
import type { Origin } from '../../../message/batch.ts';
import type { InputDelivery } from '../../../message/delivery.ts';
import { noReceipt } from '../../../message/receipt.ts';
import { batchOf } from './batch.ts';
import type { NatsInputConfig } from './config.ts';

/** The most messages in a batch. */
const LARGEST = 16_384;

/**
 * A subscription of core NATS. Nothing tells the server to wait, so what comes while the stream is full is dropped and
 * counted; to stop reading the connection would have the server drop it all.
 */
export class NatsCoreInput implements Input {
  readonly #config: NatsInputConfig;
  readonly #context: Context;
  readonly #waker = new Waker();
  #link: NatsLink | undefined;
  #origin: Origin | undefined;
  #waiting: Msg[] = [];
  #bytes = 0;
  #draining = false;

  constructor(config: NatsInputConfig, context: Context) {
    this.#config = config;
    this.#context = context;
  }

  async connect(signal: AbortSignal): Promise<void> {
    const { mode } = this.#config;
    if (mode.type !== 'regular') return;
    const link = await NatsLink.open(this.#config, this.#context, signal);
    this.#link = link;
    this.#origin = { source: this.#context.name ?? link.url, ext: {} };
    const { queue_group: queue } = mode;
    link.nc.subscribe(mode.subject, {
      ...(queue !== undefined && { queue }),
      callback: (error, message) => {
        if (error !== null) link.cut(new NotConnectedError(`${link.url}: ${error.message}`, error));
        else this.#arrived(message);
      },
    });
    // The server has the subscription, or has said that it is not allowed.
    await link.answer('subscribe', link.nc.flush(), signal);
    link.gone.addEventListener('abort', () => this.#waker.wake(), { once: true });
  }

  async read(signal: AbortSignal): Promise<InputDelivery> {
    const over = (): boolean => this.#draining || this.#link!.gone.aborted;
    await this.#waker.until(() => this.#waiting.length > 0, signal, { over });
    if (this.#waiting.length === 0) {
      if (this.#draining) throw new EndOfInputError();
      throw this.#link!.gone.reason;
    }
    const messages = this.#waiting.splice(0, LARGEST);
    for (const { data } of messages) this.#bytes -= data.length;
    const batch = batchOf(messages, this.#origin!, this.#config.headers);
    return { batch, receipt: noReceipt };
  }

  drain(): void {
    this.#draining = true;
    this.#link?.close();
    this.#waker.wake();
  }

  close(): Promise<void> {
    this.#link?.close();
    return Promise.resolve();
  }

  #arrived(message: Msg): void {
    const { limits } = this.#context.stream;
    const isFull = this.#waiting.length >= limits.messages || this.#bytes >= limits.bytes;
    if (isFull || this.#draining) return this.#context.events.messagesDropped('overflow', 1);
    this.#waiting.push(message);
    this.#bytes += message.data.length;
    this.#waker.wake();
  }
}

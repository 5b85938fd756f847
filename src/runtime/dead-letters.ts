import { isUtf8 } from 'node:buffer';
import type { Keep } from '../component/contracts.ts';
import type { Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import { positioned } from '../message/delivery.ts';
import { createReceipt, type Receipt } from '../message/receipt.ts';
import { describeMessage, describePayload } from '../message/described.ts';
import type { Stage, StreamEvents } from '../telemetry/events.ts';
import { maskSecrets } from '../telemetry/secrets.ts';
import { BatchNames } from './batch-names.ts';
import type { Sink } from './sink.ts';

/** How much of a rejected payload is logged when no `error_output` keeps it. */
const LOGGED_BYTES = 1024;

/** Sends rejected messages to `error_output`, or to the log. They never just vanish. */
export class DeadLetters {
  readonly #events: StreamEvents;
  readonly #sink: Sink | undefined;
  readonly #signal: AbortSignal;
  readonly #failed: (error: unknown) => void;
  readonly #names = new BatchNames(false);
  #tail: Promise<void> = Promise.resolve();
  #waiting = 0;

  /** `failed` is called when `error_output` has failed for good. */
  constructor(options: {
    events: StreamEvents;
    sink: Sink | undefined;
    signal: AbortSignal;
    failed: (error: unknown) => void;
  }) {
    this.#events = options.events;
    this.#sink = options.sink;
    this.#signal = options.signal;
    this.#failed = options.failed;
  }

  /**
   * The receipt from `keep` stays open until the rejected messages are written, and so the reply to their senders
   * waits. Messages that wait here count in the stream's budget.
   */
  reject(stage: Stage, batch: Batch, rejections: readonly Rejection[], keep: Keep): void {
    if (rejections.length === 0) return;
    const sorted = rejections.toSorted((a, b) => a.index - b.index);
    for (const { index, error } of sorted) {
      const payload = this.#sink === undefined ? (): string => printable(batch.sent[index]!) : undefined;
      this.#events.messageRejected(stage, error, batch.runAt(index).origin.ext, payload);
    }
    const receipt = keep();
    const outcome = positioned(batch, sorted);
    const sink = this.#sink;
    if (sink === undefined) return receipt.done(outcome);
    const rejected = batch.select(sorted.map(({ index }) => index));
    const letters = sorted.map((rejection, place) =>
      deadLetter(rejected, place, {
        code: rejection.error.code,
        stage,
        ...(sink.toClients
          ? { message: rejection.error.told }
          : { message: maskSecrets(rejection.error.message), field: rejection.field }),
      }),
    );
    const letterBatch = rejected.withPayloads(letters, 'json');
    const call = {
      ...this.#names.call({ batch: letterBatch, receipt }, 0, this.#signal),
      // A letter that is rejected itself is not confirmed before the letter about it; who sent the message hears of one.
      keep: () => withoutOutcome(receipt.fork()),
    };
    this.#waiting++;
    this.#tail = this.#tail.then(async () => {
      try {
        await sink.write(letterBatch, call);
        receipt.done(outcome);
      } catch (error) {
        receipt.failed(error);
        this.#failed(error);
      } finally {
        this.#waiting--;
      }
    });
  }

  /** Resolves when everything that any of them has is written; one may reject what it is to write to another. */
  static async idle(all: readonly DeadLetters[]): Promise<void> {
    do await Promise.all(all.map((each) => each.#tail));
    while (all.some((each) => each.#waiting > 0));
  }
}

function withoutOutcome(receipt: Receipt): Receipt {
  return createReceipt({
    settled(error) {
      if (error === undefined) receipt.done();
      else receipt.failed(error);
    },
  });
}

/** The message as sent, and its form at the rejection. */
function deadLetter(batch: Batch, index: number, error: object): Uint8Array {
  const [sent, payload] = [batch.sent[index]!, batch.payloads[index]!];
  const letter = {
    ...describeMessage(sent, batch.metadata(index)),
    ...(Buffer.compare(sent, payload) !== 0 && { processed: describePayload(payload) }),
    error: { ...error, time: new Date().toISOString() },
  };
  return Buffer.from(JSON.stringify(letter));
}

function printable(payload: Uint8Array): string {
  const cut = Buffer.from(payload.subarray(0, LOGGED_BYTES));
  const more = payload.length > LOGGED_BYTES ? `… (${payload.length} bytes)` : '';
  return (isUtf8(payload) ? cut.toString('utf8') : `base64:${cut.toString('base64')}`) + more;
}

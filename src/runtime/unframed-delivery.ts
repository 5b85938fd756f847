import type { Unframer } from '../component/framing/unframer.ts';
import type { Rejection } from '../errors.ts';
import { Batch, type Run } from '../message/batch.ts';
import type { InputDelivery } from '../message/delivery.ts';
import { createReceipt, type Receipt } from '../message/receipt.ts';

/**
 * The messages in an input's frames, as a delivery of their own. Each has its frame's metadata. A frame is settled when
 * its messages are, and rejected if one of them is.
 */
export function unframed(delivery: InputDelivery, unframer: Unframer): InputDelivery {
  const { batch: frames, receipt } = delivery;
  const messages: Uint8Array[] = [];
  /** The frame of each message. */
  const sources: number[] = [];
  const refused: Rejection[] = [];
  for (const [index, frame] of frames.payloads.entries()) {
    const found = unframer.split(frame, frames.runAt(index).messageType === 'text');
    for (const [place, error] of found.errors ?? []) refused.push({ index: messages.length + place, error });
    for (const message of found.messages) {
      messages.push(message);
      sources.push(index);
    }
  }
  const { parts, runs: own } = frames.select(sources);
  // With lengths, not every part of a text is valid text.
  const runs = unframer.binary ? own.map((run): Run => ({ ...run, messageType: 'binary' })) : own;
  const batch = new Batch(messages, { ...parts, runs, format: 'bytes', sent: undefined, positions: 'own' });
  return {
    ...delivery,
    batch,
    receipt: receiptOf(receipt, sources),
    refused: refused.length > 0 ? refused : undefined,
  };
}

/** Passes the outcome of messages from frames on to the receipt of the frames, by the frames' positions. */
function receiptOf(receipt: Receipt, sources: readonly number[]): Receipt {
  return createReceipt({
    settled(error) {
      if (error === undefined) receipt.done();
      else receipt.failed(error);
    },
    rejected(rejected) {
      receipt.fork().done(rejected.map((each) => ({ ...each, index: sources[each.index]! })));
    },
    parked: () => receipt.park(),
  });
}

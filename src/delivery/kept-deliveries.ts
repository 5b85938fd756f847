import type { FileHandle } from 'node:fs/promises';
import { Outage } from '../component/outage.ts';
import { errorMessage, MillraceError } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import { joinDeliveries, type Delivery } from '../message/delivery.ts';
import { relayReceipt, type Receipt } from '../message/receipt.ts';
import { fromWire, toWire } from '../message/wire-format.ts';
import type { StateBudget } from '../component/state-budget.ts';

/** The rough memory cost of a message besides its payload: a buffer and its place in a list. In bytes. */
const MESSAGE_COST = 112;

/** Beyond this many bytes, each batch is kept as one piece of memory, which costs no object per message. */
const WORTH_PACKING = 4 * 1024 * 1024;

/** A kept batch: unchanged, in one piece of memory, or in the file. */
/** A batch that keeps more than this many times its own cost in memory is packed. */
const SPARSE = 8;

type Content = Batch | Buffer | { readonly at: number; readonly length: number };

interface Entry {
  readonly content: Content;
  readonly receipt: Receipt;
  /** Undefined for a batch that did not fit: it is still in flight. */
  readonly release: (() => void) | undefined;
}

/**
 * The deliveries that an operator keeps, in order, until it passes them on together. They are state of the stream and no
 * longer in flight. A delivery that does not fit stays in flight, so senders wait once `in_flight` is full as well.
 */
export class KeptDeliveries {
  readonly #state: StateBudget;
  #entries: Entry[] = [];
  #messages = 0;
  #bytes = 0;
  #file: FileHandle | undefined;
  #fileEnd = 0;
  /** Whether something did not fit. */
  #crowded = false;
  readonly #outage = new Outage();

  constructor(state: StateBudget) {
    this.#state = state;
  }

  get messages(): number {
    return this.#messages;
  }

  /** Why messages that should be kept wait in flight, or undefined. */
  get trouble(): string | undefined {
    if (this.#outage.active) return this.#outage.describe('its state cannot be written to the disk');
    if (!this.#crowded) return undefined;
    const { memory, disk } = this.#state.limits;
    const where = this.#state.hasFiles
      ? `state.memory ${memory} and state.disk ${disk}`
      : `state.memory ${memory}`;
    return `its state is full (${where} bytes); senders wait once in_flight is full as well`;
  }

  /** Keeps a delivery. Wait for one call to resolve before the next. */
  async add({ batch, receipt }: Delivery): Promise<void> {
    const { length } = batch;
    this.#messages += length;
    const cost = batch.held + length * MESSAGE_COST;
    const isSmall = this.#bytes + cost <= WORTH_PACKING;
    if (isSmall && this.#state.fits('memory', cost) && isDense(batch, cost)) {
      return this.#keep('memory', { content: batch, receipt }, length, cost);
    }
    const packed = toWire(batch);
    if (this.#state.fits('memory', packed.length)) {
      return this.#keep('memory', { content: packed, receipt }, length, packed.length);
    }
    if (this.#state.fits('disk', packed.length) && (await this.#write(packed))) {
      const content = { at: this.#fileEnd - packed.length, length: packed.length };
      return this.#keep('disk', { content, receipt }, length, packed.length);
    }
    this.#crowded = true;
    this.#entries.push({ content: batch, receipt, release: undefined });
  }

  /**
   * Takes everything as one delivery for each format of its messages, or none if nothing is kept. It counts as state
   * until it is settled.
   * @throws MillraceError MILLRACE_FILE_UNAVAILABLE, fatal, if the disk does not return the bytes that it took
   */
  async take(): Promise<Delivery[]> {
    const entries = this.#entries;
    const file = this.#file;
    this.#entries = [];
    this.#messages = 0;
    this.#bytes = 0;
    this.#file = undefined;
    this.#fileEnd = 0;
    this.#crowded = false;
    this.#outage.over();
    if (entries.length === 0) return [];
    try {
      const deliveries: Delivery[] = [];
      for (const { content, receipt, release } of entries) {
        if (receipt.revoked === true) {
          release?.();
          continue;
        }
        const batch = await unpack(content, file);
        deliveries.push({ batch, receipt: release === undefined ? receipt : relayReceipt(receipt, release) });
      }
      return joinDeliveries(deliveries);
    } catch (error) {
      // To reject the newest batch would be no answer: everything that was kept is gone from here, unconfirmed.
      throw new MillraceError(
        'MILLRACE_FILE_UNAVAILABLE',
        `the state could not be read from the disk again: ${errorMessage(error)}`,
        { cause: error, fatal: true },
      );
    } finally {
      await file?.close();
    }
  }

  /** Forgets everything. It stays counted, because none of it is settled. */
  async close(): Promise<void> {
    this.#entries = [];
    await this.#file?.close();
    this.#file = undefined;
  }

  #keep(
    where: 'memory' | 'disk',
    { content, receipt }: Omit<Entry, 'release'>,
    messages: number,
    bytes: number,
  ): void {
    this.#bytes += bytes;
    this.#entries.push({ content, receipt, release: this.#state.add(where, messages, bytes) });
    receipt.park();
  }

  /** @returns false if the disk cannot take the bytes */
  async #write(bytes: Buffer): Promise<boolean> {
    try {
      this.#file ??= await this.#state.file();
      let written = 0;
      while (written < bytes.length) {
        const rest = bytes.subarray(written);
        written += (await this.#file.write(rest, 0, rest.length, this.#fileEnd + written)).bytesWritten;
      }
      this.#fileEnd += bytes.length;
      this.#outage.over();
      return true;
    } catch (error) {
      this.#outage.failed(error);
      return false;
    }
  }
}

/**
 * Whether the batch keeps little more memory than it costs. A payload may be the rest that a filter left of a large piece
 * of memory, and a row may hold the messages that it was made of. Such a batch is packed.
 */
function isDense(batch: Batch, cost: number): boolean {
  if (batch.parts.sent !== undefined) return false;
  if (batch.rows !== undefined) return true;
  const pieces = batch.lines === undefined ? batch.payloads : [batch.lines];
  let memory = 0;
  let last: ArrayBufferLike | undefined;
  for (const { buffer } of pieces) {
    if (buffer !== last) memory += buffer.byteLength;
    last = buffer;
  }
  return memory <= SPARSE * cost;
}

async function unpack(content: Content, file: FileHandle | undefined): Promise<Batch> {
  if (content instanceof Uint8Array) return fromWire(content);
  if (!('at' in content) || typeof content.at !== 'number') return content as Batch;
  const { at, length } = content;
  const bytes = Buffer.allocUnsafeSlow(length);
  for (let read = 0; read < length;) {
    const { bytesRead } = await file!.read(bytes, read, length - read, at + read);
    if (bytesRead === 0) throw new Error('the file of the state is shorter than it was');
    read += bytesRead;
  }
  return fromWire(bytes);
}

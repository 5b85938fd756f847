import type { Outgoing } from '../../component/sessions.ts';
import type { ServerMessages } from './server-messages.ts';

/** The rough size of the frame around a payload, in bytes. */
const AROUND = 80;

/** Sends messages in frames of the protocol, and leaves the rest to the connection's own `Outgoing`. */
export class PlainOutgoing implements Outgoing {
  readonly #inner: () => Outgoing;
  readonly #messages: ServerMessages;

  /** @param inner the connection's own `Outgoing` */
  constructor(inner: () => Outgoing, messages: ServerMessages) {
    this.#inner = inner;
    this.#messages = messages;
  }

  get waiting(): number {
    return this.#inner().waiting;
  }

  get sent(): number {
    return this.#inner().sent;
  }

  get written(): number {
    return this.#inner().written;
  }

  get taken(): number {
    return this.#inner().taken;
  }

  get stalled(): number {
    return this.#inner().stalled;
  }

  get patience(): number {
    return this.#inner().patience;
  }

  get confirmed(): boolean {
    return this.#inner().confirmed;
  }

  get slow(): boolean {
    return this.#inner().slow;
  }

  set slow(slow: boolean) {
    this.#inner().slow = slow;
  }

  hasRoom(size: number, limit: number, dropping?: boolean): boolean {
    return this.#inner().hasRoom(size + AROUND, limit, dropping);
  }

  send(payload: Uint8Array, binary: boolean, json?: boolean): void {
    this.sendFrame(this.#messages.frameOf(payload, binary, json));
  }

  sendFrame(frame: Buffer): void {
    this.#inner().send(frame, false);
  }

  sendDropping(payload: Uint8Array, binary: boolean, limit: number, json?: boolean): number {
    return this.#inner().sendDropping(this.#messages.frameOf(payload, binary, json), false, limit);
  }

  cork(): void {
    this.#inner().cork();
  }

  uncork(): void {
    this.#inner().uncork();
  }

  until(done: () => boolean, signal: AbortSignal, timeout?: number): Promise<boolean> {
    return this.#inner().until(done, signal, timeout);
  }
}

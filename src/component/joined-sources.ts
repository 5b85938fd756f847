import { EndOfInputError } from '../errors.ts';
import type { InputDelivery } from '../message/delivery.ts';
import type { Source } from './context.ts';
import type { Input } from './contracts.ts';
import { inField } from './in-field.ts';
import { Waker } from './waker.ts';

export interface JoinedOptions {
  /** How many of them must be ready: `every` one, or at least `some`. */
  readonly ready: 'every' | 'some';
  /**
   * Returns the part of a delivery that goes on, or undefined for none; a filter that drops messages settles their
   * receipt.
   */
  readonly filter?: ((delivery: InputDelivery) => InputDelivery | undefined) | undefined;
  /** Checks what the sources have in common, before anything connects. @throws MillraceError */
  readonly check?: () => void;
  /** The configuration field that lists them, if each has its own configuration there. */
  readonly list?: string;
}

/** Several inputs as one. Each connects and reconnects by itself; the whole ends when all have ended. */
export class JoinedSources implements Input {
  readonly budgeted = true;
  readonly composite = true;
  readonly #sources: readonly Source[];
  readonly #options: JoinedOptions;
  /** Sources that are waiting for data or have ended. */
  readonly #reading = new Set<Source>();
  readonly #ready: { source: Source; delivery: InputDelivery }[] = [];
  readonly #ended = new Set<Source>();
  #failure: { error: unknown } | undefined;
  readonly #waker = new Waker();

  constructor(sources: readonly Source[], options: JoinedOptions) {
    this.#sources = sources;
    this.#options = options;
  }

  get listens(): boolean {
    return this.#sources.some((source) => source.listens);
  }

  async prepare(): Promise<void> {
    const { check, list } = this.#options;
    check?.();
    for (const [index, source] of this.#sources.entries()) {
      if (list === undefined) await source.prepare();
      else await inField(`${list}.${index}`, () => source.prepare());
    }
  }

  /** Does nothing: each source connects by itself, at its first read. */
  connect(): Promise<void> {
    return Promise.resolve();
  }

  async dial(signal: AbortSignal): Promise<void> {
    for (const source of this.#sources) await source.dial(signal);
  }

  notReady(): string | undefined {
    const states = this.#sources
      .filter((source) => !this.#ended.has(source))
      .map((source) => source.notReady());
    const reasons = states.filter((reason) => reason !== undefined);
    const enough = this.#options.ready === 'every' ? reasons.length === 0 : reasons.length < states.length;
    return enough || reasons.length === 0 ? undefined : reasons.join('; ');
  }

  async read(signal: AbortSignal): Promise<InputDelivery> {
    for (const source of this.#sources) this.#start(source, signal);
    for (;;) {
      signal.throwIfAborted();
      const next = this.#ready.shift();
      if (next !== undefined) {
        this.#reading.delete(next.source);
        this.#start(next.source, signal);
        const { filter } = this.#options;
        const delivery = filter === undefined ? next.delivery : filter(next.delivery);
        if (delivery === undefined) continue;
        return delivery;
      }
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#ended.size === this.#sources.length) throw new EndOfInputError();
      await this.#waker.wait(signal);
    }
  }

  drain(): void {
    for (const source of this.#sources) source.drain();
  }

  async close(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#sources.map((source) => source.close(signal)));
  }

  /** One read of each source is always under way, and at most one batch of each waits. */
  #start(source: Source, signal: AbortSignal): void {
    if (this.#reading.has(source)) return;
    this.#reading.add(source);
    void source.read(signal).then(
      (delivery) => {
        this.#ready.push({ source, delivery });
        this.#waker.wake();
      },
      (error: unknown) => {
        if (error instanceof EndOfInputError) this.#ended.add(source);
        else this.#failure ??= { error };
        this.#waker.wake();
      },
    );
  }
}

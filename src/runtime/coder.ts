import type { Codec, Reject } from '../component/contracts.ts';
import { NotConnectedError, MillraceError, errorMessage, type Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import type { Stage } from '../telemetry/events.ts';
import { rejectInto } from './contract.ts';
import { KeptConnection, type ConnectionSurroundings } from './kept-connection.ts';

/** A codec's result for a batch, and its rejections. */
export interface Coded {
  readonly batch: Batch;
  readonly rejections: readonly Rejection[];
}

/**
 * A supervised codec: it is called again, with pauses, while the system that it talks to is away. Any other error
 * rejects the whole batch.
 */
export class Coder {
  readonly #codec: Codec;
  /** For errors: the codec of the component of this type. */
  readonly #name: string;
  readonly #connection: KeptConnection;

  constructor(codec: Codec, stage: Stage, type: string, surroundings: ConnectionSurroundings) {
    this.#codec = codec;
    this.#name = `the codec of ${stage} ${type}`;
    this.#connection = new KeptConnection({ stage, type }, surroundings);
  }

  async prepare(): Promise<void> {
    await this.#codec.prepare?.();
  }

  /** Before the first message; `signal` aborts when the stream ends. @throws the signal's reason */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#connection.connect(signal);
  }

  async close(signal: AbortSignal): Promise<void> {
    await this.#codec.close?.(signal);
  }

  /** Why nothing passes the codec, or undefined. */
  notReady(): string | undefined {
    const { outage } = this.#connection;
    return outage.active ? outage.describe(`${this.#name} is not connected`) : undefined;
  }

  /** @throws a fatal error of a codec that talks to something, or the signal's reason */
  async decode(batch: Batch, signal: AbortSignal): Promise<Coded> {
    return await this.#code(batch, signal, (reject) => this.#codec.decode(batch, reject));
  }

  /** @throws as `decode` */
  async encode(batch: Batch, signal: AbortSignal): Promise<Coded> {
    return await this.#code(batch, signal, (reject) => this.#codec.encode(batch, reject));
  }

  async #code(
    batch: Batch,
    signal: AbortSignal,
    code: (reject: Reject) => Batch | Promise<Batch>,
  ): Promise<Coded> {
    let rejections: Rejection[] = [];
    const attempt = (): Batch | Promise<Batch> => {
      rejections = [];
      return code(rejectInto(rejections, this.#name, batch.length));
    };
    try {
      const made = await this.#connection.use('process', attempt, signal, isFinal);
      return { batch: made, rejections };
    } catch (error) {
      if (!isFinal(error) || signal.aborted) throw error;
      return { batch: batch.select([]), rejections: all(batch, error) };
    }
  }
}

function isFinal(error: unknown): boolean {
  return !(error instanceof NotConnectedError);
}

function all({ length }: Batch, thrown: unknown): Rejection[] {
  const error =
    thrown instanceof MillraceError
      ? thrown
      : new MillraceError('MILLRACE_UNEXPECTED', errorMessage(thrown), { cause: thrown });
  return Array.from({ length }, (_, index) => ({ index, error }));
}

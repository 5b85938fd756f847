import { errorMessage, MillraceError } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import type { Destination, DestinationCall } from './context.ts';
import { inField } from './in-field.ts';

/** Thrown by a write with `limits`, when they are reached. */
export class GaveUpError extends MillraceError {
  override readonly name = 'GaveUpError';
  /** The places in the batch of the messages that the output has neither confirmed nor refused. */
  readonly left: readonly number[];

  constructor(reason: MillraceError, left: readonly number[]) {
    super(reason, reason.message, { cause: reason.cause });
    this.left = left;
  }
}

/** The arguments for writing some messages of a batch, by their places in it. */
export function callForPart<C extends DestinationCall>(call: C, places: readonly number[]): C {
  return {
    ...call,
    indices: places.map((place) => call.indices?.[place] ?? place),
    parts: call.parts && places.map((place) => call.parts![place]!),
  };
}

/** An output that another one has opened. */
export interface Branch {
  readonly destination: Destination;
  /** The field that has it: `outputs.0`. */
  readonly field: string;
}

/** The outputs that make up another one, except for which of them gets a message. */
export class Branches {
  readonly all: readonly Branch[];
  #turn: Promise<unknown> = Promise.resolve();

  constructor(all: readonly Branch[]) {
    this.all = all;
  }

  get identified(): boolean {
    return this.all.some(({ destination }) => destination.identified);
  }

  /** Rows, if each of them takes those: to the others, a value by itself would be a row. */
  get takes(): 'rows' | undefined {
    return this.all.every(({ destination }) => destination.takes === 'rows') ? 'rows' : undefined;
  }

  get toClients(): boolean {
    return this.all.some(({ destination }) => destination.toClients);
  }

  /** @throws MillraceError with the field of the output that is wrong */
  async prepare(): Promise<void> {
    for (const { destination, field } of this.all) await inField(field, () => destination.prepare());
  }

  start(signal: AbortSignal): void {
    for (const { destination } of this.all) destination.start(signal);
  }

  /** @throws MillraceError that says of each output that cannot be reached why */
  async dial(signal: AbortSignal): Promise<void> {
    const failures: { readonly name: string; readonly error: unknown }[] = [];
    await Promise.all(
      this.all.map(({ destination }) =>
        destination
          .dial(signal)
          .catch((error: unknown) => void failures.push({ name: destination.name, error })),
      ),
    );
    const [first] = failures;
    if (first === undefined) return;
    const message = failures.map(({ name, error }) => `${name}: ${errorMessage(error)}`).join('; ');
    const code = first.error instanceof MillraceError ? first.error : 'MILLRACE_NOT_CONNECTED';
    throw new MillraceError(code, message, { cause: first.error });
  }

  /** The reasons of those that stand. */
  notReady(): string | undefined {
    const reasons = this.all
      .map(({ destination }) => destination.notReady())
      .filter((each) => each !== undefined);
    return reasons.length === 0 ? undefined : reasons.join('; ');
  }

  reopen(): void {
    for (const { destination } of this.all) destination.reopen();
  }

  async close(signal: AbortSignal): Promise<void> {
    await Promise.all(this.all.map(({ destination }) => destination.close(signal)));
  }

  /**
   * Lets `give` run once those called before have given their batches: each output gets batches in their order. It may wait
   * for room, and returns the writes that it has begun. Resolves when all of them have ended.
   * @throws a fatal error, or the signal's reason
   */
  async inTurn(give: () => Promise<readonly Promise<void>[]>): Promise<void> {
    const given = this.#turn.then(give);
    this.#turn = given.catch(() => {});
    await Promise.all(await given);
  }

  /** Begins to write a batch to one of the outputs. `places`: of its messages, if it is a part of the one that `call` is for. */
  write(branch: Branch, batch: Batch, call: DestinationCall, places?: readonly number[]): Promise<void> {
    const { destination } = branch;
    // Two outputs may write to one sink, which must not take the one's message for a repeat of the other's.
    const named = { ...call, id: `${call.id}~${encodeURIComponent(destination.name)}` };
    return destination.write(batch, places === undefined ? named : callForPart(named, places));
  }
}

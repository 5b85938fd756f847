/**
 * The promise that a batch carries: exactly one of the two takes effect, once; later calls do nothing.
 *
 * `fork` is for who derives several batches from one, or keeps a batch for later: the original fires when every
 * fork has been settled too, with the first error if any of them was refused.
 */
export interface Ack {
  ack(): void;
  nack(error: unknown): void;
  fork(): Ack;
}

/** `done` is called once: without an error when everything that came of the batch was confirmed. */
export function createAck(done: (error?: unknown) => void): Ack {
  let open = 0;
  let failure: { error: unknown } | undefined;
  let fired = false;
  const share = (): Ack => {
    if (fired) return noAck;
    open++;
    let settled = false;
    const settle = (error?: { error: unknown }): void => {
      if (settled) return;
      settled = true;
      failure ??= error;
      if (--open > 0) return;
      fired = true;
      done(failure?.error);
    };
    return {
      ack: () => settle(),
      // Without an error it would look like an ack, and the message would be lost.
      nack: (error) => settle({ error: error ?? new Error('refused without a reason') }),
      fork: share,
    };
  };
  return share();
}

/** For batches that nobody waits for. */
export const noAck: Ack = { ack: () => {}, nack: () => {}, fork: () => noAck };

/** One ack for a batch that was joined from several. */
export function joinAcks(acks: readonly Ack[]): Ack {
  return createAck((error) => {
    for (const each of acks) {
      if (error === undefined) each.ack();
      else each.nack(error);
    }
  });
}

import type { NatsLink } from '../../../clients/nats/link.ts';

const ACK = Buffer.from('+ACK');
const NAK = Buffer.from('-NAK');
const IN_PROGRESS = Buffer.from('+WPI');

/** A third of the wait is early enough to be heard in time. */
const SHARE = 3;

/**
 * The messages that the consumer has given us and that are not done, by batches. The server is told that they are in
 * progress, or would give them again. Whichever connection is open tells it: an answer is a message to a subject.
 */
export class HeldMessages {
  readonly #batches = new Set<readonly string[]>();
  #link: NatsLink | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** `ackWait` is the consumer's, in milliseconds. */
  connected(link: NatsLink, ackWait: number): void {
    this.#link = link;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#inProgress(), Math.max(ackWait / SHARE, 100));
  }

  /** Takes the subjects that answers to the messages of a batch go to. @returns to be called when they are done, or not */
  hold(replies: readonly string[]): (error: unknown) => void {
    this.#batches.add(replies);
    return (error) => {
      if (!this.#batches.delete(replies)) return;
      // A message that was not done comes again when its time is up.
      if (error === undefined) this.#tell(replies, ACK);
    };
  }

  /** Gives messages back that nobody has begun with: the server gives them to the next who asks. */
  giveBack(replies: readonly string[]): void {
    this.#tell(replies, NAK);
  }

  /** Those that are still not done come again when their time is up. */
  close(): void {
    clearInterval(this.#timer);
    this.#batches.clear();
  }

  #inProgress(): void {
    for (const replies of this.#batches) this.#tell(replies, IN_PROGRESS);
  }

  #tell(replies: readonly string[], answer: Uint8Array): void {
    const link = this.#link;
    if (link === undefined || link.gone.aborted || link.nc.isClosed()) return;
    for (const reply of replies) link.nc.publish(reply, answer);
  }
}

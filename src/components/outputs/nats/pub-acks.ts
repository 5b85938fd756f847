import type { Msg } from '@nats-io/transport-node';
import { textOf } from '../../../message/text.ts';

/** Why the server did not store a message. */
export interface PubProblem {
  /** The message's place in its batch. */
  readonly index: number;
  /** The server's number of the error; 0 if nobody answered for the subject. */
  readonly code: number;
  readonly reason: string;
}

/** Nobody answers for the subject: no stream has it, or JetStream has no leader now. */
const NOBODY = 0;
/** Larger than the stream's `max_msg_size`; and in another stream than `Nats-Expected-Stream`. */
const FOR_GOOD: ReadonlySet<number> = new Set([10_054, 10_060]);

/** How the confirmation of a stored message begins. */
const STORED = Buffer.from('{"stream":');

/** Whether the server will never take this message, whatever happens to the stream. */
export function isForGood({ code }: PubProblem): boolean {
  return FOR_GOOD.has(code);
}

export function isNobodys({ code }: PubProblem): boolean {
  return code === NOBODY;
}

/**
 * The confirmations of messages that are published together: no promise and no timer for each of them, which the library
 * makes. One round at a time.
 */
export class PubAcks {
  readonly #inbox: string;
  #round = 0;
  #answered = new Uint8Array(0);
  #open = 0;
  #problems: PubProblem[] = [];
  #complete = (): void => {};

  /** `inbox` must be the connection's own, and its answers go to `answer`. */
  constructor(inbox: string) {
    this.#inbox = inbox;
  }

  /** The subject to subscribe to. */
  get subject(): string {
    return `${this.#inbox}.*.*`;
  }

  /** Begins a round with `count` answers, to messages whose places begin at `from`. */
  begin(from: number, length: number, count: number): Promise<readonly PubProblem[]> {
    this.#round++;
    this.#answered = new Uint8Array(from + length);
    this.#open = count;
    this.#problems = [];
    return new Promise((resolve) => {
      this.#complete = () => resolve(this.#problems);
    });
  }

  /** Where the answer to the message at `index` shall go. */
  replyTo(index: number): string {
    return `${this.#inbox}.${this.#round}.${index}`;
  }

  readonly answer = (error: Error | null, message: Msg): void => {
    if (error !== null) return;
    const { subject } = message;
    const dot = subject.lastIndexOf('.');
    const round = Number(subject.slice(subject.lastIndexOf('.', dot - 1) + 1, dot));
    const index = Number(subject.slice(dot + 1));
    if (round !== this.#round || this.#answered[index] !== 0) return;
    const problem = problemOf(message);
    // A subscriber of the subject may answer as well; it has not stored the message.
    if (problem === 'not an answer of JetStream') return;
    this.#answered[index] = 1;
    if (problem !== undefined) this.#problems.push({ index, ...problem });
    if (--this.#open === 0) this.#complete();
  };
}

function problemOf(message: Msg): Omit<PubProblem, 'index'> | 'not an answer of JetStream' | undefined {
  const { data } = message;
  if (message.headers?.code === 503) return { code: NOBODY, reason: 'no stream has its subject' };
  if (STORED.equals(data.subarray(0, STORED.length))) return undefined;
  try {
    const { error } = JSON.parse(textOf(data)) as { error?: { err_code?: number; description?: string } };
    if (error === undefined) return 'not an answer of JetStream';
    return { code: error.err_code ?? -1, reason: error.description ?? 'the server did not store it' };
  } catch {
    return 'not an answer of JetStream';
  }
}

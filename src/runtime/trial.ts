import { declareErrors, errorMessage, MillraceError } from '../errors.ts';
import { plural } from '../plural.ts';

/** The code of messages that an output could not write in time. */
export const retryErrors = declareErrors({
  MILLRACE_OUTPUT_GAVE_UP: {
    help: 'An output could not write a message within the limits of its `retry`. The message went to `error_output`. It may have reached the sink all the same, if only the answer was lost.',
    told: 'the output could not take the message in time',
  },
});

/** How often, and for how long, an output is tried before it gives a batch up. */
export interface TrialLimits {
  /** Failed attempts to write or to connect; Infinity for no limit. */
  readonly attempts: number;
  /** Milliseconds since the first attempt; Infinity for no limit. */
  readonly elapsed: number;
}

/** The longest time that Node.js can wait, in milliseconds. */
const LONGEST = 2 ** 31 - 1;

/** The attempts to write one batch, which end at the limits. */
export class Trial {
  readonly #limits: TrialLimits;
  readonly #abort = new AbortController();
  /** Aborts when the batch is given up, or must end at once. */
  readonly signal: AbortSignal;
  #failures = 0;
  #begun: number | undefined;
  #last: unknown;
  #timer: NodeJS.Timeout | undefined;
  #error: MillraceError | undefined;

  constructor(limits: TrialLimits, signal: AbortSignal) {
    this.#limits = limits;
    this.signal = AbortSignal.any([signal, this.#abort.signal]);
  }

  /** Why the batch was given up; undefined while it is not. */
  get error(): MillraceError | undefined {
    return this.#error;
  }

  /** An attempt begins, or the batch waits for a connection. */
  begin(): void {
    this.#begun ??= performance.now();
    const { elapsed } = this.#limits;
    if (elapsed <= LONGEST) this.#timer ??= setTimeout(() => this.#giveUp(), elapsed);
  }

  failed(error: unknown): void {
    this.begin();
    this.#last = error;
    if (++this.#failures >= this.#limits.attempts) this.#giveUp();
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #giveUp(): void {
    const seconds = Math.round((performance.now() - this.#begun!) / 100) / 10;
    const reason = this.#last === undefined ? 'no answer' : errorMessage(this.#last);
    const tried = this.#failures === 0 ? '' : `${plural(this.#failures, 'failed attempt')} in `;
    this.#error ??= new MillraceError(
      retryErrors.MILLRACE_OUTPUT_GAVE_UP,
      `gave up after ${tried}${seconds} s: ${reason}`,
      { cause: this.#last },
    );
    this.#abort.abort(this.#error);
  }
}

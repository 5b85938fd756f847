import { textAt, type JsonPath } from '../message/json-path.ts';

export interface AcknowledgementOptions {
  /** The path of a message's id. */
  readonly id: JsonPath;
  /** The path of the same id in the message that acknowledges it. */
  readonly ack: JsonPath;
  /** How many messages may wait for an acknowledgement at the same time. */
  readonly limit: number;
  /** How long to wait for the next acknowledgement while one is missing, in milliseconds. */
  readonly timeout: number;
}

interface Waiting {
  readonly number: number;
  readonly id: string;
  readonly payload: Buffer;
}

/** The messages that the server has not acknowledged yet. */
export class Acknowledgements {
  readonly #options: AcknowledgementOptions;
  /** In the order in which they were sent, by number. */
  readonly #waiting = new Map<number, Waiting>();
  /** The numbers of the waiting messages with each id: an id may be used more than once. */
  readonly #numbers = new Map<string, number[]>();
  #acknowledged = 0;
  #last: Waiting | undefined;
  #since = 0;

  constructor(options: AcknowledgementOptions) {
    this.#options = options;
  }

  /** How many messages have been acknowledged. */
  get count(): number {
    return this.#acknowledged;
  }

  /** How many have not been acknowledged. */
  get missing(): number {
    return this.#waiting.size;
  }

  /** The number of the first message without an acknowledgement, if there is one. */
  get first(): number | undefined {
    const [first] = this.#waiting.keys();
    return first;
  }

  /** How many more may be sent now. */
  get room(): number {
    return this.#options.limit - this.#waiting.size;
  }

  /** Milliseconds left for the next acknowledgement. */
  get patience(): number {
    return this.#since + this.#options.timeout - performance.now();
  }

  /** The messages that may have to be sent again, in order. */
  *payloads(): Generator<Buffer, void, undefined> {
    for (const { payload } of this.#waiting.values()) yield payload;
  }

  /** Waits for the message's acknowledgement from now on. @returns false when it has no id */
  add(payload: Buffer, number: number): boolean {
    const id = textAt(payload, this.#options.id);
    if (id === undefined) return false;
    if (this.#waiting.size === 0) this.restart();
    this.#waiting.set(number, { number, id, payload });
    const numbers = this.#numbers.get(id);
    if (numbers === undefined) this.#numbers.set(id, [number]);
    else numbers.push(number);
    return true;
  }

  /** @returns whether the payload acknowledges a waiting message */
  received(payload: Buffer): boolean {
    const id = textAt(payload, this.#options.ack);
    const numbers = id === undefined ? undefined : this.#numbers.get(id);
    if (numbers === undefined) return false;
    const number = numbers.shift()!;
    if (numbers.length === 0) this.#numbers.delete(id!);
    this.#last = this.#waiting.get(number);
    this.#waiting.delete(number);
    this.#acknowledged++;
    this.restart();
    return true;
  }

  /** Starts the time for the next acknowledgement again. */
  restart(): void {
    this.#since = performance.now();
  }

  /** The progress in words. */
  describe(): string {
    const [first] = this.#waiting.values();
    const last = this.#last === undefined ? '' : `, the last message ${label(this.#last)}`;
    const missing =
      first === undefined ? '' : `; ${this.#waiting.size} not, the first message ${label(first)}`;
    return `${this.#acknowledged} acknowledged${last}${missing}`;
  }
}

function label({ number, id }: Waiting): string {
  return `${number} (id ${JSON.stringify(id.slice(0, 60))})`;
}

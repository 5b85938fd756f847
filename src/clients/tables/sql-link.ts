import type { Context } from '../../component/context.ts';
import { errorMessage, NotConnectedError } from '../../errors.ts';
import { within } from '../within.ts';

/** How long the server has to take leave, in milliseconds. */
const FAREWELL = 500;

/** The answer to a statement. */
export interface SqlResult {
  readonly rows: Record<string, unknown>[];
  /** How many rows it has written. */
  readonly count: number;
}

/** An open connection to a database. Once it is lost, it stays so: the engine makes a new one. */
export abstract class SqlLink {
  /** Safe to show. */
  readonly url: string;
  readonly #timeout: number;
  readonly #context: Context;
  readonly #gone = new AbortController();
  #isOurs = false;

  /** `timeout` in milliseconds, for each statement. */
  constructor(url: string, timeout: number, context: Context) {
    this.url = url;
    this.#timeout = timeout;
    this.#context = context;
    context.events.connectionOpened({ url });
  }

  /** Aborts when the connection is gone; its reason says why. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /**
   * Runs one statement.
   * @throws NotConnectedError when the server is away or does not answer in time; the signal's reason; otherwise the
   * server's error
   */
  abstract query(text: string, values: unknown[], signal: AbortSignal): Promise<SqlResult>;

  /** Whether the error says that the connection is gone, or of no more use. */
  protected abstract isAway(error: unknown): boolean;

  /** Asks the server to end the connection. */
  protected abstract end(): Promise<unknown>;

  /** Ends the connection without a word. */
  protected abstract destroy(): void;

  /** For the library's events: an error, or the end of the connection. */
  protected readonly failed = (error: Error): void => {
    this.cut(new NotConnectedError(`${this.url}: ${errorMessage(error)}`));
  };

  protected readonly ended = (): void => {
    this.cut(new NotConnectedError(`${this.url} closed the connection`));
    this.#context.events.connectionClosed({ code: this.#isOurs ? 1000 : 1006, reason: '', url: this.url });
  };

  /** The answer to a question, within the time that the server has. */
  protected async answer<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
    if (this.gone.aborted) throw this.gone.reason;
    const either = AbortSignal.any([signal, this.gone]);
    try {
      return await within(this.url, ask(), { timeout: this.#timeout, signal: either });
    } catch (error) {
      // Nobody knows what became of a statement that was left alone.
      if (signal.aborted) this.cut(new NotConnectedError('aborted'));
      if (!(error instanceof NotConnectedError) && !this.isAway(error)) throw error;
      // A library's error may hold the statement, and thereby values: only its words are kept.
      const lost =
        error instanceof NotConnectedError
          ? error
          : new NotConnectedError(`${this.url}: ${errorMessage(error)}`);
      this.cut(lost);
      throw lost;
    }
  }

  /** Closes the connection at once, for the reason. */
  cut(reason: Error): void {
    this.#gone.abort(reason);
    this.destroy();
  }

  /** Takes leave of the server, unless it does not answer. */
  async close(signal: AbortSignal): Promise<void> {
    this.#isOurs = true;
    if (!this.gone.aborted && !signal.aborted)
      await within('end', this.end(), { timeout: FAREWELL, signal }).catch(() => {});
    this.cut(new NotConnectedError('closed'));
  }
}

import { readWholeFile } from '../../component/whole-file.ts';
import { declareErrors, MillraceError, errorMessage } from '../../errors.ts';
import type { ComponentEvents } from '../../telemetry/events.ts';
import { utf8Text } from '../secret-text.ts';
import { fileStamp } from './file-stamp.ts';

/** The code for credentials that cannot be checked. */
export const authErrors = declareErrors({
  MILLRACE_AUTH_UNAVAILABLE: {
    help: 'A server cannot check the credentials of clients: a file of users, tokens or keys cannot be read or has a mistake, or the issuer’s keys cannot be fetched. The message says which and why. The content that was read before stays in force.',
  },
});

/** How often a file is checked, in milliseconds. Watching would miss mounted volumes and files that are replaced. */
const INTERVAL = 500;

/**
 * A file that is read again whenever it changes while the program runs. While it is absent or has a mistake, the last
 * good content stays in force.
 */
export class SecretFile<T> {
  readonly #path: string;
  readonly #parse: (text: string) => T;
  readonly #events: ComponentEvents;
  #value: T | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** The stamp of the last content that was accepted or refused. */
  #seen = '';
  /** The stamp of newer content, which must stay unchanged before it is read: it may be half written. */
  #candidate = '';
  /** The last complaint, not yet resolved. */
  #complaint = '';
  #looking = false;

  /** `parse` throws an error that says what is wrong, without quoting the file. */
  constructor(path: string, parse: (text: string) => T, events: ComponentEvents) {
    this.#path = path;
    this.#parse = parse;
    this.#events = events;
  }

  /** The last good content. */
  get value(): T {
    if (this.#value === undefined) throw new Error(`${this.#path} has not been opened`);
    return this.#value;
  }

  /** @throws MillraceError MILLRACE_AUTH_UNAVAILABLE when the first content cannot be used */
  async open(): Promise<void> {
    this.close();
    this.#seen = await this.#stamp();
    await this.#read(true);
    this.#timer = setInterval(() => void this.#look(), INTERVAL);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const stamp = await this.#stamp();
      if (stamp === this.#seen) {
        this.#candidate = '';
        this.#complaint = '';
      } else if (stamp !== this.#candidate) {
        this.#candidate = stamp;
      } else {
        await this.#read(false);
        this.#seen = stamp;
        this.#complaint = '';
        if (this.#timer !== undefined) this.#events.credentialsReloaded(this.#path);
      }
    } catch (error) {
      this.#complain(error);
    } finally {
      this.#looking = false;
    }
  }

  #stamp(): Promise<string> {
    return fileStamp(this.#path).catch(this.#unreadable);
  }

  async #read(first: boolean): Promise<void> {
    const bytes = await readWholeFile(this.#path).catch(this.#unreadable);
    try {
      this.#value = this.#parse(utf8Text(bytes));
    } catch (cause) {
      throw unavailable(`${this.#path}: ${errorMessage(cause)}`, cause, first);
    }
  }

  readonly #unreadable = (cause: unknown): never => {
    throw unavailable(`cannot read ${this.#path}: ${errorMessage(cause)}`, cause, false);
  };

  /** Reports each reason once. */
  #complain(error: unknown): void {
    const text = errorMessage(error);
    if (text === this.#complaint || this.#timer === undefined) return;
    this.#complaint = text;
    this.#events.credentialsUnavailable(error, 'its earlier content stays in force');
  }
}

function unavailable(message: string, cause: unknown, fatal: boolean): MillraceError {
  return new MillraceError(authErrors.MILLRACE_AUTH_UNAVAILABLE, message, { cause, fatal });
}

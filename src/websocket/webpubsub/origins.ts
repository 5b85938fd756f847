import type { MillraceError } from '../../errors.ts';
import type { Origin } from '../../message/batch.ts';
import type { Session } from '../session.ts';
import type { DataType } from './protocol.ts';

/** Who is told what became of messages, by their numbers. */
export interface Sender {
  /** Everything from `first` to `last` has been confirmed, but for what was rejected. @returns what to wait for, if anything */
  confirmed(first: number, last: number): Promise<void> | undefined;
  rejected(sequence: number, error: MillraceError): void;
  /** Why a message was rejected that is about to be confirmed. */
  rejection(sequence: number): MillraceError | undefined;
}

/** What an origin costs besides what its sender has named, roughly. In bytes. */
const ORIGIN_COST = 512;

/** Of the messages that a sender gives one event or group. */
export class PubSubOrigin implements Origin {
  readonly source: string;
  readonly ext: Readonly<Record<string, string>>;
  readonly sender: Sender;
  readonly size: number;

  constructor(session: Origin, sender: Sender, more: Readonly<Record<string, string>>) {
    this.source = session.source;
    this.ext = { ...session.ext, ...more };
    this.sender = sender;
    this.size = ORIGIN_COST + 2 * Object.values(more).reduce((sum, value) => sum + value.length, 0);
  }

  readonly rejected = (sequence: number, error: MillraceError): void => this.sender.rejected(sequence, error);

  readonly rejection = (sequence: number): MillraceError | undefined => this.sender.rejection(sequence);
}

/** So many origins are remembered for each connection, that neighbouring messages may share them. */
const MAX_ORIGINS = 64;
/** As long as their names have no more characters than this. */
const MAX_NAMED = 4_096;

/** The origins of a connection's messages, while it has this session. */
export class PubSubOrigins {
  readonly session: Session;
  readonly #sender: Sender;
  readonly #known = new Map<string, PubSubOrigin>();
  #named = 0;

  constructor(session: Session, sender: Sender) {
    this.session = session;
    this.#sender = sender;
  }

  of(kind: 'event' | 'group', name: string, dataType: DataType): PubSubOrigin {
    const key = `${kind} ${dataType} ${name}`;
    let origin = this.#known.get(key);
    if (origin === undefined) {
      if (this.#known.size >= MAX_ORIGINS || this.#named + key.length > MAX_NAMED) {
        this.#known.clear();
        this.#named = 0;
      }
      this.#named += key.length;
      const more = { [`pubsub.${kind}`]: name, 'pubsub.data_type': dataType };
      origin = new PubSubOrigin(this.session.origin, this.#sender, more);
      this.#known.set(key, origin);
    }
    return origin;
  }
}

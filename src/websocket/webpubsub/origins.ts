import type { MillraceError } from '../../errors.ts';
import type { Origin } from '../../message/batch.ts';
import type { Session } from '../session.ts';
import type { DataType } from './protocol.ts';

/** Who is told what became of messages, by their numbers. */
export interface Sender {
  /** Everything from `first` to `last` has been confirmed, but for what was rejected. @returns what to wait for, if anything */
  confirmed(first: number, last: number): Promise<void> | undefined;
  rejected(sequence: number, error: MillraceError): void;
}

const senders = new WeakMap<Origin, Sender>();

/** Who sent the messages of an origin, where that is a connection of this protocol. */
export function senderOf(origin: Origin): Sender | undefined {
  return senders.get(origin);
}

/** What an origin costs besides what its sender has named, roughly. In bytes. */
const ORIGIN_COST = 512;

/** Of the messages that a sender gives one event or group. */
function originFor(session: Origin, sender: Sender, more: Readonly<Record<string, string>>): Origin {
  const origin: Origin = {
    source: session.source,
    ext: { ...session.ext, ...more },
    size: ORIGIN_COST + 2 * Object.values(more).reduce((sum, value) => sum + value.length, 0),
  };
  senders.set(origin, sender);
  return origin;
}

/** So many origins are remembered for each connection, that neighbouring messages may share them. */
const MAX_ORIGINS = 64;
/** As long as their names have no more characters than this. */
const MAX_NAMED = 4_096;

/** The origins of a connection's messages, while it has this session. */
export class PubSubOrigins {
  readonly session: Session;
  readonly #sender: Sender;
  readonly #known = new Map<string, Origin>();
  #named = 0;

  constructor(session: Session, sender: Sender) {
    this.session = session;
    this.#sender = sender;
  }

  of(kind: 'event' | 'group', name: string, dataType: DataType): Origin {
    const key = `${kind} ${dataType} ${name}`;
    let origin = this.#known.get(key);
    if (origin === undefined) {
      if (this.#known.size >= MAX_ORIGINS || this.#named + key.length > MAX_NAMED) {
        this.#known.clear();
        this.#named = 0;
      }
      this.#named += key.length;
      const more = { [`pubsub.${kind}`]: name, 'pubsub.data_type': dataType };
      origin = originFor(this.session.origin, this.#sender, more);
      this.#known.set(key, origin);
    }
    return origin;
  }
}

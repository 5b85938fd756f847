import type { MillraceError } from '../../errors.ts';
import type { Origin } from '../../message/batch.ts';
import type { Session } from '../session.ts';
import type { DataType } from './protocol.ts';

/** A sender that is told the outcome of its messages, by their numbers. */
export interface Sender {
  /** All from `first` to `last` are confirmed, except rejected ones. @returns a promise to wait for, if needed */
  confirmed(first: number, last: number): Promise<void> | undefined;
  rejected(sequence: number, error: MillraceError): void;
}

const senders = new WeakMap<Origin, Sender>();

/** The sender of an origin's messages, if it is a connection of this protocol. */
export function senderOf(origin: Origin): Sender | undefined {
  return senders.get(origin);
}

/** The rough cost of an origin besides the names that its sender chose, in bytes. */
const ORIGIN_COST = 512;

/** The origin of a sender's messages for one event or group. */
function originFor(session: Origin, sender: Sender, more: Readonly<Record<string, string>>): Origin {
  const origin: Origin = {
    source: session.source,
    ext: { ...session.ext, ...more },
    size: ORIGIN_COST + 2 * Object.values(more).reduce((sum, value) => sum + value.length, 0),
  };
  senders.set(origin, sender);
  return origin;
}

/** The origins remembered for each connection, so that consecutive messages can share them. */
const MAX_ORIGINS = 64;
/** The most characters of their names in total. */
const MAX_NAMED = 4_096;

/** The origins of a connection's messages during this session. */
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

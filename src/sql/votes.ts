/** So many senders of a field are remembered; of those the ones heard last. */
const MAX_SENDERS = 64;
/** More messages than this do not make a sender's vote firmer. */
const MAX_LEAD = 32;
/** A vote counts for so long, in microseconds of the time at which messages were received. */
const LIFETIME = 10 * 60 * 1_000_000;

interface Ballot {
  choice: string;
  /** By how many messages the choice is ahead of whatever else the sender has shown. */
  lead: number;
  time: number;
}

/** What tells a sender from others: a text, or the object itself. */
export type Sender = string | object;

/** Stands for everyone who was counted without being told apart. */
const OTHERS = {};

/**
 * What the senders of a field show. Each has one vote: what most of its last messages had. So neither the first message
 * decides for all that come later, nor one sender that sends more than the others do.
 */
export class Votes {
  /** By sender, the one heard longest ago first. */
  readonly #ballots = new Map<Sender, Ballot>();

  /** `sender`: undefined where it is not known. `time`: microseconds since the epoch. */
  count(sender: Sender = OTHERS, choice: string, messages: number, time: number): void {
    const ballot = this.#ballots.get(sender) ?? { choice, lead: 0, time };
    this.#ballots.delete(sender);
    this.#ballots.set(sender, ballot);
    ballot.time = Math.max(ballot.time, time);
    ballot.lead += ballot.choice === choice ? messages : -messages;
    if (ballot.lead < 0) Object.assign(ballot, { choice, lead: -ballot.lead });
    // A sender that has changed its mind for long enough outweighs what was known before anyone was told apart.
    ballot.lead = Math.min(ballot.lead, sender === OTHERS ? MAX_LEAD - 1 : MAX_LEAD);
    for (const [oldest, { time: heard }] of this.#ballots) {
      if (this.#ballots.size <= MAX_SENDERS && heard > time - LIFETIME) break;
      this.#ballots.delete(oldest);
    }
  }

  /** True when more senders show `one` than `other`; where as many do, when more of their messages did. */
  prefer(one: string, other: string): boolean {
    let senders = 0;
    let messages = 0;
    for (const { choice, lead } of this.#ballots.values()) {
      const sign = choice === one ? 1 : choice === other ? -1 : 0;
      senders += sign;
      messages += sign * lead;
    }
    return senders === 0 ? messages > 0 : senders > 0;
  }

  /** For when two choices have changed places. */
  swap(one: string, other: string): void {
    for (const ballot of this.#ballots.values()) {
      if (ballot.choice === one) ballot.choice = other;
      else if (ballot.choice === other) ballot.choice = one;
    }
  }
}
